"""SavedModels are found in every folder."""

from pathlib import Path

import numpy as np
import pytest

from components.common import saved_models
from tests.components import fake_model


@pytest.mark.parametrize("name", ["model", "my shop [v1] a*b? c\\d 'q' \"d\""])
def test_a_model_is_loaded_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    folder = fake_model.write_model(tmp_path / name)
    model = saved_models.SavedModel(folder, saved_models.QUERY_MODEL)
    customers = np.array([b"dan", b"ann"], object)
    found = model.embed({"cust_person_id": customers, "revenue": np.zeros(2)}, "cust_person_id")
    assert found.tolist() == [[1, 2, 2, 0], [4, 3, 2, 1]]  # fake_model.SCORES
