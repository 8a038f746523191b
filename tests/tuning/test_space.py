"""What may be searched, and what a setting changes."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from components.common import feature_config as fc
from components.common.errors import InputError
from pipelines import parameters
from trainer_image.options import Options
from tuning import space
from tuning.space import Settings

GIVEN = Settings(
    Options(tfrecords_path="e", vocabularies_path="v", metadata_path="m", output_path="o"),
    fc.load("feature_config.yaml"),
)


def test_the_shipped_space_holds_for_the_shipped_configs() -> None:
    for config in ("feature_config.yaml", "feature_config_history.yaml"):
        given = GIVEN._replace(config=fc.load(config))
        found = space.load("tuning/space.yaml", given)
        assert set(found) == {"learning_rate", "warmup_steps", "temperature", "l1", "layers"}


def test_a_range_has_the_type_of_its_setting() -> None:
    text = """
      learning_rate: {low: 1.0e-4, high: 1, log: true}
      warmup_steps: {low: 5, high: 50}
      loss: {choices: [auto, in-batch]}
    """
    assert space.load(text, GIVEN) == {
        "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "warmup_steps": IntDistribution(5, 50),
        "loss": CategoricalDistribution(["auto", "in-batch"]),
    }


def test_settings_reach_options_and_both_towers() -> None:
    told = {"learning_rate": 0.5, "layers": "96-48", "dim.product_id": 24, "dim.city": 8}
    options, config = space.applied(GIVEN, told)
    assert options.learning_rate == 0.5
    assert options.batch_size == GIVEN.options.batch_size
    assert config.query.layers == config.candidate.layers == (96, 48)
    dims = {entry.key: entry.dim for entry in config.entries() if hasattr(entry, "dim")}
    before = {entry.key: entry.dim for entry in GIVEN.config.entries() if hasattr(entry, "dim")}
    assert dims == {**before, "product_id": 24, "city": 8}


def test_a_number_without_a_dot_is_one() -> None:
    assert space.load("{l1: {choices: [1e-8, 1e-6]}}", GIVEN) == {"l1": CategoricalDistribution([1e-8, 1e-6])}


def test_a_width_may_be_auto() -> None:
    found = space.load("{dim.city: {choices: [auto, 64]}}", GIVEN)
    assert found == {"dim.city": CategoricalDistribution(["auto", 64])}
    widths = [
        getattr(entry, "dim", None)
        for entry in space.applied(GIVEN, {"dim.city": "auto"}).config.entries()
        if entry.key == "city"
    ]
    assert widths == ["auto"]


def test_a_layer_may_be_one_number() -> None:
    assert space.applied(GIVEN, {"layers": "64"}).config.query.layers == (64,)
    assert space.load("{layers: {choices: [64, 128-64]}}", GIVEN) == {
        "layers": CategoricalDistribution(["64", "128-64"])
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "found no entry"),
        ("{learning_rat: {low: 1, high: 2}}", "found an entry learning_rat, expected one of epochs, batch_size"),
        ("{seed: {low: 1, high: 2}}", "found an entry seed, expected one of"),
        ("{dim.revenue: {choices: [8, 16]}}", "found an entry dim.revenue, expected one of"),  # it is normalized
        ("{dim.colour: {choices: [8, 16]}}", "found an entry dim.colour, expected one of .*dim.cust_person_id, "),
        ("{l1: {low: 2, high: 1}}", "high must be above low"),
        ("{l1: {low: 0, high: 1, log: true}}", "low must be above 0"),
        ("{l1: {low: 0, high: 1, lgo: true}}", "l1.*lgo.*Extra inputs"),
        ("{l1: {choices: [1]}}", "at least 2"),
        ("{l1: {low: -1, high: 1}}", r"search space, l1: found -1\.0, expected 0 or more"),
        ("{l1: {choices: [much, little]}}", "search space, l1: found 'much', expected a number"),
        ("{batch_size: {choices: [1.5, 2]}}", "search space, batch_size: found 1.5, expected a whole number"),
        ("{loss: {choices: [auto, best]}}", "search space, loss: found 'best', expected one of auto"),
        ("{loss: {low: 1, high: 2}}", "search space, loss: found 1.0, expected one of auto"),
        ("{layers: {choices: [64, big]}}", "search space, layers: found 'big', expected widths such as 128-64"),
        ("{layers: {choices: [64, 100000]}}", "search space, layers: found 100000, expected .*8192"),
        ("{dim.city: {choices: [8, 3000]}}", "search space, dim.city: found 3000, expected .*1024"),
        ("{l1: {low: 1}}", "search space, l1.range.high: found .*, expected Field required"),
        ("{l1: {low: 1, high: .inf}}", "finite"),
        ("{layers: {choices: [512-64-32, 1024-64-32]}}", "found invalid YAML"),
        ("{l1: 3}", "search space, l1.range: found 3, expected .*a valid dictionary"),
        ("- {}\n- {}", "valid dictionary"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        space.load(text, GIVEN)


def test_whatever_is_searched_the_pipeline_can_be_told() -> None:
    spec = parameters.read_spec("pipeline.json")
    assert set(space.TRAINER) <= set(spec["root"]["inputDefinitions"]["parameters"])
