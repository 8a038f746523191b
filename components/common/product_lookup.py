"""What is known of each product, {id: {column: value}}: from a file that says it, or from the Examples themselves."""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from components.common import examples, schema
from components.common.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

ID = re.compile(r"0|-?[1-9][0-9]{0,18}")
# Columns by the names that they have in a file which is a lookup and nothing else.
NAMES = {"category": schema.CATEGORY, "subcategory": schema.SUBCATEGORY}
PENDING_ROWS = 1_000_000  # that may wait before equal ones are put together
REMEDY = 'Write {"PRODUCT ID": {"art_name": …, "category": …, "subcategory": …}}, or name the right file.'

Products = dict[str, dict[str, Any]]


def is_lookup(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a lookup by itself, with products as its keys."""
    return bool(document) and not {"format_version", "products", "splits", "schema"} & set(document)


def from_document(path: str, document: Mapping[str, Any]) -> Products:
    """The lookup of a file that is nothing else, its columns by our names.

    Args:
        path: The file, for errors.
        document: What is in it.

    Raises:
        InputError: a key that is no product id, or what is said of a product is no object of texts and numbers.
    """
    products: Products = {}
    for product, facts in document.items():
        if not ID.fullmatch(product) or not -(2**63) <= int(product) < 2**63:
            raise InputError(f"{path}, key {product!r}", "no product id", "a whole number of 64 bits as a text", REMEDY)
        where = f"{path}, product {product}"
        if not isinstance(facts, dict):
            raise InputError(where, f"a {type(facts).__name__}", "an object of its columns", REMEDY)
        products[product] = {
            str(NAMES.get(name, name)): _checked(f"{where}, {name}", name, value) for name, value in facts.items()
        }
    return products


def _checked(where: str, name: str, value: Any) -> Any:
    is_text = name in (*NAMES, *schema.PRODUCT_COLUMNS)
    if value is None and is_text:
        return ""
    if isinstance(value, bool) or not isinstance(value, str if is_text else (str, int, float)):
        expected = "a text" if is_text else "a text or a number"
        raise InputError(where, f"a {type(value).__name__}", expected, "Correct the value.")
    return value


def gathered(where: str, batches: Iterator[dict[str, Any]], columns: Mapping[str, str]) -> Products:
    """The lookup of all products of some Examples; says so on stderr.

    Where a product's rows differ, each column has the value that most of them have; of equally many, the smallest.

    Args:
        where: What the Examples are called.
        batches: Their product ids and `columns`.
        columns: Columns of the product with their types.

    Raises:
        InputError: a text that is not UTF-8.
    """
    import pyarrow as pa

    counted: dict[str, list[pa.Table]] = {name: [] for name in columns}
    known: dict[str, Any] = {
        "string": pa.binary(),
        "int64": pa.int64(),
        "float": pa.float32(),
    }
    ids: set[Any] = set()
    for batch in batches:
        product = pa.array(batch[schema.PRODUCT], pa.int64())
        ids.update(product.unique().to_pylist())
        for name, kind in columns.items():
            column = pa.array(batch[name], known[kind])
            rows = pa.table({"product": product, "value": column, "count": pa.repeat(1, len(column)).cast(pa.int64())})
            counted[name].append(_added([rows]))
            if sum(table.num_rows for table in counted[name][1:]) > max(PENDING_ROWS, counted[name][0].num_rows):
                counted[name] = [_added(counted[name])]
    products: Products = {str(product): {} for product in sorted(ids)}
    differing: dict[str, int] = {}
    for name, tables in counted.items():
        order = [("product", "ascending"), ("count", "descending"), ("value", "ascending")]
        table: Any = _added(tables).sort_by(order) if tables else pa.table({"product": [], "value": []})  # type: ignore[arg-type]
        values = _texts(f"{where}, column {name}", table["value"]) if columns[name] == "string" else table["value"]
        for product, value in zip(table["product"].to_pylist(), values.to_pylist(), strict=True):
            products[str(product)].setdefault(name, value)
        if table.num_rows > len(products):
            differing[name] = table.num_rows - len(products)
    said = "".join(f"; {more:,} further values of {name}, which fewer rows have" for name, more in differing.items())
    print(f"{where}: no metadata.json, so its {len(products):,} products are those of the rows{said}", file=sys.stderr)
    return products


def _added(tables: "list[pa.Table]") -> "pa.Table":
    """The counts of equal pairs of product and value together."""
    import pyarrow as pa

    grouped = pa.concat_tables(tables).group_by(["product", "value"]).aggregate([("count", "sum")])
    return grouped.rename_columns({"count_sum": "count"})


def _texts(where: str, values: Any) -> Any:
    import pyarrow as pa

    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid as error:
        remedy = examples.FOREIGN.damage
        raise InputError(where, f"bytes that are not UTF-8 ({error})", "text in UTF-8", remedy) from None
