"""The Trainer's command line, from wherever it is started."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.servers import images
from tests.toy_shops import Shop
from trainer_image import main
from trainer_image.options import Options

ROOT = Path(__file__).resolve().parents[2]
OURS = {path.stem for path in (ROOT / "trainer_image").glob("*.py")} - {"__init__", "main"}
IMAGE = "europe-west4-docker.pkg.dev/my-project/metro-recs/trainer:latest"


def imported(place: tuple[Path, str, dict[str, str]]) -> set[str]:
    """What `--help` imports, when a file is started in a folder with these variables alone."""
    folder, file, variables = place
    command = [sys.executable, "-X", "importtime", file, "--help"]
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--tfrecords-path" in done.stdout
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_it_starts_as_a_file_and_hides_nobodys_modules(tmp_path: Path) -> None:
    """In the image, in its folder of a checkout, and from the checkout's root."""
    assert {"inputs", "cache", "history", "machine"} <= OURS  # names that others may have too
    (tmp_path / "link").symlink_to(ROOT / "trainer_image")
    image = images.image(IMAGE)
    places = [
        (image.workdir, "main.py", image.environment),
        (ROOT / "trainer_image", "main.py", {}),
        (ROOT, "trainer_image/main.py", {}),
        (tmp_path, "link/main.py", {"PYTHONPATH": "link"}),
    ]
    with ThreadPoolExecutor(2) as pool:
        for names in pool.map(imported, places):
            assert "trainer_image.options" in names
            assert not names & OURS


def test_a_job_may_run_again_and_the_four_paths_are_enough(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Options, dict[str, Any]]] = []
    monkeypatch.setattr("trainer_image.train.train", lambda options, **how: asked.append((options, how)))
    monkeypatch.chdir(Path(shop.examples))  # where no feature_config.yaml is
    four: dict[str, Any] = {
        "tfrecords_path": shop.examples,
        "vocabularies_path": shop.vocabularies,
        "metadata_path": shop.metadata,
        "output_path": "gs://my-bucket/models",
    }
    flags = [part for name, value in four.items() for part in (f"--{name.replace('_', '-')}", value)]
    monkeypatch.setattr(sys, "argv", ["main.py", *flags])
    main.cli.run(main.train)
    assert asked == [(Options(**four), {"again": True})]
