"""The history of an instance: what a customer who is new, or has bought since training, bought and when."""

from typing import Any, NamedTuple

from serving_image import checks
from serving_image.checks import Check, expect_known, refusal
from serving_image.refusals import shown

FIELDS: dict[str, Check] = {"product_id": checks.product, "days": checks.days}


class History(NamedTuple):
    """At least one purchase: of each the product, and how many days ago it was."""

    products: list[int]
    ages: list[float]

    @property
    def keys(self) -> int:
        """Of the JSON objects that it was read from."""
        return len(FIELDS) * len(self.products)


def read(value: Any, where: str, most: int) -> History:
    """The history of [{"product_id": 1, "days": 2.5}, …], which is not empty.

    A product that the catalogue lacks is no error; the id -1, as in the model's answers, stands for none.

    Args:
        value: What the request has.
        where: The field, such as instances[3].history.
        most: Purchases that it may have.

    Raises:
        Refusal: status 400.
    """
    if type(value) is not list:
        raise refusal(where, shown(value), "a list of purchases, objects with product_id and days")
    if len(value) > most:
        raise refusal(where, f"{len(value)} purchases", f"at most {most}")
    for place, purchase in enumerate(value):
        if type(purchase) is not dict:
            raise refusal(f"{where}[{place}]", shown(purchase), "a purchase, an object with product_id and days")
        if purchase.keys() != FIELDS.keys():
            expect_known(purchase, FIELDS, f"{where}[{place}]")
        for name, check in FIELDS.items():
            expected = check(purchase.get(name))
            if expected:
                found = shown(purchase[name]) if name in purchase else "nothing"
                raise refusal(f"{where}[{place}].{name}", found, expected)
    return History([purchase["product_id"] for purchase in value], [purchase["days"] for purchase in value])
