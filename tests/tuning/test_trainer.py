"""The command line of one training, and what is read of it while it runs."""

import json
from pathlib import Path

import pytest
import tyro

from tests.toy_shops import Shop
from trainer_image.options import Options
from tuning import trainer


def parsed(command: list[str]) -> Options:
    """As the Trainer's own command line reads it."""
    return tyro.cli(Options, args=command[3:], config=(tyro.conf.OmitArgPrefixes,))


def test_every_flag_arrives(tmp_path: Path) -> None:
    told = Options(
        tfrecords_path="e", vocabularies_path="v", metadata_path="m", output_path=str(tmp_path / "model"),
        epochs=7, learning_rate=3.1e-05, l1=1e-08, loss="in-batch", jit_compile=True, history_through="train",
        temperature=1 / 3, feature_config='{"query": "as text"}',
    )  # fmt: skip
    command = trainer.command(told)
    assert command[1:3] == ["-m", "trainer_image.main"]
    assert vars(parsed(command)) == vars(told)


def test_a_line_that_is_being_written_is_none(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    assert trainer.read_curve(path) == []
    path.write_text("epoch,validation_recall_5\n1,0.25\n2,0.5\n3,0.", encoding="utf-8")
    assert trainer.read_curve(path) == [
        {"epoch": 1.0, "validation_recall_5": 0.25},
        {"epoch": 2.0, "validation_recall_5": 0.5},
    ]


@pytest.mark.slow
def test_a_training_is_given_up(tmp_path: Path, shop: Shop) -> None:
    seen = []

    def watch(point: trainer.Point) -> bool:
        seen.append(point["epoch"])
        return len(seen) == 2

    options = shop.options(tmp_path / "one" / "model", epochs=1000, patience=1000)
    assert trainer.train(options, watch) is None
    assert seen == [1.0, 2.0]
    assert not (tmp_path / "one" / "model").exists()


@pytest.mark.slow
def test_a_training_that_fails_says_why(tmp_path: Path, shop: Shop) -> None:
    options = shop.options(tmp_path / "one" / "model", top_k=1000)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "train.log").write_text("error: that of last time\n", encoding="utf-8")
    with pytest.raises(trainer.TrainingError, match=r"^--top-k: found 1000, expected 1 to 12"):
        trainer.train(options, lambda point: False)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_metadata.json").write_text(json.dumps({"a": 1}), encoding="utf-8")
    options = Options(
        tfrecords_path="no", vocabularies_path="no", metadata_path="no", output_path=str(tmp_path / "model")
    )
    assert trainer.train(options, lambda point: True) == {"a": 1}
