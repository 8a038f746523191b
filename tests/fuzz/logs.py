"""What Parquet files of a log can hold: other types, values out of range, columns that are missing, damage."""

import decimal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from tests.fuzz.files import BYTES, LOGIN, flipped, lost, zeroed
from tests.fuzz.judge import Case, Rule, Scene, anything, same
from tests.fuzz.readers import Figures
from tests.fuzz.runs import Run, replace

pc: Any = pyarrow.compute
Edit = Callable[[pa.Table], pa.Table]
FILES = ("first file", "second file", "both files")
SECONDS = 1_000_000  # microseconds of a second


def _column(name: str, made: Callable[[Any], Any]) -> Edit:
    """Another column in the place of one."""

    def edit(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, made(table[name]))

    return edit


def _cast(name: str, kind: pa.DataType) -> Edit:
    return _column(name, lambda column: column.cast(kind, safe=False))


def _some(name: str, value: Any, rows: int) -> Edit:
    """The first rows get a value."""

    def made(column: Any) -> Any:
        return pa.array([value] * rows + column.to_pylist()[rows:], column.type)

    return _column(name, made)


def _counted(unit: int, kind: pa.DataType) -> Callable[[Any], Any]:
    """Times as counts of a unit of `unit` microseconds, called a count of another one."""

    def made(column: Any) -> Any:
        return pc.divide(column.cast(pa.int64()), unit).cast(pa.int64()).cast(kind)

    return made


def _text(column: Any) -> Any:
    return pa.array([str(value) for value in column.to_pylist()])


def _decimal_comma(column: Any) -> Any:
    return pa.array([str(value).replace(".", ",") for value in column.to_pylist()])


def _not_utf8(column: Any) -> Any:
    content = pa.array([b"\xff\xfe" + str(value).encode() for value in column.to_pylist()], pa.binary())
    return pa.Array.from_buffers(pa.string(), len(content), content.buffers())


TYPES: dict[str, dict[str, Edit]] = {
    "cust_person_id": {
        "large text": _cast("cust_person_id", pa.large_string()),
        "dictionary": _column("cust_person_id", lambda column: column.dictionary_encode()),
        "binary": _cast("cust_person_id", pa.binary()),
        "number": _column("cust_person_id", lambda c: pa.array([int(v.split()[1]) for v in c.to_pylist()])),
        "float": _column("cust_person_id", lambda c: pa.array([float(v.split()[1]) for v in c.to_pylist()])),
        "null type": _column("cust_person_id", lambda column: pa.nulls(len(column))),
        "list": _column("cust_person_id", lambda column: pa.array([[value] for value in column.to_pylist()])),
        "struct": _column("cust_person_id", lambda column: pa.array([{"a": value} for value in column.to_pylist()])),
        "not UTF-8": _column("cust_person_id", _not_utf8),
    },
    "product_id": {
        "uint64": _cast("product_id", pa.uint64()),
        "float": _cast("product_id", pa.float64()),
        "halves": _column("product_id", lambda column: pc.add(column.cast(pa.float64()), 0.5)),
        "text": _column("product_id", _text),
        "decimal": _cast("product_id", pa.decimal128(20, 0)),
        "null type": _column("product_id", lambda column: pa.nulls(len(column))),
        "bool": _column("product_id", lambda column: pa.array([True] * len(column))),
        "beyond int64": _column("product_id", lambda column: pa.array([2**63 + 5] * len(column), pa.uint64())),
    },
    "revenue": {
        "float32": _cast("revenue", pa.float32()),
        "float16": _column("revenue", lambda column: pa.array(column.to_numpy().astype("f2"))),
        "decimal": _cast("revenue", pa.decimal128(12, 2)),
        "wide decimal": _cast("revenue", pa.decimal256(40, 2)),
        "whole": _column("revenue", lambda column: pc.floor(column).cast(pa.int64())),
        "text": _column("revenue", _text),
        "decimal comma": _column("revenue", _decimal_comma),
        "null type": _column("revenue", lambda column: pa.nulls(len(column))),
        "bool": _column("revenue", lambda column: pa.array([True] * len(column))),
        "binary": _column("revenue", lambda column: pa.array([b"1"] * len(column))),
    },
    "city": {
        "dictionary": _column("city", lambda column: column.dictionary_encode()),
        "number": _column("city", lambda column: pa.array([int(value.split()[1]) for value in column.to_pylist()])),
        "null type": _column("city", lambda column: pa.nulls(len(column))),
        "not UTF-8": _column("city", _not_utf8),
        "bool": _column("city", lambda column: pa.array([True] * len(column))),
    },
    "timestamp": {
        "seconds": _cast("timestamp", pa.timestamp("s", "UTC")),
        "milliseconds": _cast("timestamp", pa.timestamp("ms", "UTC")),
        "nanoseconds": _cast("timestamp", pa.timestamp("ns", "UTC")),
        "without a zone": _cast("timestamp", pa.timestamp("us")),
        "another zone": _cast("timestamp", pa.timestamp("us", "America/New_York")),
        "date32": _cast("timestamp", pa.date32()),
        "date64": _cast("timestamp", pa.date64()),
        "time": _cast("timestamp", pa.time64("us")),
        "counts of seconds": _column("timestamp", _counted(SECONDS, pa.int64())),
        "text": _column("timestamp", _text),
        "null type": _column("timestamp", lambda column: pa.nulls(len(column))),
        "milliseconds called seconds": _column("timestamp", _counted(1_000, pa.timestamp("s", "UTC"))),
        "seconds called milliseconds": _column("timestamp", _counted(SECONDS, pa.timestamp("ms", "UTC"))),
        "seconds called microseconds": _column("timestamp", _counted(SECONDS, pa.timestamp("us", "UTC"))),
        "seconds called nanoseconds": _column("timestamp", _counted(SECONDS, pa.timestamp("ns"))),
        "microseconds called milliseconds": _column("timestamp", _counted(1, pa.timestamp("ms", "UTC"))),
        "duration": _column("timestamp", _counted(SECONDS, pa.duration("s"))),
    },
}
# The first rows get a value; where it is a fault of rows, they are dropped, and counted.
VALUES: tuple[tuple[str, Any], ...] = (
    *(("cust_person_id", None), ("product_id", None), ("product_id", -1), ("product_id", 0), ("product_id", 2**63 - 1)),
    *(("revenue", None), ("revenue", 0.0), ("revenue", -1.0), ("revenue", float("nan")), ("revenue", float("inf"))),
    *(("revenue", 1e300), ("revenue", -1e300), ("timestamp", None), ("cust_person_id", "")),
)


def _shape(scene: Scene, name: str) -> None:
    """What a file can be besides its columns."""
    path = scene.run.purchases / "2024-01.parquet"
    table = pq.read_table(path)
    path.unlink()
    if name == "without a column":
        pq.write_table(table.drop_columns(["city"]), path)
    elif name == "a column renamed":
        pq.write_table(table.rename_columns(["cust_person_id", "product_id", "price", "city", "timestamp"]), path)
    elif name == "a further column":
        pq.write_table(table.append_column("weather", pa.array(["rain"] * len(table))), path)
    elif name == "columns in another order":
        pq.write_table(table.select(table.column_names[::-1]), path)
    elif name == "a column twice":
        pq.write_table(table.append_column("city", table["city"]), path)
    elif name == "columns in capitals":
        pq.write_table(table.rename_columns([column.upper() for column in table.column_names]), path)
    elif name == "no rows":
        pq.write_table(table, path)
        pq.write_table(table[:0], path.with_name("2024-02.parquet"))
    elif name == "other compression":
        pq.write_table(table, path, compression="zstd", row_group_size=100)
    elif name == "CSV":
        path.write_text("cust_person_id,product_id\n1,2\n", encoding="utf-8")
    elif name == "a page":
        path.write_bytes(LOGIN)


SAME_ROWS = ("a further column", "columns in another order", "no rows", "other compression", "columns in capitals")
SHAPES = (*SAME_ROWS, "without a column", "a column renamed", "a column twice", "CSV", "a page")


def log_cases(run: Run) -> Iterator[Case]:
    """What the DataExtractor is given. All that it takes must be what was bought, or be counted as dropped."""
    for column, edits in TYPES.items():
        for what, edit in edits.items():
            for place, file in enumerate(FILES):
                names = (("parquet", "log"), (column,))
                yield Case("log, type", "DataExtractor", f"{column} {what}, {file}", _edited(place, edit), names)
    for column, value in VALUES:
        for rows in (1, 20):
            what, mutate = f"{rows} of {column} {value}", _edited(0, _some(column, value, rows))
            yield Case("log, value", "DataExtractor", what, mutate, ((column, "purchases"),), _dropped(rows))
    for shape in SHAPES:

        def mutate_shape(scene: Scene, shape: str = shape) -> None:
            _shape(scene, shape)

        yield Case("log, shape", "DataExtractor", shape, mutate_shape, (("purchases", "log"),))
    yield Case("log, file twice", "DataExtractor", "", _twice, (("purchases",),))
    for name in ("log/2024-01.parquet", "products.parquet"):
        for number, operation in enumerate(BYTES):

            def mutate(scene: Scene, operation: Any = operation, name: str = name) -> None:
                operation(scene.run.folder / name, scene)

            kind = f"log, {operation.__name__.replace('_', ' ')}"
            files = (name.split("/")[0], Path(name).name, "purchases", "products")
            # Nobody knows how many files a log has, and Parquet's pages have no checksums.
            right = anything if operation in (lost, flipped, zeroed) else same
            yield Case(kind, "DataExtractor", f"{name} #{number}", mutate, (files,), right)
    yield from _product_cases()


def _product_cases() -> Iterator[Case]:
    edits: dict[str, Edit] = {
        "an id twice": lambda table: pa.concat_tables([table, table[:1]]),
        "an id null": _some("product_id", None, 1),
        "an id of -1": _some("product_id", -1, 1),
        "ids as text": _column("product_id", _text),
        "ids as floats": _cast("product_id", pa.float64()),
        "ids as int32": _column("product_id", lambda column: pa.array(range(len(column)), pa.int32())),
        "no rows": lambda table: table[:0],
        "half of the rows": lambda table: table[::2] if isinstance(table, list) else table[: len(table) // 2],
        "names as numbers": _column("art_name", lambda column: pa.array(range(len(column)))),
        "names of null type": _column("art_name", lambda column: pa.nulls(len(column))),
        "names not UTF-8": _column("art_name", _not_utf8),
        "categories as lists": _column("stratbuy_domain_desc", lambda c: pa.array([[v] for v in c.to_pylist()])),
        "categories as decimals": _column(
            "stratbuy_domain_desc", lambda column: pa.array([decimal.Decimal(1)] * len(column))
        ),
        "without names": lambda table: table.drop_columns(["art_name"]),
    }
    for what, edit in edits.items():

        def mutate(scene: Scene, edit: Edit = edit) -> None:
            path = scene.run.products
            table = edit(pq.read_table(path))
            path.unlink()
            pq.write_table(table, path)

        yield Case("products", "DataExtractor", what, mutate, (("products", "purchases"),))


def _edited(place: int, edit: Edit) -> Callable[[Scene], None]:
    def mutate(scene: Scene) -> None:
        files = sorted(scene.run.purchases.glob("*.parquet"))
        for path in files if place == len(files) else files[place : place + 1]:
            table = edit(pq.read_table(path))
            path.unlink()
            pq.write_table(table, path)

    return mutate


def _twice(scene: Scene) -> None:
    first = sorted(scene.run.purchases.glob("*.parquet"))[0]
    replace(first.with_name("again.parquet"), first.read_bytes())


def _dropped(rows: int) -> Rule:
    """The rows were dropped and counted as such, or they changed nothing but themselves."""

    def right(found: Figures, base: Figures) -> bool:
        before, after = base["report"]["rows"], found["report"]["rows"]
        return same(found, base) or (after["read"] == before["read"] and before["kept"] - after["kept"] == rows)

    return right
