"""A whole search with the real Trainer, and one that is ended in the middle."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.common import feature_config as fc
from components.common import staging
from components.common.errors import InputError
from pipelines import parameters
from tests.toy_shops import Shop
from trainer_image.options import Options
from tuning import search, studies, trainer
from tuning.options import Search

SPACE = """
learning_rate: {low: 0.001, high: 0.1, log: true}
layers: {choices: ["8", "16-8"]}
dim.product_id: {low: 4, high: 16}
"""


def command(shop: Shop, folder: Path, *more: str) -> list[str]:
    options = shop.options(folder)
    return [
        sys.executable, "-m", "tuning", "--tfrecords-path", options.tfrecords_path, "--vocabularies-path",
        options.vocabularies_path, "--metadata-path", options.metadata_path, "--output-path", str(folder),
        "--epochs", "3", "--batch-size", "100", "--top-k", "5", "--k", "5", "--space", SPACE, *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_search(tmp_path: Path, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "search"
    search.tune(shop.options(folder), Search(trials=3, space=SPACE, k=5))
    printed = capsys.readouterr().out
    document = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    trials = document["trials"]
    assert [trial["number"] for trial in trials] == [0, 1, 2]
    assert trials[0]["settings"] == {}
    assert all(set(trial["settings"]) == {"learning_rate", "layers", "dim.product_id"} for trial in trials[1:])
    recalls = [trial["validation"]["validation_recall_5"] for trial in trials]
    assert document["best"]["number"] == recalls.index(max(recalls))
    assert document["given"]["validation"] == trials[0]["validation"]
    # What is in best/ is the best training's: model, parameters and feature config.
    model = json.loads((folder / "best" / "model" / "model_metadata.json").read_text(encoding="utf-8"))
    assert model["metrics"]["validation_metrics"] == trials[document["best"]["number"]]["validation"]
    config = fc.load(str(folder / "best" / "feature_config.yaml"))
    assert config.model_dump(mode="json") == model["feature_config"]
    told = parameters.read(
        parameters.read_spec("pipeline.json"),
        str(folder / "best" / "parameters.yaml"),
        ["purchases=a.b.c", "products=a.b.d"],
        str(folder / "best" / "feature_config.yaml"),
    )
    assert told["learning_rate"] == model["hyperparameters"]["learning_rate"]
    assert told["batch_size"] == 100
    # Of the others only the log is left.
    left = [path.name for path in (folder / "trials").glob("*/model")]
    assert len(left) == 1
    assert len(list((folder / "trials").glob("*/train.log"))) == 3
    assert (folder / "tuning.png").read_bytes().startswith(b"\x89PNG")
    assert "the test split decided nothing" in printed
    # The same command does not train again.
    logs = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/train.log")}
    search.tune(shop.options(folder), Search(trials=3, space=SPACE, k=5))
    assert {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/train.log")} == logs
    assert json.loads((folder / "tuning.json").read_text(encoding="utf-8")) == document
    with pytest.raises(InputError, match=r"found a search with other settings \(another search space\), expected"):
        search.tune(shop.options(folder), Search(trials=3, space="{l1: {low: 0, high: 1}}", k=5))
    with pytest.raises(InputError, match=r"found a search with other settings \(--epochs 4 there, 5 now\)"):
        search.tune(shop.options(folder, epochs=5), Search(trials=3, space=SPACE, k=5))


@pytest.mark.slow
def test_no_settings_are_trained_twice_and_a_bucket_is_copied_once(
    tmp_path: Path, shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The given batch size is 100: the search has two settings, however often it asks."""
    copied, trained = [], []

    @contextlib.contextmanager
    def staged(path: str) -> Iterator[str]:
        copied.append(path)
        yield shop.examples

    def train(options: Options, *arguments: Any) -> Any:
        trained.append((options.tfrecords_path, options.batch_size))
        return really(options, *arguments)

    really = trainer.train
    monkeypatch.setattr(staging, "staged", staged)
    monkeypatch.setattr(trainer, "train", train)
    folder, sizes = tmp_path / "search", "{batch_size: {choices: [100, 50]}}"
    options = shop.options(folder, tfrecords_path="gs://bucket/examples")
    for _ in range(2):  # the second call has nothing to train, so that it copies nothing
        search.tune(options, Search(trials=5, space=sizes, k=5))
    assert copied == ["gs://bucket/examples"]
    assert sorted(trained) == [(shop.examples, 50), (shop.examples, 100)]
    document = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    first = {
        100: 0,
        50: next(trial["number"] for trial in document["trials"] if trial["settings"].get("batch_size") == 50),
    }
    for trial in document["trials"]:
        earlier = first[trial["settings"].get("batch_size", 100)]
        assert trial.get("repeats") == (None if trial["number"] == earlier else earlier)
        assert trial["validation"] == document["trials"][earlier]["validation"]
    printed = capsys.readouterr().out
    assert printed.count(", not repeated") == 3
    assert "the best of 2 trainings" in printed
    with pytest.raises(InputError, match=r"other settings \(--epochs 4 there, 5 now\)"):  # before anything is copied
        search.tune(replace(options, epochs=5), Search(trials=9, space=sizes, k=5))
    assert len(copied) == 1


@pytest.mark.slow
def test_an_ended_search_goes_on(tmp_path: Path, shop: Shop) -> None:
    folder = tmp_path / "search"
    asked = command(shop, folder, "--trials", "2", "--epochs", "100", "--patience", "100")
    process = subprocess.Popen(asked, stderr=subprocess.PIPE, text=True)
    curve = folder / "trials" / "given" / "model.checkpoints" / "logs" / "curve.csv"
    try:
        while not (curve.exists() and len(curve.read_text(encoding="utf-8").splitlines()) > 3):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    finally:
        process.kill()
    assert process.returncode == 75
    assert "the same command goes on from here" in said
    assert not running(folder)
    finished = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    log = (folder / "trials" / "given" / "train.log").read_text(encoding="utf-8")
    assert "continuing after step" in log
    document = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    assert [(trial["number"], bool(trial["settings"])) for trial in document["trials"]] == [(1, False), (2, True)]


def running(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder) in path.read_text(encoding="utf-8", errors="replace"):
                found.append(int(path.parent.name))
        except OSError:  # it has just ended
            continue
    return found


@pytest.mark.slow
def test_the_first_training_fails(tmp_path: Path, shop: Shop) -> None:
    folder = tmp_path / "search"
    done = subprocess.run(command(shop, folder, "--top-k", "1000"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the first training, with the settings as given: found --top-k: found 1000")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_later_training_fails(tmp_path: Path, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "search"
    rates = "{learning_rate: {choices: [1.0e+30, 1.0e+31]}}"
    search.tune(shop.options(folder), Search(trials=2, space=rates, k=5))
    document = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    assert [trial["state"] for trial in document["trials"]] == ["complete", "fail"]
    assert "--learning-rate" in document["trials"][1]["error"]
    assert document["best"]["settings"] == {}
    assert ": failed: " in capsys.readouterr().out


@pytest.mark.slow
def test_time_is_over_and_a_training_is_given_up(
    tmp_path: Path, shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "COMPARED", 1)
    monkeypatch.setattr(studies, "FROM_EPOCH", 0)
    folder, rates = tmp_path / "search", "{learning_rate: {choices: [1.0e-12, 1.0e-13]}}"
    options = shop.options(folder, epochs=200, patience=200)
    search.tune(options, Search(trials=2, minutes=1e-6, space=rates, k=5))
    assert "1e-06 minutes are over" in capsys.readouterr().out
    given = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    assert [trial["state"] for trial in given["trials"]] == ["complete"]
    search.tune(options, Search(trials=2, space=rates, k=5))
    assert ": given up after epoch " in capsys.readouterr().out
    document = json.loads((folder / "tuning.json").read_text(encoding="utf-8"))
    assert [trial["state"] for trial in document["trials"]] == ["complete", "pruned"]
    assert document["best"] == document["given"] == given["given"]
    assert [path.name for path in (folder / "trials").iterdir()] == ["given"]
    assert (folder / "best" / "model").is_dir()


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"trials": 0}, "--trials: found 0"),
    ({}, {"minutes": -1}, "--minutes: found -1"),
    ({}, {"k": 50}, "--k: found 50, expected one of 5. "),
    ({"ablate": True}, {}, "--ablate: found True, expected no ablation"),
    ({"refit": True}, {}, "--refit: found True, expected no second training"),
    ({"checkpoint_path": "somewhere"}, {}, "--checkpoint-path: found somewhere"),
    ({"epochs": 0}, {}, "--epochs: found 0"),
    ({"output_path": "gs://bucket/search"}, {}, "--output-path: found gs://bucket/search, expected a local folder"),
    ({"metadata_path": "nowhere/metadata.json"}, {}, "nowhere/metadata.json"),
]


@pytest.mark.parametrize(("flags", "asked", "message"), REFUSED)
def test_what_is_refused(
    tmp_path: Path, shop: Shop, flags: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        search.tune(shop.options(**{"output": tmp_path / "search", **flags}), Search(**{"k": 5, **asked}))
    assert not (tmp_path / "search").exists()


def test_a_folder_with_something_else(tmp_path: Path, shop: Shop) -> None:
    (tmp_path / "thesis.tex").write_text("my life's work", encoding="utf-8")
    with pytest.raises(InputError, match="found the output of another run"):
        search.tune(shop.options(tmp_path), Search(k=5))
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_cluster_is_refused(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(InputError, match="TF_CONFIG: found a cluster"):
        search.tune(shop.options(tmp_path / "search"), Search(k=5))
