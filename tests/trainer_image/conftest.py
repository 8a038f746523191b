"""Trainings that several test modules of the Trainer share."""

import pytest

from tests.trainings import Trainings


@pytest.fixture(scope="session")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(tmp_path_factory.mktemp("trainings"))
