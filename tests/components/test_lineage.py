"""Artifacts of two runs are not mixed without a word: each says by fingerprints what it was made from."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.common import checksums, evaluation, fingerprints
from components.common.errors import InputError
from components.evaluator import inputs
from components.evaluator.evaluate import evaluate
from components.exporter.export import export
from tests.components import fake_model
from tests.components.exporter.releases import write_evaluation

Edit = Callable[[dict[str, Any]], None]


def edited(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, **changes}), encoding="utf-8")


def sealed(path: str | Path, **changes: Any) -> str:
    """Changes vocabularies.json, as if it had been written so; returns its fingerprint."""
    document = {**json.loads(Path(path).read_text(encoding="utf-8")), **changes}
    content = {name: value for name, value in document.items() if name != "fingerprint"}
    Path(path).write_text(json.dumps({**content, "fingerprint": fingerprints.of(content)}), encoding="utf-8")
    return fingerprints.of(content)


def vocabularies_of(run: dict[str, str]) -> str:
    return str(json.loads(Path(run["vocabularies"]).read_text(encoding="utf-8"))["fingerprint"])


@pytest.fixture
def run(world: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Model, examples and vocabularies of one run, which say so."""
    made = {name: str(shutil.copytree(world[name], tmp_path / name)) for name in ("model", "examples")}
    made["vocabularies"] = str(shutil.copy(world["vocabularies"], tmp_path / "vocabularies.json"))
    edited(tmp_path / "examples/metadata.json", fingerprint="e1")
    own = sealed(made["vocabularies"], examples="e1")
    files = checksums.of(made["model"])
    del files["model_metadata.json"]
    edited(tmp_path / "model/model_metadata.json", made_from={"examples": "e1", "vocabularies": own}, files=files)
    return made


def read(run: dict[str, str], **changes: Any) -> inputs.Inputs:
    given = {"champion": "", "split": "test", "ks": (1, 2), **run, **changes}
    return inputs.read(**given)


def test_artifacts_of_one_run_say_so(run: dict[str, str], tmp_path: Path) -> None:
    found = read(run)
    assert found.made_from == {"made_from": {"model": "v1", "examples": "e1", "vocabularies": vocabularies_of(run)}}


@pytest.mark.parametrize(
    ("file", "changes", "where"),
    [
        ("examples/metadata.json", {"fingerprint": "e2"}, "vocabularies.json, field examples"),
        ("vocabularies.json", {"examples": "e2"}, "vocabularies.json, field examples"),
        ("vocabularies.json", {"rows": 1_000_000}, "model_metadata.json, field made_from.vocabularies"),
        (
            "model/model_metadata.json",
            {"made_from": {"examples": "e2"}},
            "model_metadata.json, field made_from.examples",
        ),
    ],
)
def test_the_evaluator_refuses_strangers_unless_it_is_told_to_mix(
    run: dict[str, str], tmp_path: Path, file: str, changes: dict[str, Any], where: str
) -> None:
    (sealed if file == "vocabularies.json" else edited)(tmp_path / file, **changes)
    with pytest.raises(InputError) as refused:
        read(run)
    assert refused.value.where.endswith(where)
    assert "--mix" in refused.value.remedy
    assert read(run, mix=True).made_from["made_from"]["model"] == "v1"


def test_what_says_nothing_is_taken_as_it_is(run: dict[str, str], tmp_path: Path) -> None:
    edited(tmp_path / "model/model_metadata.json", made_from={}, files={})
    edited(tmp_path / "vocabularies.json", examples="", fingerprint="")
    assert read(run).made_from == {"made_from": {"model": "v1", "examples": "e1"}}


def test_a_champion_may_be_of_other_examples(run: dict[str, str], tmp_path: Path) -> None:
    champion = shutil.copytree(run["model"], tmp_path / "champion")
    edited(champion / "model_metadata.json", made_from={"examples": "e0", "vocabularies": "v0"}, model_version="v0")
    assert read(run, champion=str(champion)).models["champion"].version == "v0"


@pytest.mark.parametrize("part", ["query_model", "candidate_model", "saved_model"])
def test_a_model_with_another_ones_files_is_refused(run: dict[str, str], tmp_path: Path, part: str) -> None:
    scores = {"ann": [1, 2, 3, 4], "bob": [1, 1, 1, 1], "cyd": [0, 1, 2, 3], "dan": [1, 2, 2, 0]}
    other = fake_model.write_model(tmp_path / "other", scores, [11, 12, 13, 14], 2 * fake_model.np.eye(4))
    shutil.rmtree(tmp_path / "model" / part)
    shutil.copytree(f"{other}/{part}", tmp_path / "model" / part)
    with pytest.raises(InputError, match=rf"model/{part}/.*, expected the file that model_metadata.json names"):
        read(run)
    given = {"model": run["model"], "examples": run["examples"]}
    written = write_evaluation(tmp_path / "evaluation")
    with pytest.raises(InputError, match=rf"model/{part}/.*, expected the file that model_metadata.json names"):
        export(**given, evaluation=written, output_path=str(tmp_path / "release"))  # type: ignore[arg-type]


@pytest.mark.parametrize("mix", [False, True])
@pytest.mark.parametrize(
    ("made_from", "field"),
    [({"model": "v1", "examples": "e2"}, "examples"), ({"model": "v0", "examples": "e1"}, "model")],
)
def test_the_exporter_refuses_an_evaluation_of_others(
    run: dict[str, str], tmp_path: Path, made_from: dict[str, str], field: str, mix: bool
) -> None:
    written = write_evaluation(tmp_path / "evaluation", made_from=made_from)
    with pytest.raises(InputError, match=rf"evaluation\.json, field made_from\.{field}"):
        export(
            model=run["model"],
            examples=run["examples"],
            evaluation=written,
            output_path=str(tmp_path / "release"),
            mix=mix,
        )
    assert not (tmp_path / "release").exists()


@pytest.mark.usefixtures("proof_in_this_process")
def test_the_exporter_releases_a_model_on_other_examples_only_if_it_is_told_to(
    run: dict[str, str], tmp_path: Path
) -> None:
    metadata = tmp_path / "model/model_metadata.json"
    edited(metadata, made_from={"examples": "e0", "vocabularies": "v0"})
    written = write_evaluation(tmp_path / "evaluation", made_from={"model": "v1", "examples": "e1"})
    given: dict[str, Any] = {"model": run["model"], "examples": run["examples"], "evaluation": written}
    with pytest.raises(InputError, match=r"model_metadata\.json, field made_from\.examples"):
        export(**given, output_path=str(tmp_path / "release"))
    document = export(**given, output_path=str(tmp_path / "release"), mix=True)
    assert document["made_from"] == {"model": "v1", "examples": "e1"}


def test_an_evaluation_says_what_it_was_made_from(run: dict[str, str], tmp_path: Path) -> None:
    output = str(tmp_path / "evaluation")
    evaluate(**run, output_path=output, ks=(1, 2), must_beat="none")  # type: ignore[arg-type]
    found = evaluation.read(output)
    assert found["made_from"] == {"model": "v1", "examples": "e1", "vocabularies": vocabularies_of(run)}
