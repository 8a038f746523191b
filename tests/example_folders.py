"""Examples written by hand, as the DataExtractor writes them: gzip, TFRecord frames and checksums without our code."""

import gzip
import json
import shutil
import struct
from pathlib import Path
from typing import Any

from tests.toy_shops import write_shard

ROWS = {"train": 24, "validation": 6, "test": 6}
SHARDS = 3
PRODUCTS = {
    str(product): {
        "art_name": f"Сир {product}",
        "stratbuy_domain_desc": f"category {product % 2}",
        "mge_main_cat_desc": f"subcategory {product % 3}",
    }
    for product in range(306_344_001_001, 306_344_001_009)
}
COLUMNS = {
    "cust_person_id": "string",
    "product_id": "int64",
    "revenue": "float",
    "city": "string",
    "timestamp": "int64",
    "art_name": "string",
    "stratbuy_domain_desc": "string",
    "mge_main_cat_desc": "string",
}


def crc32c(data: bytes) -> str:
    """CRC-32C (RFC 3720, appendix B.4), a bit at a time."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return f"{value ^ 0xFFFFFFFF:08x}"


def records(path: Path) -> list[bytes]:
    """The records of a shard, compressed or not."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    found, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        found.append(data[place + 12 : place + 12 + length])
        place += 16 + length
    return found


def rows_of(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Purchases, no two of them equal."""
    ids = list(PRODUCTS)
    return [
        {
            "cust_person_id": f"клієнт {i % 5}",
            "product_id": int(ids[i * 5 % len(ids)]),
            "revenue": 1.5 * (i % 5),
            "city": f"Львів {i % 2}",
            "timestamp": 1_700_000_000 + i,
            **PRODUCTS[ids[i * 5 % len(ids)]],
        }
        for i in range(first, first + count)
    ]


def name(shard: int, shards: int = SHARDS) -> str:
    return f"part-{shard:05d}-of-{shards:05d}.tfrecord.gz"


def write(folder: Path, first: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Writes examples/ with SHARDS shards a split and their metadata.json; returns the rows of every split.

    Args:
        folder: Where.
        first: The number of the first row: other numbers, other rows.
    """
    splits, rows = {}, {}
    for split, count in ROWS.items():
        rows[split] = rows_of(count, first)
        first += count
        shards = {}
        for shard in range(SHARDS):
            path = folder / split / name(shard)
            write_shard(path, rows[split][shard::SHARDS])
            shards[path.name] = {"rows": len(rows[split][shard::SHARDS]), "crc32c": crc32c(path.read_bytes())}
        splits[split] = {"rows": count, "first_timestamp": 1, "last_timestamp": 2, "shards": shards}
    metadata = {"format_version": 1, "schema": COLUMNS, "splits": splits, "products": PRODUCTS}
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return rows


def write_unsplit(folder: Path, rows: list[dict[str, Any]], shards: int = SHARDS) -> None:
    """Writes shards as another program would name them, without metadata.json."""
    for shard in range(shards):
        write_shard(folder / f"shard-{shard:05d}-of-{shards:05d}.tfrecord.gz", rows[shard::shards])


def counted(folder: Path) -> None:
    """Makes metadata.json what an earlier version wrote: numbers of shards in place of their names."""
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    for split in metadata["splits"].values():
        split["shards"] = len(split["shards"])
    path.write_text(json.dumps(metadata), encoding="utf-8")


def lose(folder: Path, other: Path) -> None:
    (folder / "train" / name(1)).unlink()


def lose_all(folder: Path, other: Path) -> None:
    shutil.rmtree(folder / "test")


def double(folder: Path, other: Path) -> None:
    shutil.copy(folder / "test" / name(1), folder / "test" / name(SHARDS))


def empty(folder: Path, other: Path) -> None:
    (folder / "train" / name(1)).write_bytes(b"")


def empty_gzip(folder: Path, other: Path) -> None:
    (folder / "train" / name(1)).write_bytes(gzip.compress(b""))


def take_another_split_s(folder: Path, other: Path) -> None:
    shutil.copy(folder / "train" / name(1), folder / "test" / name(1))


def swap_splits(folder: Path, other: Path) -> None:
    (folder / "train").rename(folder / "x")
    (folder / "test").rename(folder / "train")
    (folder / "x").rename(folder / "test")


def cut_off(folder: Path, other: Path) -> None:
    path = folder / "train" / name(2)
    path.write_bytes(path.read_bytes()[:-9])


def add_a_stranger(folder: Path, other: Path) -> None:
    write_shard(folder / "validation" / "more.tfrecord.gz", rows_of(2, 900))


def take_a_foreign_one(folder: Path, other: Path) -> None:
    """Another run's shard of the same name, with as many rows."""
    shutil.copy(other / "train" / name(1), folder / "train" / name(1))


def take_a_foreign_description(folder: Path, other: Path) -> None:
    shutil.copy(other / "metadata.json", folder / "metadata.json")


def flip_a_bit(folder: Path, other: Path) -> None:
    path = folder / "train" / name(2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# What the number of shards and of rows shows, and what only checksums do.
COUNTABLE = (
    *(lose, lose_all, double, empty, empty_gzip, take_another_split_s, swap_splits, cut_off, add_a_stranger),
    flip_a_bit,
)
FAULTS = (*COUNTABLE, take_a_foreign_one, take_a_foreign_description)
