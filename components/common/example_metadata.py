"""metadata.json of Examples, read in both of its forms: the DataExtractor's, and a product lookup alone."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from components.common import fingerprints, product_lookup, schema, splitting, storage
from components.common.errors import InputError
from components.common.product_lookup import Products

WRITER = "DataExtractor"
REMEDY = f"Run the {WRITER} again."


class Promise(NamedTuple):
    """What metadata.json says of a shard: its rows, and the CRC32C of its bytes, 8 hex digits."""

    rows: int
    crc32c: str


class Metadata(NamedTuple):
    """What is known of Examples beside themselves.

    Attributes:
        path: The file; "" where there is none.
        columns: {column: type}; none where the file does not say.
        products: The product lookup; None where nobody wrote one.
        lookup: The file that it is from.
        splits: Of every split its rows, times and shards, as in the file; none of shards that nobody split.
        shards: {split: {name: Promise}}, of the splits whose shards are named.
        method: How the splits were made: temporal, random, …
        fingerprint: Of the whole; "" for none.
    """

    path: str = ""
    columns: Mapping[str, str] = MappingProxyType({})
    products: Products | None = None
    lookup: str = ""
    splits: Mapping[str, dict[str, Any]] = MappingProxyType({})
    shards: Mapping[str, dict[str, Promise]] = MappingProxyType({})
    method: str = splitting.METHOD
    fingerprint: str = ""

    def rows(self, split: str) -> int | None:
        """How many a split has, where the file says it."""
        return self.splits[split]["rows"] if split in self.splits else None

    def shard_count(self, split: str) -> int | None:
        """How many shards a split has, where the file says it."""
        if split in self.shards:
            return len(self.shards[split])
        said = self.splits.get(split, {}).get("shards")
        return said if isinstance(said, int) else None


NONE = Metadata()


def fingerprint(metadata: dict[str, Any]) -> str:
    """Of the content of a metadata.json whose shards are named: rows and bytes of every shard, columns, products."""
    return fingerprints.of(_content(metadata))


def _content(metadata: dict[str, Any]) -> dict[str, Any]:
    shards = {split: of_split["shards"] for split, of_split in metadata["splits"].items()}
    return {"shards": shards, **{name: metadata.get(name) for name in ("schema", "products", "split")}}


def read(path: str) -> Metadata:
    """Reads the file, local or gs://.

    Raises:
        InputError: not there, neither of the two forms, or changed since it was written.
    """
    document = storage.read_json(path, "metadata.json: the DataExtractor's, or a product lookup")
    if product_lookup.is_lookup(document):
        return Metadata(path, products=product_lookup.from_document(path, document), lookup=path)
    schema.expect_metadata(path, document)
    _expect_texts(f"{path}, field schema", document["schema"])
    for product, facts in document["products"].items():
        if not isinstance(facts, dict) or not product_lookup.ID.fullmatch(product):
            where = f"{path}, field products, {product!r}"
            raise InputError(where, _kind(facts), "an object under the id of a product", REMEDY)
    shards = {}
    for split, of_split in document["splits"].items():
        where = f"{path}, field splits.{split}"
        if split not in schema.SPLITS or not isinstance(of_split, dict):
            raise InputError(where, _kind(of_split), f"objects under {', '.join(schema.SPLITS)}", REMEDY)
        _expect_count(f"{where}.rows", of_split.get("rows"))
        said = of_split.get("shards", 0)
        if isinstance(said, dict):
            shards[split] = _promises(f"{where}.shards", said, of_split["rows"])
        else:  # of an earlier version, which wrote how many there are, or of one before it
            _expect_count(f"{where}.shards", said)
    own = document.get("fingerprint", "")
    if not isinstance(own, str):
        raise InputError(f"{path}, field fingerprint", _kind(own), "a text", REMEDY)
    if len(shards) == len(document["splits"]):
        fingerprints.expect_own(path, own, _content(document), WRITER)
    how = document.get("split", {})
    method = how.get("method", splitting.METHOD) if isinstance(how, dict) else how
    if not isinstance(method, str):
        raise InputError(f"{path}, field split", _kind(how), "an object with a text under method", REMEDY)
    return Metadata(path, document["schema"], document["products"], path, document["splits"], shards, method, own)


def _promises(where: str, said: dict[str, Any], rows: int) -> dict[str, Promise]:
    for name, shard in said.items():
        if not isinstance(shard, dict) or not isinstance(shard.get("crc32c"), str):
            found = _kind(shard)
            raise InputError(f"{where}, {name}", found, 'an object {"rows": …, "crc32c": "8 hex digits"}', REMEDY)
        _expect_count(f"{where}, {name}, rows", shard.get("rows"))
    total = sum(shard["rows"] for shard in said.values())
    if total != rows:
        raise InputError(where, f"{total:,} rows in {len(said)} shards", f"{rows:,}, those of the split", REMEDY)
    return {name: Promise(shard["rows"], shard["crc32c"]) for name, shard in said.items()}


def _expect_count(where: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(where, repr(value)[:60], "a whole number, 0 or more", REMEDY)


def _expect_texts(where: str, value: dict[str, Any]) -> None:
    for name, text in value.items():
        if not isinstance(text, str):
            raise InputError(f"{where}.{name}", _kind(text), "a column's type", REMEDY)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
