"""What a check before a submission finds."""

from typing import Literal, NamedTuple

SECONDS = 10.0  # for one request; they run side by side


class Finding(NamedTuple):
    """What a check found: state, a sentence, and the command that mends it."""

    state: Literal["missing", "careful", "not checked", "fine"]
    text: str
    command: str = ""
