"""What a feature config may say, and how a wrong one is refused."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.common import feature_config as fc
from components.common.errors import InputError
from tests.components.common.json_schema import accepts

DEFAULT = Path("feature_config.yaml").read_text(encoding="utf-8")
SCHEMA = fc.FeatureConfig.model_json_schema()
QUERY_LAYERS = "layers: [128, 64, 32]\ncandidate"
CITY = "{kind: text, name: city, dim: 16}"
EVERYTHING: dict[str, Any] = {
    "query": {
        "features": [
            {"kind": "id", "name": "cust_person_id"},
            {"kind": "text", "name": "city", "dim": 4},
            {"kind": "numeric", "name": "revenue"},
            {"kind": "numeric", "name": "revenue", "transform": "bucketize", "buckets": 100, "dim": 1024},
            {"kind": "temporal", "name": "timestamp", "transform": "cyclical", "periods": ["month", "hour"]},
            {"kind": "cross", "names": ["city", "channel", "cust_person_id"], "buckets": 10_000_000, "dim": "auto"},
        ],
        "layers": [1, 8192, 8],
        "carried": {"basket": "int64", "_tags": "list<string>"},
    },
    "candidate": {
        "features": [
            {"kind": "id", "name": "product_id"},
            {"kind": "text", "name": "art_name"},
            {"kind": "numeric", "name": "price", "transform": "normalize", "restrict": True},
            {"kind": "numeric", "name": "price", "transform": "bucketize", "restrict": False},
            {"kind": "temporal", "name": "listed_at"},
            {"kind": "cross", "names": ["mge_main_cat_desc", "b_9"]},
        ],
        "layers": [8],
    },
}


def test_the_shipped_config_is_the_documented_default() -> None:
    config = fc.load("feature_config.yaml")
    dims = {entry.key: getattr(entry, "dim", None) for entry in config.entries() if entry.kind != "numeric"}
    assert dims == {
        "cust_person_id": 64,
        "city": 16,
        "product_id": 32,
        "stratbuy_domain_desc": 16,
        "mge_main_cat_desc": 24,
        "stratbuy_domain_desc_x_mge_main_cat_desc": 16,
    }
    assert config.query.layers == config.candidate.layers == (128, 64, 32)
    assert config.columns["product_id"] == "int64"


def test_text_json_and_path_are_the_same_config() -> None:
    config = fc.load("feature_config.yaml")
    assert fc.load(DEFAULT) == config
    assert fc.load(config.model_dump_json()) == config


def test_a_file_is_read_whatever_its_folder_is_called(tmp_path: Path) -> None:
    """A checkout, and with it the default config, may lie anywhere; and no text is too long to be no file."""
    path = tmp_path / "shop: {v1}" / "config.yaml"
    path.parent.mkdir()
    path.write_text(DEFAULT, encoding="utf-8")
    assert fc.load(str(path)) == fc.load(f"# {'-' * 100_000}\n{DEFAULT}")


def test_every_kind_goes_into_either_tower() -> None:
    config = fc.load(json.dumps(EVERYTHING))
    assert [entry.key for entry in config.candidate.features] == [
        *("product_id", "art_name", "price", "price_bucket", "listed_at", "mge_main_cat_desc_x_b_9")
    ]
    assert config.query.columns == {
        "cust_person_id": "string",
        "city": "string",
        "revenue": "float",
        "timestamp": "int64",
        "channel": "string",
    }
    assert config.candidate.columns == {
        "product_id": "int64",
        "art_name": "string",
        "price": "float",
        "listed_at": "int64",
        "mge_main_cat_desc": "string",
        "b_9": "string",
    }
    assert fc.load(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("old", "new", "place", "found", "expected"),
    [
        (
            "text, name: city",
            "image, name: city",
            "query.features[2].kind",
            "'image'",
            "one of id, text, numeric, temp",
        ),
        ("kind: text, name: city", "name: city", "query.features[2].kind", "None", "one of id, text"),
        (CITY, "city", "query.features[2]", "'city'", "an object"),
        (CITY, "{kind: text}", "query.features[2].name", "None", "a value"),
        ("dim: 64", "dim: 3", "query.features[0].dim", "3", "a whole number from 4 to 1024, or auto"),
        ("dim: 64", "dim: 1025", "query.features[0].dim", "1025", "a whole number from 4 to 1024, or auto"),
        ("dim: 64", "dim: '64'", "query.features[0].dim", "'64'", "a whole number from 4 to 1024, or auto"),
        ("dim: 64", "dim: 64.5", "query.features[0].dim", "64.5", "a whole number from 4 to 1024, or auto"),
        ("dim: 64", "dim: true", "query.features[0].dim", "True", "a whole number from 4 to 1024, or auto"),
        ("dim: 64", "dims: 64", "query.features[0].dims", "64", "no field of this name"),
        ("name: city", "name: product_id", "query.features[2]", "'product_id'", "no column of the product: product_id"),
        ("name: product_id", "name: city", "candidate.features[0]", "'city'", "no column of the customer: city"),
        (
            "names: [stratbuy_domain_desc",
            "names: [revenue",
            "candidate.features[3]",
            "'revenue'",
            "no column of the customer: revenue, which belongs to the customer, goes to query",
        ),
        (
            QUERY_LAYERS,
            "carried: {art_name: string}\ncandidate",
            "query.carried.art_name",
            "'art_name'",
            "no column of",
        ),
        (QUERY_LAYERS, "carried: {a b: string}\ncandidate", "query.carried.a b", "'a b'", "a column name: letters"),
        (QUERY_LAYERS, "carried: {ab: text}\ncandidate", "query.carried.ab", "'text'", "'string', 'int64', 'float' or"),
        (
            "name: city",
            "name: cust_person_id",
            "query.features[2]",
            "{'kind': 'text', 'name': 'cust_person_id', 'restrict': False, 'dim': 16}",
            "another feature than features[0]: cust_person_id is listed twice",
        ),
        ("name: city", "name: 'a`b'", "query.features[2].name", "'a`b'", "a column name: letters, digits and _"),
        ("name: city", 'name: "a\\n"', "query.features[2].name", "'a\\n'", "a column name: letters, digits and _"),
        (QUERY_LAYERS, "layers: [64, 16]\ncandidate", "candidate.layers[2]", "32", "16, with which query.layers ends"),
        (QUERY_LAYERS, "layers: [64, a]\ncandidate", "query.layers[1]", "'a'", "a whole number"),
        (QUERY_LAYERS, "layers: [0, 32]\ncandidate", "query.layers[0]", "0", "greater than or equal to 1"),
        (QUERY_LAYERS, "layers: []\ncandidate", "query.layers", "[]", "at least 1"),
        (CITY, "{kind: cross, names: [city]}", "query.features[2].names", "['city']", "at least 2"),
        (
            CITY,
            "{kind: cross, names: [a, a]}",
            "query.features[2].names",
            "['a', 'a']",
            "each at most once, not a twice",
        ),
        (CITY, "{kind: cross, names: [a, 1]}", "query.features[2].names[1]", "1", "a valid string"),
        (
            CITY,
            "{kind: temporal, name: a, periods: [year]}",
            "query.features[2].periods[0]",
            "'year'",
            "'hour', 'weekd",
        ),
        (
            CITY,
            "{kind: temporal, name: a, periods: [hour, hour]}",
            "query.features[2].periods",
            "['hour', 'hour']",
            "each at most once, not hour twice",
        ),
        (CITY, "{kind: numeric, name: a, buckets: 1}", "query.features[2].buckets", "1", "greater than or equal to 2"),
        (CITY, "{kind: text, name: k}", "query.features[2]", "'k'", "another name than k, which is an input of the"),
        (
            CITY,
            "{kind: text, name: history_products}",
            "query.features[2]",
            "'history_products'",
            "another name than hi",
        ),
        (
            CITY,
            "{kind: text, name: history}",
            "query.features[2]",
            "'history'",
            "another name than history, which is an input of the served model",
        ),
        (
            CITY,
            "{kind: cross, names: [city, category]}",
            "query.features[2]",
            "'category'",
            "another name than category, which is an input of the served model",
        ),
        (
            CITY,
            "{kind: text, name: city, restrict: true}",
            "query.features[2].restrict",
            "True",
            "false: it is products that are searched for",
        ),
        (
            "{kind: id, name: product_id, dim: 32}",
            "{kind: text, name: category, restrict: true}",
            "candidate.features[0].restrict",
            "True",
            "false: stratbuy_domain_desc goes by the name category: rename the column",
        ),
        (
            CITY,
            "{kind: cross, names: [city, revenue]}",
            "query.features[2]",
            "'cross, which reads revenue as string'",
            "revenue as float, as it is in every Example",
        ),
        (
            CITY,
            "{kind: temporal, name: opened}\n    - {kind: cross, names: [city, opened]}",
            "query.features[3]",
            "'cross, which reads opened as string'",
            "opened as int64, as it is by query.features[2]",
        ),
        (
            "names: [stratbuy_domain_desc",
            "names: [product_id",
            "candidate.features[3]",
            "'cross, which reads product_id as string'",
            "product_id as int64, as it is in every Example",
        ),
        (
            CITY,
            "{kind: numeric, name: city}",
            "query.features[2]",
            "'numeric, which reads city as float'",
            "city as string",
        ),
        (
            QUERY_LAYERS,
            "carried: {timestamp: string}\ncandidate",
            "query.carried.timestamp",
            "'carried, which reads timestamp as string'",
            "timestamp as int64",
        ),
        (
            "{kind: id, name: product_id, dim: 32}",
            "{kind: temporal, name: product_id}",
            "candidate.features[0]",
            "'product_id'",
            "a column of times, such as timestamp",
        ),
        (
            f"{QUERY_LAYERS}:",
            "carried: {brand: int64}\ncandidate:\n  carried: {brand: string}",
            "candidate.carried.brand",
            "'carried, which reads brand as string'",
            "brand as int64, as it is by query.carried.brand",
        ),
        (CITY, "{kind: text, name: _x}", "query.features[2].name", "'_x'", "a column name: letters, digits and _"),
        (CITY, "{kind: text, name: class}", "query.features[2]", "'class'", "another name than class, which no input"),
        (CITY, "{kind: text, name: self}", "query.features[2]", "'self'", "another name than self, which no input"),
        (CITY, "{kind: text, name: K}", "query.features[2]", "'K'", "another name than K, which is an input of the"),
        (
            CITY,
            CITY + "\n    - {kind: text, name: City}",
            "query.features[3]",
            "'City'",
            "another name than City, which differs in case alone from city",
        ),
        ("dim: 32}", "dim: 32, restrict: 1}", "candidate.features[0].restrict", "1", "a valid boolean"),
        ("query:", "quer:", "query", "None", "a value"),
        (DEFAULT, "query: 3\ncandidate: 4", "query", "3", "an object"),
        (DEFAULT, "- 3\n", "the document", "[3]", "an object"),
    ],
)
def test_a_wrong_entry_is_named(old: str, new: str, place: str, found: str, expected: str) -> None:
    assert old in DEFAULT
    with pytest.raises(InputError) as refused:
        fc.load(DEFAULT.replace(old, new, 1))
    error = refused.value
    assert (error.where, error.found) == (f"feature config, {place}", found)
    assert error.expected.startswith(expected)
    assert "feature_config --schema" in error.remedy


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "features.yaml"
    path.write_text(DEFAULT.replace("dim: 64", "dim: 3"), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        fc.load(str(path))
    assert refused.value.where == f"{path}, query.features[0].dim"


@pytest.mark.parametrize("text", ["query: [\n", "query: !!python/object/apply:os.system ['true']\n"])
def test_what_is_no_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="invalid YAML"):
        fc.load(text)


def test_the_schema_is_printed() -> None:
    command = [sys.executable, "-m", "components.common.feature_config", "--schema"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert printed == SCHEMA
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    kinds = printed["$defs"]["Tower"]["properties"]["features"]["items"]["discriminator"]["mapping"]
    assert list(kinds) == ["cross", "history", "id", "numeric", "temporal", "text"]


def test_a_ui_can_label_every_field() -> None:
    """Every object and field has a title and a description, and every optional field its default."""
    objects = {**SCHEMA["$defs"], "FeatureConfig": SCHEMA}
    assert len(objects) == 8
    labels = set()
    for name, part in objects.items():
        assert part["title"], name
        assert part["description"], name
        for field, rule in part["properties"].items():
            assert rule["title"], (name, field)
            assert rule["description"], (name, field)
            assert ("default" in rule) is (field not in part["required"]), (name, field)
            labels.add((field, rule["title"]))
    assert len(labels) == len({field for field, _ in labels})  # one field, one title
    dim = SCHEMA["$defs"]["TextFeature"]["properties"]["dim"]
    assert dim["examples"] == [8, 16, 32, 64, 128, 256, "auto"]
    assert dim["default"] == "auto"


@pytest.mark.parametrize("document", [yaml.safe_load(DEFAULT), EVERYTHING, json.loads(json.dumps(EVERYTHING))])
def test_the_schema_accepts_good_configs(document: Any) -> None:
    assert accepts(SCHEMA, document)
    assert accepts(SCHEMA, fc.load(json.dumps(document)).model_dump(mode="json"))


ODD: list[Any] = [
    None,
    True,
    0,
    1,
    4,
    5.5,
    1025,
    "",
    "auto",
    "16",
    "a b",
    "city",
    "price",
    "k",
    "category",
    "history_ages",
    "history",
    "CATEGORY",
    "City",
    "class",
    "_x",
    "revenue",
    [],
    ["hour", "hour"],
    {},
    {"a": "b"},
]


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, as a path of keys and indices."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_the_schema_accepts_what_is_loaded_and_nothing_else(data: st.DataObject) -> None:
    """Something, somewhere, is removed, replaced or added; both must be of one opinion of the result."""
    document = copy.deepcopy(EVERYTHING)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(document)))
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        match data.draw(st.sampled_from(["remove", "replace", "add", "repeat"])):
            case "remove":
                del parent[path[-1]]
            case "replace":
                parent[path[-1]] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
            case "add" if isinstance(parent[path[-1]], dict):
                added = data.draw(
                    st.sampled_from(["dim", "name", "carried", "layers", "buckets", "colour", "timestamp"])
                )
                parent[path[-1]][added] = copy.deepcopy(data.draw(st.sampled_from([*ODD, "string"])))
            case "repeat" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[path[-1]]))
    try:
        fc.load(json.dumps(document, indent=1))
        refused = ""
    except InputError as error:
        refused = error.expected
    beyond_schema = ("is listed twice", "with which query.layers ends", "as it is by", "in case alone")
    if any(words in refused for words in beyond_schema):
        return  # what JSON schema cannot say
    assert accepts(SCHEMA, document) is not bool(refused), refused
