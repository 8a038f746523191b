"""One release for all tests, its model, and a server that is ready to serve it."""

from pathlib import Path

import pytest

from serving_image.model import Model
from serving_image.rows import Limits
from serving_image.service import Service
from tests.serving_image import shop, stand_in


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("served") / "release [v1]"  # a name that TensorFlow takes for a pattern
    folder.mkdir()
    return stand_in.write_known(
        folder, shop.CUSTOMERS, shop.CANDIDATES, shop.TABLE, metrics={"recall_10": {"value": 0.25}}
    )


@pytest.fixture(scope="session")
def model(release: str) -> Model:
    return Model(f"{release}/saved_model")


@pytest.fixture
def service(model: Model) -> Service:
    """A server that is ready, with small limits."""
    made = Service(Limits(body=4096, instances=8, k=30, exclude=20), body_seconds=0.2)
    made.ready(model, {"model_version": "stand-in", "metrics": {"recall_10": {"value": 0.25}}})
    return made
