"""What a feature config may say, and how a wrong one is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.common import feature_config as fc
from components.common.errors import InputError

DEFAULT = Path("feature_config.yaml").read_text(encoding="utf-8")


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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: text, name: city", "kind: image, name: city", r"query\.features\.2.*'image'"),
        ("dim: 64", "dim: 3", r"query\.features\.0\.id\.dim.*found 3.*greater than or equal to 4"),
        ("dim: 64", "dim: 1025", r"found 1025.*less than or equal to 1024"),
        ("dim: 64", "dims: 64", r"query\.features\.0\.id\.dims"),
        ("name: city", "name: product_id", "product_id, which belongs to the product"),
        ("name: product_id", "name: city", "city, which belongs to the customer"),
        (
            "layers: [128, 64, 32]\ncandidate",
            "carried: {art_name: string}\ncandidate",
            "art_name, which belongs to the",
        ),
        ("name: city", "name: cust_person_id", "cust_person_id is listed twice"),
        ("name: city", "name: 'a`b'", "should match pattern"),
        ("layers: [128, 64, 32]\ncandidate", "layers: [128, 64, 16]\ncandidate", "make them equal"),
        ("query:", "quer:", "query: found .* expected Field required"),
        ("query:", "query: [", "invalid YAML"),
    ],
)
def test_a_wrong_entry_is_named(old: str, new: str, message: str) -> None:
    assert old in DEFAULT
    with pytest.raises(InputError, match=message):
        fc.load(DEFAULT.replace(old, new, 1))


def test_yaml_cannot_run_code() -> None:
    with pytest.raises(InputError, match="invalid YAML"):
        fc.load("query: !!python/object/apply:os.system ['true']\n")


def test_the_schema_is_json_schema() -> None:
    command = [sys.executable, "-m", "components.common.feature_config", "--schema"]
    schema = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    kinds = schema["$defs"]["Tower"]["properties"]["features"]["items"]["discriminator"]["mapping"]
    assert set(kinds) == {"id", "text", "numeric", "temporal", "cross"}
