"""Runs that are ended midway, against one that was left alone: the same command must end with the same model."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.errors import InputError
from tests.toy_shops import Shop
from trainer_image.options import Options
from trainer_image.train import train

pytestmark = pytest.mark.slow
WAIT = 300  # seconds after which a process that hangs is ended


def command(options: Options) -> list[str]:
    flags = {f"--{name.replace('_', '-')}": value for name, value in asdict(options).items()}
    given = [part for flag, value in flags.items() if value != "" and value is not False for part in (flag, str(value))]
    return [sys.executable, "-m", "trainer_image.main", *given]


def end(options: Options, by: signal.Signals, after: float) -> int:
    """Starts the command and ends it some seconds after a new checkpoint appeared; returns its exit code."""
    folder = Path(options.checkpoints)
    before = {path.name for path in folder.glob("step-*.npz")}
    with subprocess.Popen(command(options), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        deadline = time.monotonic() + WAIT
        try:
            while not {path.name for path in folder.glob("step-*.npz")} - before:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline, "no checkpoint appeared"
                time.sleep(0.01)
            time.sleep(after)
            process.send_signal(by)
            return process.wait(WAIT)
        finally:
            process.kill()


def finish(options: Options) -> str:
    done = subprocess.run(command(options), capture_output=True, text=True, check=False, timeout=WAIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """Long enough to be ended three times: 60 epochs of 20 steps, and a checkpoint after every call."""
    return {"epochs": 60, "patience": 60, "checkpoint_minutes": 0.0, "learning_rate": 0.003, "loss": "in-batch"}


@pytest.fixture(scope="module")
def undisturbed(shop: Shop, tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "model"
    finish(shop.options(folder, **settings))
    return folder


def outcome(model: Path) -> dict[str, Any]:
    """What must be equal: everything but how long it took, and the random number in every SavedModel."""
    document = json.loads((model / "model_metadata.json").read_text(encoding="utf-8"))
    del document["files"], document["fingerprint"]
    document["training"].pop("seconds")
    for point in document["training"]["curve"]:
        point.pop("seconds")
        point.pop("examples_per_s")
    return document


def weights(model: Path) -> dict[str, np.ndarray]:
    with np.load(model / "weights.npz", allow_pickle=False) as archive:
        return dict(archive)


def test_three_kills_at_random_moments_change_nothing(
    shop: Shop, tmp_path: Path, undisturbed: Path, settings: dict[str, Any]
) -> None:
    options = shop.options(tmp_path / "model", **settings)
    moments = [random.uniform(0, 0.5) for _ in range(3)]  # noqa: S311
    for after in moments:
        assert end(options, signal.SIGKILL, after) == -signal.SIGKILL
        assert not (tmp_path / "model").exists()
    assert "continuing after step" in finish(options)
    assert outcome(tmp_path / "model") == outcome(undisturbed), moments
    for name, value in weights(undisturbed).items():
        np.testing.assert_array_equal(weights(tmp_path / "model")[name], value, err_msg=f"{name} {moments}")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_preempted_run_saves_exits_with_its_own_code_and_continues(
    shop: Shop, tmp_path: Path, undisturbed: Path, settings: dict[str, Any]
) -> None:
    options = shop.options(tmp_path / "model", **(settings | {"checkpoint_minutes": 0.02}))
    assert end(options, signal.SIGTERM, 0.1) == 75
    finish(options)
    assert outcome(tmp_path / "model") == outcome(undisturbed)


def test_checkpoints_of_another_run_are_refused_and_changed_epochs_are_not(shop: Shop, tmp_path: Path) -> None:
    options = shop.options(tmp_path / "model", epochs=40, patience=40, checkpoint_minutes=0.0)
    end(options, signal.SIGKILL, 0.0)
    with pytest.raises(
        InputError, match=r"model\.checkpoints: found checkpoints of a run with seed 42, expected seed 7"
    ):
        train(shop.options(tmp_path / "model", epochs=40, patience=40, seed=7))
    longer = shop.options(tmp_path / "model", epochs=45, patience=45, learning_rate=0.001)
    assert train(longer)["training"]["curve"][-1]["epoch"] == 45


def test_a_diverging_run_stops_and_keeps_its_last_good_checkpoint(shop: Shop, tmp_path: Path) -> None:
    options = shop.options(tmp_path / "model", epochs=40, patience=40, checkpoint_minutes=0.0)
    end(options, signal.SIGKILL, 0.0)
    before = sorted(Path(options.checkpoints).glob("step-*.npz"))
    with pytest.raises(InputError, match=r"expected finite numbers\. Lower --learning-rate"):
        train(shop.options(tmp_path / "model", epochs=40, patience=40, learning_rate=1e30, warmup_steps=0))
    after = sorted(Path(options.checkpoints).glob("step-*.npz"))
    assert after == before
    for path in after:
        with np.load(path, allow_pickle=False) as archive:
            assert all(np.isfinite(value).all() for value in archive.values())
