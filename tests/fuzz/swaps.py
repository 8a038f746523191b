"""What belongs to the other run: a whole artifact, or one file of it. Both runs sell the same to the same customers."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz.judge import Case, Scene, anything
from tests.fuzz.runs import Run

# Of each component: what it reads beside what it is about. One of its artifacts is swapped at a time.
READ = {
    "Trainer": ("examples", "vocabularies.json", "examples/metadata.json"),
    "Evaluator": ("model", "examples", "vocabularies.json", "examples/metadata.json"),
    "Exporter": ("model", "examples", "evaluation", "examples/metadata.json"),
    "VocabBuilder": ("examples/metadata.json",),
    "server": ("examples/metadata.json",),
    "tuning": ("vocabularies.json", "examples/metadata.json"),
}
SPLITS = ("examples/train", "examples/validation", "examples/test")
MODELS = (
    *("model/query_model", "model/candidate_model", "model/model_metadata.json"),
    *("model/query_model/saved_model.pb", "model/query_model/variables", "model/query_model/fingerprint.pb"),
    *("model/candidate_model/saved_model.pb", "model/candidate_model/variables"),
)
PARTS = {
    "Trainer": SPLITS,
    "VocabBuilder": SPLITS[:1],
    "Evaluator": (*SPLITS, *MODELS),
    "Exporter": (*SPLITS, *MODELS, "evaluation/evaluation.json"),
    "server": (*SPLITS, "release/saved_model", "release/saved_model/variables", "release/release.json"),
    "publisher": ("release/release.json", "release/embeddings", "release/saved_model"),
    "search": ("search/trials/given/model/model_metadata.json", "search/study.journal"),
    "warm start": ("model/model_metadata.json",),
}


def swap_cases(run: Run, other: Run) -> Iterator[Case]:
    """Every artifact and every part from the other run. What is mixed has to be refused, or to change nothing."""
    for sort, read in (("artifact", READ), ("part", PARTS)):
        for component, names in read.items():
            for name in names:
                if _both(run, other, name):
                    yield Case(f"swap, {sort}", component, name, _swapped(name), (_named(component, name),))
    for component, name in (("warm start", "model/weights.npz"), ("warm start", "model")):
        if _both(run, other, name):  # to begin with another run's weights is what it is for
            yield Case("swap, meant", component, name, _swapped(name), right=anything, refusable=False)
    if _both(run, other, "release"):
        yield Case("swap, meant", "Evaluator", "champion", _champion, right=anything, refusable=False)


def _both(run: Run, other: Run, name: str) -> bool:
    return (run.folder / name).exists() and (other.folder / name).exists()


def _named(component: str, name: str) -> tuple[str, ...]:
    """What an error may name: either side of what does not belong together."""
    return (*(Path(part).name for part in (name, *READ.get(component, ()))), name.split("/")[0])


def _swapped(name: str) -> Callable[[Scene], None]:
    def mutate(scene: Scene) -> None:
        mine, theirs = scene.run.folder / name, scene.other.folder / name
        if mine.is_dir():
            shutil.rmtree(mine)
            shutil.copytree(theirs, mine)
        else:
            mine.unlink()
            shutil.copy(theirs, mine)

    return mutate


def _champion(scene: Scene) -> dict[str, str]:
    return {"champion": str(scene.other.model)}
