"""One component alone, on new data: an importer for every artifact that it reads, then the component."""

import inspect
from typing import Any, get_args

from kfp import dsl

from components.data_extractor.component import data_extractor
from components.evaluator.component import evaluator
from components.exporter.component import exporter
from components.trainer.component import trainer
from components.vocab_builder.component import vocab_builder
from pipelines.steps import STANDARD, Settings, on_machine, set_up

COMPONENTS = {component.name: component for component in (data_extractor, vocab_builder, trainer, evaluator, exporter)}


def rerun(name: str, settings: Settings = STANDARD) -> Any:
    """The pipeline that runs one component.

    Its parameters are the artifacts that the component reads, each by its URI, then the component's own parameters.

    Args:
        name: Of the component, such as vocab-builder.
        settings: How the step runs, checked.
    """
    component = COMPONENTS[name]
    read = component.component_spec.inputs or {}
    parameters = [each for each in inspect.signature(component.python_func).parameters.values() if each.name in read]
    artifacts = {
        each.name: get_args(each.annotation)[0] for each in parameters if read[each.name].type.startswith("system.")
    }

    def pipeline(*values: Any) -> None:
        inputs = dict(zip((each.name for each in parameters), values, strict=True))
        for artifact, kind in artifacts.items():
            imported = dsl.importer(artifact_uri=inputs[artifact], artifact_class=kind)
            inputs[artifact] = imported.set_display_name(f"import {artifact}").output
        step = on_machine(component, settings.machine) if component is trainer else component
        set_up(step(**inputs), settings, is_rerun=True)

    # KFP reads a pipeline's parameters from its signature, and what they mean from its docstring.
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(annotation=str) if each.name in artifacts else each for each in parameters]
    )
    pipeline.__doc__ = component.python_func.__doc__
    return dsl.pipeline(name=f"metro-recs-rerun-{name}", description=f"{name} alone, on data that is there.")(pipeline)
