"""What a feature config may say works to the end: no config that is loaded fails later for what it says."""

import json
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.common import feature_config as fc
from components.common import schema
from components.common.errors import InputError
from components.common.value_counts import columns_of
from components.data_extractor import sources
from trainer_image.export import Embedder
from trainer_image.model import DTYPES, Encoders, TwoTower

NAMES = st.sampled_from(
    [
        *schema.EXAMPLE,
        "brand",
        "Brand",
        "BRAND",
        "price",
        "opened_at",
        "class",
        "self",
        "_x",
        "k",
        "K",
        "name",
        "kwargs",
    ]
)
DIM = st.sampled_from([4, 8, "auto"])
FEATURE = st.one_of(
    st.fixed_dictionaries({"kind": st.sampled_from(["id", "text"]), "name": NAMES}, optional={"dim": DIM}),
    st.fixed_dictionaries(
        {"kind": st.just("numeric"), "name": NAMES, "transform": st.sampled_from(["normalize", "bucketize"])},
        optional={"dim": DIM, "buckets": st.sampled_from([2, 10, 100])},
    ),
    st.fixed_dictionaries({"kind": st.just("temporal"), "name": NAMES}),
    st.fixed_dictionaries(
        {"kind": st.just("cross"), "names": st.lists(NAMES, min_size=2, max_size=3, unique=True)},
        optional={"buckets": st.sampled_from([2, 50]), "dim": DIM},
    ),
    st.just({"kind": "history"}),
)
CARRIED = st.dictionaries(NAMES, st.sampled_from(["string", "int64", "float"]), max_size=2)
TOWER = st.fixed_dictionaries(
    {"features": st.lists(FEATURE, min_size=1, max_size=4), "layers": st.just([4])}, optional={"carried": CARRIED}
)
CONFIG = st.fixed_dictionaries({"query": TOWER, "candidate": TOWER})


def accepted(document: dict[str, Any]) -> fc.FeatureConfig | None:
    try:
        config = fc.load(json.dumps(document))
        sources.extra_columns(config)  # refuses what the tables, not the models, have other names for
    except InputError:
        return None
    return config


@given(CONFIG)
@settings(deadline=None, max_examples=300)
def test_extraction_and_vocabularies_take_what_is_loaded(document: dict[str, Any]) -> None:
    config = accepted(document)
    if config is None:
        return
    types = sources.columns(sources.extra_columns(config))
    for tower in (config.query, config.candidate):
        for name, kind in tower.columns.items():
            assert types[name] == kind
    for name, counted in columns_of(config).items():
        assert types[name] == counted
    for step in sources.STEPS:
        assert "`" in sources.query(step, sources.extra_columns(config))


@pytest.mark.slow
@given(CONFIG)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_models_are_built_and_exported_of_what_is_loaded(document: dict[str, Any]) -> None:
    config = accepted(document)
    if config is None:
        return
    products = {str(product): product_of(config) for product in range(1, 9)}
    vocabularies = {name: statistics_of(kind) for name, kind in columns_of(config).items()}
    vocabularies["product_id"] = {"tokens": list(products), "counts": [1] * len(products)}
    model = TwoTower(config, Encoders(config, vocabularies, products, {"vocabularies": "v", "metadata": "m"}), 0.0)
    for encoder, tower in ((model.query_encoder, model.query_tower), (model.candidate_encoder, model.candidate_tower)):
        if encoder is model.query_encoder and model.has_history:
            continue  # needs purchases, see test_history
        specs = {column: tf.TensorSpec([None], DTYPES[kind], column) for column, kind in encoder.columns.items()}
        exported = Embedder(encoder, tower).serve.get_concrete_function(**specs)
        assert set(exported.structured_input_signature[1]) == set(specs)


def product_of(config: fc.FeatureConfig) -> dict[str, Any]:
    values = {"string": "x", "int64": 1, "float": 1.0}
    return {name: values[kind] for name, kind in config.candidate.columns.items()}


def statistics_of(kind: str) -> dict[str, Any]:
    if kind == "float":
        return {"mean": 1.0, "variance": 1.0, "quantiles": [float(step) for step in range(101)]}
    return {"tokens": ["1", "2"], "counts": [1, 1]}
