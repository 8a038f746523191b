"""The values of the query: settings of an extraction, checked, as query parameters."""

from fractions import Fraction
from typing import Any

from components.common.errors import InputError, expect_at_least, expect_choice

HEX_DIGITS = 12  # of the MD5 that places a row in the random split; as many as examples.sql takes


def query_parameters(
    split: str,
    train_share: float,
    validation_share: float,
    catalogue_size: int,
    min_purchases: int,
    revenue_as_of: str = "training",
) -> dict[str, Any]:
    """The parameters of examples.sql.

    Raises:
        InputError: a share or a count out of range, or a word that is none of the choices.
    """
    for name, share in (("train_share", train_share), ("validation_share", validation_share)):
        if not 0 < share < 1:
            raise InputError(name, str(share), "a number between 0 and 1", "Choose another share, such as 0.8.")
    # As decimals, so that 0.8 + 0.15 is 0.95.
    validation_from = Fraction(str(train_share))
    test_from = validation_from + Fraction(str(validation_share))
    if test_from >= 1:
        found = f"{train_share} + {validation_share}"
        raise InputError("train_share + validation_share", found, "less than 1", "Leave a share for the test split.")
    expect_at_least("catalogue_size", catalogue_size, 0)
    expect_at_least("min_purchases", min_purchases, 1)
    expect_choice("split", split, ("temporal", "random"))
    expect_choice("revenue_as_of", revenue_as_of, ("purchase", "training"))
    return {
        "split": split,
        "validation_from": float(validation_from),
        "test_from": float(test_from),
        "validation_from_hex": _hexadecimal(validation_from),
        "test_from_hex": _hexadecimal(test_from),
        "catalogue_size": catalogue_size,
        "min_purchases": min_purchases,
        "revenue_as_of": revenue_as_of,
    }


def _hexadecimal(share: Fraction) -> str:
    """The first digits of a number in [0, 1), so that texts compare as the numbers do."""
    return f"{int(share * 16**HEX_DIGITS):0{HEX_DIGITS}x}"
