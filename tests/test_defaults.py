"""One set of defaults: whatever trains by them, trains alike."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from typing import Any

import pytest
from kfp.components import BaseComponent

import compile as compiler
from benchmarks import quality, recall, warm_start
from components.data_extractor.component import data_extractor
from components.data_extractor.extract import extract
from components.data_extractor.parameters import query_parameters
from components.trainer.component import trainer
from demo import run as demo
from trainer_image.options import Options

TRAINER = {field.name: field.default for field in fields(Options) if field.default is not MISSING}
# The demo is a shop: it chooses what it sells. The rest is where things are, and what is run.
OF_THE_DEMO = {"folder", "data", "households", "catalogue_size", "config", "reuse", "docker"}


def of(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of a function."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def of_component(component: BaseComponent) -> dict[str, Any]:
    inputs = component.component_spec.inputs or {}
    return {name: given.default for name, given in inputs.items() if given.optional}


def of_pipeline() -> dict[str, Any]:
    parameters = compiler.spec()["root"]["inputDefinitions"]["parameters"]
    return {name: given["defaultValue"] for name, given in parameters.items() if "defaultValue" in given}


def compared(given: dict[str, Any], expected: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    common = given.keys() & expected.keys()
    assert common
    for name in sorted(common):
        yield name, given[name], expected[name]


@pytest.mark.parametrize("given", [of_component(trainer), of_pipeline()], ids=["component", "pipeline"])
def test_the_trainer_s(given: dict[str, Any]) -> None:
    for name, found, expected in compared(given, TRAINER):
        assert found == expected, name
    assert {"epochs", "batch_size", "learning_rate", "warmup_steps", "patience", "loss", "l1", "seed"} <= given.keys()


@pytest.mark.parametrize("given", [of_component(data_extractor), of_pipeline()], ids=["component", "pipeline"])
def test_the_data_extractor_s(given: dict[str, Any]) -> None:
    expected = {**of(extract), **of(query_parameters)}
    assert expected["revenue_as_of"] == of(extract)["revenue_as_of"]
    for name, found, default in compared(given, expected | {"labels": {}, "feature_config": None}):
        assert found == default, name
    assert {"split", "revenue_as_of", "train_share", "catalogue_size", "min_purchases"} <= given.keys()


def test_the_demo_runs_by_the_pipeline_s() -> None:
    ours = of(demo.run)
    assert {name for name in ours if name not in of_pipeline()} <= OF_THE_DEMO
    for name, found, expected in compared(ours, of_pipeline()):
        assert found == expected or name in OF_THE_DEMO, name
    assert {"split", "revenue_as_of", "epochs", "batch_size", "learning_rate", "warmup_steps", "seed"} <= ours.keys()


def test_so_do_the_benchmarks_of_quality() -> None:
    for name, found in quality.OPTIONS.items():
        assert found == TRAINER[name], name
    for benchmark in (quality.compare, warm_start.compare):
        assert of(benchmark)["epochs"] == Options.epochs
    assert of(warm_start.compare)["seed"] == Options.seed
    for module in (quality, recall, warm_start):
        assert "learning_rate=" not in inspect.getsource(module)  # none of them tells the Trainer another rate
