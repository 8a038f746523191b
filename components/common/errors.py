"""One error class for everything a user can put right."""


class InputError(ValueError):
    """Bad input, said so that the reader can fix it.

    Args:
        where: File, table or flag, and the field in it.
        found: What was there.
        expected: What should have been there.
        remedy: What to do now, as an imperative.
    """

    def __init__(self, where: str, found: str, expected: str, remedy: str):
        self.where, self.found, self.expected, self.remedy = where, found, expected, remedy
        super().__init__(f"{where}: found {found}, expected {expected}. {remedy}")

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str, str]]:
        """Pickled by its parts: a worker in another process raises it too."""
        return InputError, (self.where, self.found, self.expected, self.remedy)


def expect_choice(where: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises InputError unless `value` is one of `choices`: the pipeline hands on strings that no flag parser saw."""
    if value not in choices:
        raise InputError(where, repr(value), f"one of {', '.join(choices)}", "Correct the value.")


def expect_at_least(where: str, value: float, least: float) -> None:
    """Raises InputError unless `value` is a number of at least `least`."""
    if not value >= least:
        raise InputError(where, str(value), f"{least} or more", "Correct the value.")
