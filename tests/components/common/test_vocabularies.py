"""vocabularies.json in both of its forms."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common import example_set, vocabularies
from components.common.errors import InputError
from components.vocab_builder.build import build_vocabularies
from tests import example_folders
from tests.example_folders import rows_of

COLUMNS = {"cust_person_id": "string", "product_id": "int64", "city": "string", "revenue": "float"}
CONFIG = """
query: {features: [{kind: id, name: cust_person_id}, {kind: text, name: city}, {kind: numeric, name: revenue}]}
candidate: {features: [{kind: id, name: product_id}]}
"""


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("loose") / "all_data"
    example_folders.write_unsplit(folder, rows_of(60))
    return str(folder)


def write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def tokens(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {name: sorted({str(row[name]) for row in rows}) for name in ("cust_person_id", "product_id", "city")}


@pytest.fixture(scope="module")
def built(loose: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the VocabBuilder makes of the same shards."""
    path = tmp_path_factory.mktemp("built") / "vocabularies.json"
    return build_vocabularies(examples=loose, feature_config=CONFIG, output_path=str(path))


def test_the_vocab_builder_counts_four_fifths_of_shards_that_nobody_split(loose: str, built: dict[str, Any]) -> None:
    with example_set.opened(loose) as found:
        train = found.part("train").read({"timestamp": "int64"})["timestamp"].tolist()
        assert built["examples"] == found.fingerprint
    rows = [row for row in rows_of(60) if row["timestamp"] in train]
    assert built["rows"] == len(rows) == 49
    for name in ("cust_person_id", "product_id", "city"):
        counted = sorted(Counter(str(row[name]) for row in rows).items(), key=lambda item: (-item[1], item[0]))
        feature = built["features"][name]
        assert list(zip(feature["tokens"], feature["counts"], strict=True)) == counted
    np.testing.assert_allclose(built["features"]["revenue"]["mean"], np.mean([row["revenue"] for row in rows]))


def test_tokens_alone_are_completed_to_what_the_vocab_builder_writes(
    loose: str, built: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "v.json", tokens(rows_of(60)))
    with example_set.opened(loose) as found:
        completed = vocabularies.read(path).completed(found.part("train"), COLUMNS)
    assert completed.features == json.loads(json.dumps(built["features"]))
    assert (completed.examples, completed.fingerprint) == ("", "")


def test_tokens_are_those_that_are_listed_and_that_training_has(loose: str, tmp_path: Path) -> None:
    path = write(tmp_path / "v.json", {"product_id": [306_344_001_001, "5"], "cust_person_id": ["клієнт 1"]})
    with example_set.opened(loose) as found:
        features = vocabularies.read(path).completed(found.part("train"), COLUMNS).features
    assert features["product_id"]["tokens"] == ["306344001001"]
    assert features["cust_person_id"]["tokens"] == ["клієнт 1"]
    assert len(features["city"]["tokens"]) == 2  # not listed at all: counted


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"city": "Київ"}, "column city: found a str, expected a list of tokens"),
        ({"city": [1.5]}, "column city: found a float among the tokens"),
        ({"city": ["a", "b", "a"]}, "column city: found the token 'a' twice"),
        ({"format_version": 1}, "field features: found nothing"),
        ({"format_version": 7, "features": {}}, "field format_version: found 7"),
        ({"format_version": 1, "features": {"city": ["a"]}}, "feature city: found a list, expected an object"),
        ({"format_version": 1, "features": {"city": {"tokens": [1]}}}, "feature city, tokens: found something else"),
        (
            {"format_version": 1, "features": {"city": {"tokens": ["a"], "counts": []}}},
            "feature city: found 0 counts of 1 tokens",
        ),
        ({"format_version": 1, "features": {"city": {}}, "examples": 7}, "field examples: found 7"),
    ],
)
def test_what_is_no_vocabulary(tmp_path: Path, document: Any, said: str) -> None:
    with pytest.raises(InputError) as raised:
        vocabularies.read(write(tmp_path / "v.json", document))
    assert said in str(raised.value)


def test_a_vocabulary_that_was_changed(built: dict[str, Any], tmp_path: Path) -> None:
    assert vocabularies.read(write(tmp_path / "v.json", built)).fingerprint == built["fingerprint"]
    built = json.loads(json.dumps(built))
    built["features"]["city"]["counts"][0] += 1
    with pytest.raises(InputError, match=r"field fingerprint: found .* it was changed after it was written"):
        vocabularies.read(write(tmp_path / "v.json", built))


def test_a_vocabulary_of_other_examples(built: dict[str, Any], tmp_path: Path) -> None:
    read = vocabularies.read(write(tmp_path / "v.json", built))
    for examples, mix in ((built["examples"], False), ("", False), ("another", True)):
        read.expect_of(examples, "examples", mix)
    with pytest.raises(InputError, match=r"v\.json, field examples: found .* expected 'another', .* --mix"):
        read.expect_of("another", "examples", False)
