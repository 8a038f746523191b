"""The columns of an Example, their types, and metadata.json, the file that makes `examples/` whole.

Column types are named as in metadata.json: "string", "int64", "float", "list<string>".
"""

from typing import Any

from components.common import storage
from components.common.errors import InputError

CUSTOMER, PRODUCT, TIMESTAMP = "cust_person_id", "product_id", "timestamp"
NAME, CATEGORY, SUBCATEGORY = "art_name", "stratbuy_domain_desc", "mge_main_cat_desc"

EXAMPLE = {
    CUSTOMER: "string",
    PRODUCT: "int64",
    "revenue": "float",
    "city": "string",
    TIMESTAMP: "int64",
    NAME: "string",
    CATEGORY: "string",
    SUBCATEGORY: "string",
}
PRODUCT_COLUMNS = (NAME, CATEGORY, SUBCATEGORY)
REQUEST = ("k", "exclude", "category")  # what the served model is asked besides the customer's columns
HISTORY = ("history_products", "history_ages")  # what a query model with a history is asked besides
HISTORY_OPTION = "history"  # both of them, over HTTP
NO_PRODUCT = -1  # fills rows of product ids up
NAMESPACES = {"category": CATEGORY, "subcategory": SUBCATEGORY}  # by which every search can be restricted
SPLITS = ("train", "validation", "test")
METADATA = "metadata.json"
FORMAT_VERSION = 1


def splits_through(last: str) -> tuple[str, ...]:
    """The splits up to one, that one too."""
    return SPLITS[: SPLITS.index(last) + 1]


def read_metadata(path: str) -> dict[str, Any]:
    """Reads and checks metadata.json.

    Args:
        path: The file, local or gs://.

    Raises:
        InputError: not there, another version, or a field of the contract is missing.
    """
    metadata = storage.read_json(path, "the metadata.json of a finished extraction")
    expect_metadata(path, metadata)
    return metadata


def expect_metadata(path: str, metadata: dict[str, Any]) -> None:
    """Raises InputError for a metadata.json of another version, or one that lacks a field of the contract."""
    expect_version(path, metadata, FORMAT_VERSION, "DataExtractor")
    for field in ("schema", "splits", "products"):
        found = metadata.get(field)
        if not found or not isinstance(found, dict):
            said = f"a {type(found).__name__}" if found else "nothing"
            raise InputError(f"{path}, field {field}", said, "an object", "Run the DataExtractor again.")


def expect_version(path: str, document: dict[str, Any], version: int, writer: str) -> None:
    if document.get("format_version") != version:
        raise InputError(
            f"{path}, field format_version",
            repr(document.get("format_version")),
            str(version),
            f"Run this version's {writer} again.",
        )
