"""Parts of the pipeline, on artifacts that are there: an importer for every one that is read, then the components.

`rerun` is one component alone, `retraining` the pipeline from the Trainer on.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args

from kfp import dsl

from components.data_extractor.component import data_extractor
from components.evaluator.component import evaluator
from components.exporter.component import exporter
from components.trainer.component import trainer
from components.vocab_builder.component import vocab_builder
from pipelines.steps import RETRAINING, STANDARD, Settings, on_machine, set_up
from pipelines.training import train_and_release, training

COMPONENTS = {component.name: component for component in (data_extractor, vocab_builder, trainer, evaluator, exporter)}
TRAINED_ON = "examples", "vocabularies"


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

    def steps(inputs: Mapping[str, Any]) -> None:
        step = on_machine(component, settings.machine) if component is trainer else component
        set_up(step(**inputs), settings, is_rerun=True)

    described = f"{name} alone, on data that is there."
    return _on_artifacts(f"rerun-{name}", described, component.python_func.__doc__, parameters, steps)


def retraining(settings: Settings = STANDARD) -> Any:
    """The pipeline from the Trainer on, for other flags or another feature config.

    Its parameters are examples and vocabularies, each by its URI, then the whole pipeline's that its steps take.

    Args:
        settings: How the steps run, checked.
    """
    whole = training(settings).pipeline_func
    of_trainer, of_whole = (inspect.signature(each).parameters for each in (trainer.python_func, whole))
    taken = {name for step in (trainer, evaluator, exporter) for name in step.component_spec.inputs}
    parameters = [*(of_trainer[name] for name in TRAINED_ON), *(of_whole[name] for name in of_whole if name in taken)]

    def steps(inputs: Mapping[str, Any]) -> None:
        train_and_release(inputs, settings, is_rerun=True)

    described = "trainer, evaluator and exporter, on data that is there."
    # What the Trainer says of the artifacts; of the rest, what the whole pipeline says: KFP takes a name's last entry.
    doc = f"{inspect.getdoc(trainer.python_func)}{str(inspect.getdoc(whole)).partition('Args:')[2]}"
    return _on_artifacts(RETRAINING, described, doc, parameters, steps)


def _on_artifacts(
    name: str,
    description: str,
    doc: str,
    parameters: list[inspect.Parameter],
    steps: Callable[[Mapping[str, Any]], None],
) -> Any:
    """A pipeline whose artifacts are imported by their URIs.

    Args:
        name: Of the pipeline, without the project's.
        description: A sentence.
        doc: A docstring that says what its parameters mean.
        parameters: Its parameters, of which those that are artifacts become URIs.
        steps: Makes the tasks from the inputs by name.
    """
    artifacts = {each.name: get_args(each.annotation)[0] for each in parameters if get_args(each.annotation)}

    def pipeline(*values: Any) -> None:
        inputs = dict(zip((each.name for each in parameters), values, strict=True))
        for artifact, kind in artifacts.items():
            imported = dsl.importer(artifact_uri=inputs[artifact], artifact_class=kind)
            inputs[artifact] = imported.set_display_name(f"import {artifact}").output
        steps(inputs)

    # KFP reads a pipeline's parameters from its signature, and what they mean from its docstring.
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(annotation=str) if each.name in artifacts else each for each in parameters]
    )
    pipeline.__doc__ = doc
    return dsl.pipeline(name=f"metro-recs-{name}", description=description)(pipeline)
