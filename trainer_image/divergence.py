"""Training that has diverged: numbers that are none any more."""

from components.common.errors import InputError


def diverged(where: str, found: str) -> InputError:
    """The error to raise, whoever notices."""
    remedy = "Lower --learning-rate or lengthen --warmup-steps; a checkpoint from before is kept where there is one."
    return InputError(where, found, "finite numbers", remedy)
