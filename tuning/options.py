"""The search's own flags."""

from dataclasses import dataclass

from components.common.errors import expect_at_least


@dataclass(frozen=True, kw_only=True)
class Search:
    """How the search goes.

    Args:
        trials: Trainings in all: those of earlier calls and those that were given up early included.
        minutes: Begin no further training after so many minutes of this call; 0 sets no limit.
        space: What is searched: YAML or JSON text, or a path to it; by default tuning/space.yaml of this project.
        k: Validation Recall@k is what counts.
    """

    trials: int = 30
    minutes: float = 0.0
    space: str = ""
    k: int = 100

    def check(self) -> None:
        """Raises InputError for a flag out of its range."""
        for flag, value, least in (("--trials", self.trials, 1), ("--minutes", self.minutes, 0), ("--k", self.k, 1)):
            expect_at_least(flag, value, least)
