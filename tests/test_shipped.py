"""The default feature config: one file, wherever a default is taken from it."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from components.common import feature_config as fc
from components.common.shipped import FEATURE_CONFIG
from components.data_extractor.extract import extract
from components.vocab_builder.build import build_vocabularies
from demo.models import CONFIGS
from pipelines import custom_job, job, runs
from tests.servers import images
from trainer_image.options import Options

ROOT = Path(__file__).resolve().parents[1]
NAME = "feature_config"


def of(function: Any) -> object:
    return inspect.signature(function).parameters[NAME].default


def test_it_is_the_repositorys_file() -> None:
    """By its text: an editor may put a file in the place of the link."""
    assert Path(FEATURE_CONFIG).read_bytes() == (ROOT / "feature_config.yaml").read_bytes()


def test_everybody_has_the_same_default() -> None:
    classes = (Options, job.Job, runs.Run, custom_job.Training)
    defaults = {one.__module__: field.default for one in classes for field in fields(one) if field.name == NAME}
    assert len(defaults) == len(classes)
    found = [*defaults.values(), of(extract), of(build_vocabularies), CONFIGS["default"]]
    assert found == [FEATURE_CONFIG] * len(found)


def test_a_file_in_the_current_folder_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fc.load(FEATURE_CONFIG)
    (tmp_path / "feature_config.yaml").write_text("query: something else")
    monkeypatch.chdir(tmp_path)
    assert fc.load(FEATURE_CONFIG) == expected


@pytest.mark.parametrize("image", ["metro-recs/data:latest", "eu.pkg.dev:443/shop/metro-recs/trainer@sha256:00"])
def test_the_images_hold_it(image: str) -> None:
    inside = images.image(image).folder / "app" / Path(FEATURE_CONFIG).relative_to(ROOT)
    assert inside.read_bytes() == Path(FEATURE_CONFIG).read_bytes()
    assert not inside.is_symlink()
