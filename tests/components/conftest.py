from pathlib import Path

import pytest

from tests.components import fake_model


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths of a model, its examples and its vocabularies; read only."""
    folder: Path = tmp_path_factory.mktemp("world")
    curve = [
        {"epoch": epoch, "loss": 1.4 / epoch, "validation_recall_10": 0.1 * epoch, "validation_recall_100": 0.2 * epoch}
        for epoch in (1, 2, 3)
    ]
    config = {"query": {"layers": [4], "features": [{"kind": "id", "name": "cust_person_id", "dim": 4}]}}
    return {
        "model": fake_model.write_model(
            folder / "model",
            training={"curve": curve, "chance_loss": 1.386},
            feature_config=config,
            hyperparameters={"embedding_dims": {"cust_person_id": 4}, "epochs": 3},
        ),
        "examples": fake_model.write_examples(folder / "examples"),
        "vocabularies": fake_model.write_vocabularies(folder / "vocabularies.json"),
    }
