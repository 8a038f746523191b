"""Examples are read whole, or not at all."""

import gzip
import json
import re
import shutil
import struct
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.common import example_metadata, example_set, examples, fingerprints, schema, shard_checks, splitting
from components.common.errors import InputError
from tests import example_folders
from tests.example_folders import COLUMNS, PRODUCTS, name, rows_of
from tests.toy_shops import write_shard

Fault = Callable[[Path, Path], None]
KEY = {"cust_person_id": "string", "product_id": "int64", "timestamp": "int64"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs' examples; read only."""
    folders: tuple[Path, Path] = (
        tmp_path_factory.mktemp("one") / "examples",
        tmp_path_factory.mktemp("two") / "examples",
    )
    for first, folder in enumerate(folders):
        example_folders.write(folder, 1000 * first)
    return folders


@pytest.fixture
def folder(written: tuple[Path, Path], tmp_path: Path) -> Path:
    """Examples that a test may damage."""
    return Path(shutil.copytree(written[0], tmp_path / "examples"))


def times(path: str, split: str, metadata: str = "") -> list[int]:
    """The timestamps of a split's rows, sorted; they tell rows apart."""
    with example_set.opened(path, metadata) as found:
        batches = found.part(split).batches({"timestamp": "int64"})
        return sorted(time for batch in batches for time in batch["timestamp"].tolist())


def refused(path: Path, metadata: str = "") -> str:
    with pytest.raises(InputError) as raised, example_set.opened(str(path), metadata):
        pass
    return str(raised.value)


@pytest.mark.parametrize("is_counted", [False, True])
def test_whole_examples_are_read_as_they_were_written(folder: Path, is_counted: bool) -> None:
    if is_counted:
        example_folders.counted(folder)
    # What other programs leave beside shards is none.
    for beside in (
        "_SUCCESS",
        ".part-00001-of-00003.tfrecord.gz.crc",
        "part-00000-of-00003.tfrecord.gz_.gstmp",
        "x.txt",
    ):
        (folder / "train" / beside).write_bytes(b"anything")
    first = 0
    for split, rows in example_folders.ROWS.items():
        expected = [1_700_000_000 + first + i for i in range(rows)]
        assert times(str(folder), split) == expected
        first += rows


@pytest.mark.parametrize("fault", example_folders.FAULTS)
def test_every_fault_is_refused(written: tuple[Path, Path], folder: Path, fault: Fault) -> None:
    fault(folder, written[1])
    text = refused(folder)
    assert str(folder) in text
    assert re.search("[Rr]un the DataExtractor|Take it out of the folder", text)


@pytest.mark.parametrize("fault", example_folders.COUNTABLE)
def test_what_earlier_versions_wrote_is_counted(written: tuple[Path, Path], folder: Path, fault: Fault) -> None:
    example_folders.counted(folder)
    fault(folder, written[1])
    assert str(folder) in refused(folder)


def test_a_shard_in_place_of_another_with_as_many_rows(folder: Path) -> None:
    example_folders.counted(folder)
    shutil.copy(folder / "train" / name(0), folder / "train" / name(1))
    assert f"{name(1)}: found the same bytes as in {folder}/train/{name(0)}" in refused(folder)


def test_all_faults_are_one_error(folder: Path) -> None:
    for fault in (example_folders.take_another_split_s, example_folders.empty, example_folders.cut_off):
        fault(folder, folder)
    text = refused(folder)
    assert text.startswith(f"{folder}: found 3 faults (")
    for shard in (f"train/{name(1)}: no byte", f"train/{name(2)}: damage", f"{name(1)} has 8 in place of 2"):
        assert shard in text
    assert f"expected whole shards of one run, as {folder}/metadata.json says" in text


def test_a_fault_of_names_is_found_before_anything_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example_folders.lose(folder, folder)
    example_folders.double(folder, folder)
    monkeypatch.setattr(shard_checks, "checksum", None)
    text = refused(folder)
    assert f"train/{name(1)}: no such file, not 8 rows" in text
    assert f"test/{name(3)}: a shard, not none of this name" in text


def test_a_split_that_nobody_reads_may_be_missing_but_not_damaged(folder: Path) -> None:
    shutil.rmtree(folder / "validation")
    with example_set.opened(str(folder), splits=["train"]) as found:
        assert found.part("train").rows == 24
    example_folders.double(folder, folder)
    with pytest.raises(InputError, match="none of this name"):
        example_set.find(str(folder), splits=["train"])


def test_a_split_without_rows(folder: Path) -> None:
    shutil.rmtree(folder / "test")
    document = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    document["splits"]["test"] |= {"rows": 0, "shards": {}}
    (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
    with example_set.opened(str(folder)) as found:
        assert list(found.part("test").batches(KEY)) == []
        with pytest.raises(InputError, match="examples/test: found no Examples in any shard"):
            found.part("test").read(KEY)


def test_rows_are_counted_as_they_are_read(folder: Path) -> None:
    with example_set.opened(str(folder)) as found:
        part = found.part("test")._replace(rows=7)
    with pytest.raises(InputError, match=r"examples/test: found 6 rows in 3 shards, expected 7, as metadata.json says"):
        list(part.batches(KEY))


def test_the_metadata_that_is_named_is_what_shards_are_compared_with(written: tuple[Path, Path]) -> None:
    assert "faults" in refused(written[0], f"{written[1]}/metadata.json")


def test_a_product_lookup_that_is_named_leaves_the_folders_own_promise(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "lookup.json"
    path.write_text(json.dumps({"7": {"art_name": "x", "category": "y", "subcategory": "z"}}))
    with example_set.opened(str(folder), str(path)) as found:
        assert found.products({}) == {"7": {"art_name": "x", "stratbuy_domain_desc": "y", "mge_main_cat_desc": "z"}}
        assert found.lookup == str(path)
    example_folders.lose(folder, folder)
    assert name(1) in refused(folder, str(path))


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"123456789")
    assert shard_checks.checksum(str(path)) == example_folders.crc32c(b"123456789") == "e3069283"  # RFC 3720's example


def test_a_bucket_is_read_as_a_folder_is(folder: Path, loose: Path) -> None:
    """An object store that knows no checksums; tests/integration has Cloud Storage."""
    fs, bucket = fsspec.filesystem("memory"), f"memory://{uuid.uuid4().hex}"
    fs.put(str(folder), f"{bucket}/examples", recursive=True)
    fs.put(str(loose), f"{bucket}/all_data", recursive=True)
    assert times(f"{bucket}/examples", "test") == times(str(folder), "test")
    for named in ("", "/", "/*.gz"):
        assert times(f"{bucket}/all_data{named}", "test") == times(str(loose), "test")
    damaged = f"{bucket}/examples/test/{name(1)}"
    fs.pipe_file(damaged, (folder / "test" / name(0)).read_bytes())
    with pytest.raises(InputError, match="other bytes"), example_set.opened(f"{bucket}/examples"):
        pass
    with pytest.raises(InputError, match="other bytes"):  # found without bringing the split here
        example_set.find(f"{bucket}/examples", splits=["train"]).check({})
    fs.rm(damaged)
    with pytest.raises(InputError, match="no such file"), example_set.opened(f"{bucket}/examples"):
        pass


# Shards that nobody split.


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows in three shards; read only."""
    folder: Path = tmp_path_factory.mktemp("loose") / "all_data"
    example_folders.write_unsplit(folder, rows_of(60))
    return folder


def split_by_hand(row: dict[str, Any]) -> str:
    """By TensorFlow's hash of a text that is put together in Python."""
    key = f"{row['cust_person_id']}\x1f{row['product_id']}\x1f{row['timestamp']}"
    bucket = int(tf.strings.to_hash_bucket_fast([key.encode()], 100)[0])
    return "train" if bucket < 80 else "validation" if bucket < 95 else "test"


@pytest.mark.parametrize("named", ["", "/*.tfrecord.gz", "/shard-*", "/../all_data/*"])
def test_folders_and_globs_are_split_by_hash(loose: Path, named: str) -> None:
    for split in schema.SPLITS:
        expected = [row["timestamp"] for row in rows_of(60) if split_by_hand(row) == split]
        assert times(f"{loose}{named}", split) == expected


def test_the_hash_is_what_it_was() -> None:
    """Models are evaluated on the rows that an earlier version kept from them."""
    raw = {
        "cust_person_id": tf.constant(["10000000", "клієнт 7", "", "x"] * 10),
        "product_id": tf.constant([306_344_001_001 + 7 * i for i in range(40)], tf.int64),
        "timestamp": tf.constant([1_700_000_000 - 99_999 * i**3 for i in range(40)], tf.int64),
    }
    found = ["".join(map(str, splitting.belongs(raw, split).numpy().astype(int))) for split in schema.SPLITS]
    assert found == [
        "1101111111110101111111011111111110110111",
        "0010000000000010000000100000000001001000",
        "0000000000001000000000000000000000000000",
    ]


def test_shards_of_any_name_and_without_compression(tmp_path: Path) -> None:
    rows = rows_of(20)
    write_shard(tmp_path / "a.tfrecords.gz", rows[:10])
    write_shard(tmp_path / "may", rows[10:])  # compressed, under a name that does not say so
    (tmp_path / "b.tfrecord").write_bytes(gzip.decompress((tmp_path / "may").read_bytes()))
    expected = [row["timestamp"] for row in rows]
    assert sorted(time for split in schema.SPLITS for time in times(str(tmp_path), split)) == expected
    assert sorted(time for split in schema.SPLITS for time in times(f"{tmp_path}/m*", split)) == expected[10:]


def linked(file: Path, target: str) -> None:
    file.unlink()
    file.symlink_to(target)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder, shard: shard.unlink(), "no such file, expected one, as the names of the others say"),
        (lambda folder, shard: shutil.copy(shard, folder / "again.tfrecord.gz"), "the same bytes as in"),
        (lambda folder, shard: shard.write_bytes(b""), "found no byte"),
        (lambda folder, shard: shard.write_bytes(shard.read_bytes()[:-20]), "found damage"),
        (lambda folder, shard: shard.write_bytes(b"hello, world"), "found damage"),
        (lambda folder, shard: linked(shard, "nowhere"), "found no such file"),
        (lambda folder, shard: linked(shard, shard.name), "Too many levels of symbolic links"),
        (lambda folder, shard: (shard.unlink(), shard.mkdir()), "Is a directory"),
    ],
)
def test_what_can_be_seen_of_shards_that_nobody_split(
    loose: Path, tmp_path: Path, damage: Callable[[Path, Path], Any], said: str
) -> None:
    folder = Path(shutil.copytree(loose, tmp_path / "all_data"))
    damage(folder, folder / "shard-00001-of-00003.tfrecord.gz")
    text = refused(folder)
    assert said in text
    assert "DataExtractor" not in text


def test_a_glob_that_leaves_shards_out_is_taken_at_its_word(loose: Path) -> None:
    path = f"{loose}/shard-0000[01]-of-*"
    expected = [row["timestamp"] for i, row in enumerate(rows_of(60)) if i % 3 < 2]
    assert sorted(time for split in schema.SPLITS for time in times(path, split)) == expected


def test_empty_shards_are_no_copies_of_each_other(loose: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(loose, tmp_path / "all_data"))
    for path in ("x.tfrecord.gz", "y.tfrecord.gz"):
        (folder / path).write_bytes(gzip.compress(b"", mtime=0))
    assert times(str(folder), "test") == times(str(loose), "test")


@pytest.mark.parametrize("where", ["", "/..", "named"])
def test_a_lookup_is_found_in_the_folder_or_beside_it(loose: Path, tmp_path: Path, where: str) -> None:
    folder = Path(shutil.copytree(loose, tmp_path / "all_data"))
    path = tmp_path / "named.json" if where == "named" else folder / f".{where}" / "metadata.json"
    document = {product: {"art_name": "x", "category": "y", "subcategory": None} for product in PRODUCTS}
    path.write_text(json.dumps(document), encoding="utf-8")
    for named in ("", "/*"):
        with example_set.opened(f"{folder}{named}", str(path) if where == "named" else "") as found:
            products = found.products({"revenue": "float"})
            assert found.columns == COLUMNS
    row = {"art_name": "x", "stratbuy_domain_desc": "y", "mge_main_cat_desc": ""}
    assert products == dict.fromkeys(PRODUCTS, row)


def test_a_lookup_is_gathered_where_nobody_wrote_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(40)
    first, second = list(PRODUCTS)[:2]
    of_first = [row for row in rows if row["product_id"] == int(first)]
    of_first[0]["art_name"] = "A name that one row has"
    of_second = [row for row in rows if row["product_id"] == int(second)]
    for place, row in enumerate(of_second):
        row["mge_main_cat_desc"] = "ba"[place % 2] if place < 4 else row["mge_main_cat_desc"]
    write_shard(tmp_path / "a.tfrecord.gz", rows)
    with example_set.opened(str(tmp_path)) as found:
        products = found.products({"stratbuy_domain_desc": "string", "revenue": "float", "product_id": "int64"})
    for product in PRODUCTS:
        counts = {
            column: Counter(row[column] for row in rows if row["product_id"] == int(product))
            for column in ("art_name", "stratbuy_domain_desc", "mge_main_cat_desc", "revenue")
        }
        most = {column: min(count, key=lambda value: (-count[value], value)) for column, count in counts.items()}
        assert products[product] == most
    said = capsys.readouterr().err
    assert "its 8 products are those of the rows" in said
    assert "1 further values of art_name" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"product_id": "7"}, r"record 1, feature product_id: found 1 values in bytes_list, expected 1 value in int64"),
        ({"timestamp": 1.5}, r"record 1, feature timestamp: found 1 values in float_list, expected 1 value in int64"),
        ({"cust_person_id": 7}, r"record 1, feature cust_person_id: found 1 values in int64_list"),
        ({"cust_person_id": None}, r"record 1, feature cust_person_id: found only "),
    ],
)
def test_a_column_of_another_kind(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    rows = rows_of(3)
    rows[1] = {column: value for column, value in {**rows[1], **change}.items() if value is not None}
    write_shard(tmp_path / "a.tfrecord.gz", rows)
    with example_set.opened(str(tmp_path)) as found, pytest.raises(InputError, match=said) as raised:
        found.part("train").read({"city": "string"})
    assert "DataExtractor" not in str(raised.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"x": {}}, "key 'x': found no product id"),
        ({"7": 3}, "product 7: found a int, expected an object"),
        ({"7": {"category": 3}}, "product 7, category: found a int, expected a text"),
        ({"7": {"size": [1]}}, "product 7, size: found a list"),
        ({"99999999999999999999": {}}, "found no product id"),
        ({"format_version": 1}, "field schema: found nothing"),
    ],
)
def test_a_lookup_that_is_none(loose: Path, tmp_path: Path, document: dict[str, Any], said: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document))
    assert said in refused(loose, str(path))


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert f"{tmp_path}: found no shards, expected files that end in .tfrecord.gz" in refused(tmp_path)
    assert "x*: found no files" in refused(tmp_path / "x*")


# metadata.json and fingerprints.


def own(folder: Path, **changes: Any) -> str:
    """Writes metadata.json with its fingerprint, then changes it; returns what reading it says."""
    path = folder / "metadata.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["fingerprint"] = example_metadata.fingerprint(document)
    path.write_text(json.dumps({**document, **changes}), encoding="utf-8")
    with example_set.opened(str(folder)) as found:
        return found.fingerprint


def test_a_fingerprint_stands_for_shards_columns_and_products(written: tuple[Path, Path], folder: Path) -> None:
    expected = own(folder)
    assert re.fullmatch("[0-9a-f]{32}", expected)
    assert own(folder, source={"purchases": "elsewhere"}) == expected
    other = json.loads((written[1] / "metadata.json").read_text(encoding="utf-8"))
    assert example_metadata.fingerprint(other) != expected
    with pytest.raises(InputError, match=r"field fingerprint: found .* it was changed after it was written"):
        own(folder, products={**PRODUCTS, "7": {}})


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ({name(0): {"rows": 24}}, "splits.train.shards, part-00000-of-00003.tfrecord.gz: found a dict"),
        ({name(0): {"rows": "24", "crc32c": "0"}}, "rows: found '24', expected a whole number"),
        ({name(0): {"rows": 23, "crc32c": "0"}}, "found 23 rows in 1 shards, expected 24"),
        ("three", "splits.train.shards: found 'three', expected a whole number"),
        (-1, "splits.train.shards: found -1"),
    ],
)
def test_a_promise_that_is_none(folder: Path, shards: Any, said: str) -> None:
    document = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    document["splits"]["train"]["shards"] = shards
    (folder / "metadata.json").write_text(json.dumps(document), encoding="utf-8")
    assert said in refused(folder)


def test_the_fingerprint_of_shards_that_nobody_split_is_of_their_bytes(loose: Path, tmp_path: Path) -> None:
    def found(path: Path | str) -> str:
        with example_set.opened(str(path)) as opened:
            return opened.fingerprint

    moved = Path(shutil.copytree(loose, tmp_path / "moved"))
    assert found(loose) == found(f"{loose}/*.gz") == found(moved)
    write_shard(moved / "more.tfrecord.gz", rows_of(1))
    assert found(moved) != found(loose)


@given(st.recursive(st.integers() | st.text(max_size=3), lambda part: st.dictionaries(st.text(max_size=3), part)))
def test_equal_contents_have_equal_fingerprints(content: Any) -> None:
    again = json.loads(json.dumps(content))
    if isinstance(again, dict):
        again = dict(reversed(again.items()))
    assert fingerprints.of(again) == fingerprints.of(content)
    assert fingerprints.of([content]) != fingerprints.of(content)


@given(
    members=st.lists(st.lists(st.binary(max_size=40), max_size=5), min_size=1, max_size=4),
    block=st.integers(1, 64),
    is_compressed=st.booleans(),
)
def test_rows_are_counted_wherever_blocks_and_members_end(
    tmp_path_factory: pytest.TempPathFactory, members: list[list[bytes]], block: int, is_compressed: bool
) -> None:
    path = tmp_path_factory.mktemp("counted") / "shard"
    framed = [
        b"".join(struct.pack("<Q", len(row)) + b"....".join([b"", row]) + b"...." for row in member)
        for member in members
    ]
    path.write_bytes(b"".join(gzip.compress(part, 1) if is_compressed else part for part in framed))
    rows = sum(map(len, members))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "READ_BYTES", block)
        assert examples._count_records(str(path)) == rows
        if rows:
            whole = b"".join(framed)
            path.write_bytes(whole[:-1])
            with pytest.raises(EOFError):
                examples._count_records(str(path))


def test_another_process_reads_the_same(loose: Path, tmp_path: Path) -> None:
    with example_set.opened(str(loose)) as found:
        found.save(str(tmp_path / "list.json"))
        again = example_set.load(str(tmp_path / "list.json"))
        for split in schema.SPLITS:
            one, two = (one.part(split).read(KEY) for one in (found, again))
            for column in KEY:
                np.testing.assert_array_equal(one[column], two[column])
        assert again.fingerprint == found.fingerprint
