"""Every component that reads Examples refuses those that are not whole, before it makes anything of them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.evaluator.evaluate import evaluate
from components.exporter.export import export
from components.vocab_builder.build import build_vocabularies
from tests import example_folders
from tests.components import fake_model
from tests.components.exporter.releases import NO, write_evaluation
from trainer_image.options import Options
from trainer_image.train import train

Read = Callable[[str], object]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folders: tuple[Path, Path] = (
        tmp_path_factory.mktemp("one") / "examples",
        tmp_path_factory.mktemp("two") / "examples",
    )
    for first, folder in enumerate(folders):
        example_folders.write(folder, 1000 * first)
    return folders


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("output") / "output")


@pytest.fixture(scope="module")
def readers(output: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Read]:
    folder: Path = tmp_path_factory.mktemp("readers")
    model = fake_model.write_model(folder / "model")
    vocabularies = fake_model.write_vocabularies(folder / "vocabularies.json")
    evaluation = write_evaluation(folder / "evaluation", verdict=NO)
    return {
        "vocab_builder": lambda examples: build_vocabularies(examples=examples, output_path=output),
        "trainer": lambda examples: train(
            Options(tfrecords_path=examples, vocabularies_path=vocabularies, output_path=output)
        ),
        "evaluator": lambda examples: evaluate(
            model=model, examples=examples, vocabularies=vocabularies, output_path=output, ks=(1,)
        ),
        "exporter": lambda examples: export(model=model, examples=examples, evaluation=evaluation, output_path=output),
    }


@pytest.mark.parametrize("reader", ["vocab_builder", "trainer", "evaluator", "exporter"])
@pytest.mark.parametrize("is_counted", [False, True])
def test_faults_are_refused(
    written: tuple[Path, Path], readers: dict[str, Read], output: str, tmp_path: Path, reader: str, is_counted: bool
) -> None:
    for number, fault in enumerate(example_folders.COUNTABLE if is_counted else example_folders.FAULTS):
        if fault is example_folders.lose_all and reader == "vocab_builder":
            continue  # it does not read the split
        folder = Path(shutil.copytree(written[0], tmp_path / str(number)))
        if is_counted:
            example_folders.counted(folder)
        fault(folder, written[1])
        with pytest.raises(InputError) as raised:
            readers[reader](str(folder))
        assert str(folder) in str(raised.value), fault
        assert os.listdir(os.path.dirname(output)) == []
