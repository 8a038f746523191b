"""The small shop of the Trainer's tests."""

from tests.trainer_image.conftest import shop

__all__ = ["shop"]
