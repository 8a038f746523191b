"""evaluation.json and release.json with one thing wrong inside: one sentence, or what is read of it still holds."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.common import evaluation, fingerprints, lineage
from components.common.errors import InputError
from components.evaluator.evaluate import evaluate
from components.exporter.export import export
from components.exporter.vertex import evaluation as descriptions
from components.exporter.vertex import release as releases
from serving_image import release as served
from tests.mutations import REMOVED, mutations, refusal


@pytest.fixture(scope="module")
def evaluated(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("evaluated") / "evaluation")
    floors = {"all": 0.1, "history.repeat": 0.2}
    evaluate(**world, output_path=folder, ks=(1, 2), must_beat="none", floors=floors)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def document(evaluated: str) -> dict[str, Any]:
    return dict(json.loads(Path(evaluated, "evaluation.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def short(document: dict[str, Any]) -> dict[str, Any]:
    """The same with less of everything, as if the Evaluator had written it so."""
    figures = {name: document["metrics"]["model"][name] for name in ("recall_1", "recall_2", "coverage_10")}
    (part,) = (part for part in document["slices"] if (part["group"], part["name"]) == ("history", "repeat"))
    part = {**part, "metrics": {"model": {"recall_2": part["metrics"]["model"]["recall_2"]}}, "lift": {}}
    metrics = {"model": figures, "popularity": {"recall_1": document["metrics"]["popularity"]["recall_1"]}}
    return sealed({**document, "metrics": metrics, "slices": [part], "lift": {}})


@pytest.fixture
def read(tmp_path: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def written(document: dict[str, Any]) -> dict[str, Any]:
        (tmp_path / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
        return evaluation.read(str(tmp_path))

    return written


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """As if the Evaluator had written it so."""
    return lineage.sealed(document)


def test_an_evaluation_is_read_as_it_was_written(evaluated: str, document: dict[str, Any]) -> None:
    assert evaluation.read(evaluated) == document
    assert document["made_from"] == {"model": "v1"}
    content = {key: value for key, value in document.items() if key not in ("fingerprint", "timing")}
    assert document["fingerprint"] == fingerprints.of(content)
    for reason in document["verdict"]["reasons"]:
        assert reason["measured"] >= reason["least"]


def test_no_change_of_an_evaluation_goes_unnoticed(
    short: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    assert read(short) == short
    for place, value, changed in mutations(short):
        if place[0] == "timing" or (place == ("fingerprint",) and value is REMOVED):
            continue
        with pytest.raises(InputError) as refused:
            read(changed)
        assert "evaluation.json" in refused.value.where


def test_what_is_wrong_in_an_evaluation_that_says_no_fingerprint_is_one_sentence(
    short: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Nothing read of it differs in what the Exporter needs: the verdict, and its reasons."""
    bare = {key: value for key, value in short.items() if key != "fingerprint"}
    accepted = 0
    for _, _, changed in mutations(bare):
        said, found = refusal(functools.partial(read, changed))
        assert "\n" not in said
        if said:
            continue
        accepted += 1
        assert found["verdict"]["promote"] is True
        assert [reason["rule"] for reason in found["verdict"]["reasons"]] == ["floor", "floor", "coverage"]
        assert found["model_version"]
    assert accepted  # such as another wording of a reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"promote": False}, "field verdict.promote: found False, expected true"),
        ({"promote": True, "reasons": []}, "field verdict.reasons: found [], expected a list of at least 1"),
        ({"reasons": [{"rule": "coverage", "passed": True}]}, "reasons[0].text: found nothing"),
        ({"reasons": [{"rule": "coverage", "passed": True, "text": "All."}]}, "expected floor, floor, coverage"),
    ],
)
def test_a_verdict_without_its_reasons_is_refused(
    document: dict[str, Any],
    read: Callable[[dict[str, Any]], dict[str, Any]],
    changes: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(InputError) as refused:
        read(sealed({**document, "verdict": {**document["verdict"], **changes}}))
    assert words in str(refused.value)


def test_a_verdict_that_was_turned_round_is_refused(
    document: dict[str, Any], read: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """A no of which every word was made a yes, and the fingerprint with it."""
    reasons = [dict(reason) for reason in document["verdict"]["reasons"]]
    thresholds = {**document["verdict"]["thresholds"], "min_coverage": 0.99, "must_beat": "popularity"}
    figures = {**document["metrics"]["model"], "coverage_10": {"value": 0.5, "low": 0.4, "high": 0.6}}
    changed = {**document, "metrics": {**document["metrics"], "model": figures}}
    baseline = {"rule": "baseline", "passed": True, "text": "Beats it.", "measured": 0.2, "least": 0}
    for coverage, words in (
        ({**reasons[2], "measured": 0.5, "least": 0.99}, "reasons[3].passed: found True"),
        ({**reasons[2], "measured": 1.0, "least": 0.99}, "measured 0.5, least 0.99"),
        ({**reasons[2], "measured": 0.5, "least": 0.1}, "measured 0.5, least 0.99"),
        ({key: reasons[2][key] for key in ("rule", "passed", "text")}, "reasons[3].passed: found True"),
    ):
        verdict = {"promote": True, "reasons": [*reasons[:2], baseline, coverage], "thresholds": thresholds}
        with pytest.raises(InputError) as refused:
            read(sealed({**changed, "customers": 100, "verdict": verdict}))
        assert words in str(refused.value)
    verdict = {"promote": True, "reasons": [*reasons[:2], baseline, reasons[2]], "thresholds": thresholds}
    with pytest.raises(InputError, match=r"reasons\[2\].passed: found True"):  # of four customers: too few
        read(sealed({**document, "verdict": verdict}))


@pytest.mark.usefixtures("proof_in_this_process")
def test_a_release_json_with_something_wrong_is_one_sentence(
    world: dict[str, str], evaluated: str, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    document = export(model=world["model"], examples=world["examples"], evaluation=evaluated, output_path=str(folder))
    assert document["metrics"] == {
        name: pytest.approx(figure, abs=1e-12)
        for name, figure in evaluation.read(evaluated)["metrics"]["model"].items()
        if name.startswith("recall_")
    }
    assert document["made_from"] == {"model": "v1", "evaluation": evaluation.read(evaluated)["fingerprint"]}
    assert releases.finished(str(folder), world["model"], evaluated) == document
    few = {**document, "files": dict(list(document["files"].items())[:2]), "verification": {"recall_1": 0.5}}
    few |= {"verdict": {"promote": True, "reasons": document["verdict"]["reasons"][:1]}}
    few = {key: value for key, value in few.items() if key not in ("fingerprint", "approximate_search")}
    for place, value, changed in mutations(lineage.sealed({**few, "files": {}, "made_from": {}})):
        if place != ("fingerprint",) or value is not REMOVED:
            (folder / "release.json").write_text(json.dumps(changed), encoding="utf-8")
            assert refusal(lambda: served.locate(str(folder)))[0]
    for place, _, changed in mutations(few):
        (folder / "release.json").write_text(json.dumps(changed), encoding="utf-8")
        readers: tuple[Callable[[], Any], ...] = (
            lambda: everything_of(releases.read(str(folder))),
            lambda: served.locate(str(folder)),
            lambda: releases.finished(str(folder), world["model"], evaluated),
        )
        said = [refusal(reader)[0] for reader in readers]
        assert "\n" not in "".join(said)
        if place[0] == "verdict" and place[-1] == "promote":
            assert any(said)


def everything_of(release: releases.Release) -> Any:
    """What the registry is told."""
    metrics = release.document["metrics"]
    return release.labels, descriptions.described(release), descriptions.schema_of(metrics)
