"""The demo's models: what they share, what their runs are given, and how to go on after an end."""

import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.common import feature_config as fc
from components.common.errors import InputError
from demo import models as demo_models
from demo.models import CONFIGS, Models
from pipelines import local
from pipelines.console import Steps

PARAMETERS = {"purchases": "/p.parquet", "products": "/q.parquet", "epochs": 3, "ks": [5], "seed": 7}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], str, dict[str, Any], Path]]:
    """In place of kfp.local: notes what it is given, and makes the steps that the pipeline has."""
    calls = []

    def run(spec: str, root: str, parameters: dict[str, Any], *, folder: Path, **_: Any) -> dict[str, str]:
        document = json.loads(Path(spec).read_text())
        calls.append((document, root, parameters, folder))
        for step in document["root"]["dag"]["tasks"]:
            if not step.startswith("importer"):
                done(folder, step)
        return {}

    monkeypatch.setattr(local, "run", run)
    return calls


def done(folder: Path, step: str) -> None:
    """A step that is done: its artifacts do not matter here."""
    for artifact in ("examples", "vocabularies", "model"):
        (folder / step / artifact).mkdir(parents=True)
    (folder / step / local.OUTPUT).write_text("{}")


def made(tmp_path: Path, reuse: str = "") -> Models:
    return Models(Steps(Console(file=io.StringIO())), PARAMETERS, str(tmp_path), docker=False, reuse=reuse)


def test_the_second_model_learns_from_the_first_one_s_data(tmp_path: Path, ran: list) -> None:
    models = made(tmp_path)
    first = models.make(str(tmp_path / "default"), "default", "")
    second = models.make(str(tmp_path), "history", str(first / "trainer/model"))
    (whole, _, given, _), (again, root, taken, folder) = ran
    assert whole["pipelineInfo"]["name"] == "metro-recs-training"
    assert given == {**PARAMETERS, "feature_config": Path(CONFIGS["default"]).read_text(), "champion": ""}
    assert again["pipelineInfo"]["name"] == "metro-recs-retraining"
    assert taken == {
        **{name: PARAMETERS[name] for name in ("epochs", "ks", "seed")},
        "feature_config": Path(CONFIGS["history"]).read_text(),
        "champion": str(first / "trainer/model"),
        "examples": str(first / "data-extractor/examples"),
        "vocabularies": str(first / "vocab-builder/vocabularies"),
    }
    assert (root, folder) == (str(tmp_path), second)
    # Whoever looks for the data beside the model finds it, and the folder of all runs can be moved.
    assert (second / "data-extractor/examples").exists()
    assert not (second / "vocab-builder").readlink().is_absolute()


def test_a_model_beside_the_first_waits_for_its_champion_when_it_is_trained(tmp_path: Path, ran: list) -> None:
    models = made(tmp_path)
    first = models.make(str(tmp_path / "default"), "default", "")
    waited: list[int] = []

    def champion() -> Path:
        waited.append(len(ran))
        return first / "trainer/model"

    second = models.make_beside(str(tmp_path), "history", champion)
    _, *parts = ran
    names = [document["pipelineInfo"]["name"].removeprefix("metro-recs-rerun-") for document, *_ in parts]
    assert names == ["trainer", "evaluator", "exporter"]
    assert waited == [2, 3]
    assert {folder for *_, folder in parts} == {second}
    examples, vocabularies = str(first / "data-extractor/examples"), str(first / "vocab-builder/vocabularies")
    trained, evaluated, released = (given for _, _, given, _ in parts)
    config = Path(CONFIGS["history"]).read_text()
    data = {"examples": examples, "vocabularies": vocabularies}
    assert trained == {**data, "feature_config": config, "epochs": 3, "seed": 7}
    model = str(second / "trainer/model")
    assert evaluated == {**data, "model": model, "champion": str(first / "trainer/model"), "ks": [5]}
    assert released == {"examples": examples, "model": model, "evaluation": str(second / "evaluator/evaluation")}


def test_a_config_that_sees_other_columns_gets_data_of_its_own(
    tmp_path: Path, ran: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    wider = tmp_path / "wider.yaml"
    text = Path(CONFIGS["history"]).read_text()
    wider.write_text(text.replace("- {kind: history}", "- {kind: history}\n    - {kind: text, name: channel, dim: 8}"))
    monkeypatch.setitem(demo_models.CONFIGS, "history", str(wider))
    models = made(tmp_path)
    models.make(str(tmp_path / "default"), "default", "")
    models.make(str(tmp_path), "history", "")
    assert [document["pipelineInfo"]["name"] for document, *_ in ran] == ["metro-recs-training"] * 2


def test_our_two_configs_share_their_data() -> None:
    """And all that a config reads besides is in every Example: customer, product and time."""
    default, history = (fc.load(CONFIGS[name]) for name in ("default", "history"))
    assert demo_models.columns_of(CONFIGS["history"]) <= demo_models.columns_of(CONFIGS["default"])
    assert set(history.columns) <= set(default.columns) | {"cust_person_id", "product_id", "timestamp"}


def test_an_earlier_run_s_data(tmp_path: Path, ran: list) -> None:
    earlier = made(tmp_path).make(str(tmp_path), "default", "")
    models = made(tmp_path, reuse=str(earlier))
    later = models.make(str(tmp_path), "default", "")
    assert ran[1][2]["examples"] == str(earlier / "data-extractor/examples")
    # What reused it can be reused.
    made(tmp_path, reuse=str(later)).make(str(tmp_path), "history", "")
    assert ran[2][2]["examples"] == str(earlier / "data-extractor/examples")


def test_a_run_without_data_is_refused(tmp_path: Path) -> None:
    done(tmp_path, "data-extractor")
    with pytest.raises(InputError, match=r"found no data, expected data-extractor and vocab-builder of a run"):
        made(tmp_path, reuse=str(tmp_path))


def test_how_to_go_on(tmp_path: Path, ran: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models = made(tmp_path)
    assert models.left(["--seed", "1"]) == []  # nothing was begun
    first = models.make(str(tmp_path / "my runs"), "default", "")
    second = models.make(str(tmp_path), "history", str(first / "trainer/model"))
    *finished, on = models.left(["--seed", "1", "--folder", "a b"])
    steps = ("data-extractor", "vocab-builder", "trainer", "evaluator", "exporter")
    expected = [f"my runs/{first.name}/{step}" for step in steps] + [f"{second.name}/{step}" for step in steps[2:]]
    assert finished == [f"finished  {path}" for path in expected]
    again = f"--reuse {second.name} --champion 'my runs/{first.name}/trainer/model'"
    assert shlex.split(on)[2:] == ["make", "run", f"ARGS=--seed 1 --folder 'a b' {again}"]
    with_the_same_data = models.left(["--reuse", "x"])[-1]
    assert shlex.split(with_the_same_data)[4] == f"ARGS=--reuse x --champion 'my runs/{first.name}/trainer/model'"


def test_before_there_is_data_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    models = made(tmp_path)
    models.folders.append(tmp_path / "run")
    done(tmp_path / "run", "data-extractor")
    (finished,) = models.left([])
    assert finished.endswith("run/data-extractor")
