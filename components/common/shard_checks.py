"""Whether shards are those that metadata.json promises: their names, their bytes, their rows."""

import base64
import contextlib
import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import fsspec
import google_crc32c

from components.common import example_metadata, examples, staging, storage
from components.common.errors import InputError
from components.common.example_metadata import Metadata, Promise
from components.common.examples import FOREIGN, OURS, READ_BYTES, SHARDS, Remedies
from components.common.reach import there

MOST = 20  # faults that an error lists
NUMBERED = re.compile(r"(?P<before>.*-)(?P<number>\d{5,})(?P<of>-of-(?P<count>\d{5,}).*)")  # part-00001-of-00004.…


class Shard(NamedTuple):
    """A shard, and what metadata.json says of it where it says anything."""

    path: str
    promise: Promise | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def checksum(path: str) -> str:
    """CRC32C of a file's bytes, 8 hex digits; of an object in Cloud Storage as the service says, without reading it."""
    with there(path, "a shard", OURS.damage), contextlib.ExitStack() as stack:
        if storage.is_remote(path):
            fs, inner = fsspec.core.url_to_fs(path)
            if known := fs.info(inner).get("crc32c"):
                return base64.b64decode(known).hex()
            file = stack.enter_context(fs.open(inner, "rb"))
        else:
            file = stack.enter_context(open(path, "rb"))
        value = 0
        while data := file.read(READ_BYTES):
            value = google_crc32c.extend(value, data)
        return f"{value:08x}"


def faults_of_names(
    metadata: Metadata, split: str, folder: str, shards: Sequence[Shard], is_read: bool
) -> list[InputError]:
    """What is wrong with the names of a split's shards, without looking into them.

    Args:
        metadata: What metadata.json says.
        split: One of schema.SPLITS.
        folder: Where they are.
        shards: What is there.
        is_read: Whether somebody is going to read them: a split that nobody reads may be missing as a whole.
    """
    count, rows = metadata.shard_count(split), metadata.rows(split)
    says = f", as {metadata.path} says"
    if not shards:
        if not is_read or count == 0 or (count is None and rows == 0):
            return []
        expected = f"{count} shards{says}" if count else "the shards of a split"
        return [InputError(folder, f"no {SHARDS}", expected, "Check the path, or run the DataExtractor.")]
    if split in metadata.shards:
        named, there = metadata.shards[split], {shard.name for shard in shards}
        lost = [(name, promise) for name, promise in sorted(named.items()) if name not in there]
        return [
            *(
                InputError(storage.join(folder, name), "no such file", f"{promise.rows:,} rows{says}", OURS.damage)
                for name, promise in lost
            ),
            *(
                InputError(shard.path, "a shard", f"none of this name{says}", "Take it out of the folder.")
                for shard in shards
                if shard.promise is None
            ),
        ]
    if count is not None and count != len(shards):
        return [InputError(folder, f"{len(shards)} shards", f"{count}{says}", OURS.damage)]
    return []


def faults_of_contents(
    metadata: Metadata, split: str, folder: str, shards: Sequence[Shard], copies: Mapping[str, str]
) -> list[InputError]:
    """What is wrong with the bytes of shards or, where nobody wrote their checksums down, with their rows.

    Args:
        metadata: What metadata.json says.
        split: Whose shards they are.
        folder: Where they are.
        shards: All of the split.
        copies: Local copies by path; shards without one are asked about where they are.
    """
    remedies = examples.remedies(metadata.rows(split) is not None)
    says = f", as {metadata.path} says"
    faults, others, total = [], [], 0
    for shard in shards:
        copy, promise = copies.get(shard.path, shard.path), shard.promise
        try:
            found = checksum(copy) if promise else ""
            if promise and found == promise.crc32c:
                total += promise.rows
                continue
            with staging.staged(copy) as file:
                rows = examples.count_rows(file, remedies)
        except InputError as error:
            faults.append(error)
            rows = promise.rows if promise else 0
        else:
            if promise and rows == promise.rows:
                faults.append(
                    InputError(shard.path, f"other bytes, of CRC32C {found}", f"{promise.crc32c}{says}", OURS.damage)
                )
            elif promise:
                others.append(f"{shard.name} has {rows:,} in place of {promise.rows:,}")
        total += rows
    promised = metadata.rows(split)
    if others or (promised is not None and total != promised and not faults):
        expected = f"{promised:,}{says}{''.join(f'; {other}' for other in others)}"
        faults.append(InputError(folder, f"{total:,} rows in {len(shards)} shards", expected, OURS.damage))
    return faults


def expect_whole(copies: Mapping[Shard, str], where: str, remedies: Remedies) -> None:
    """Raises InputError where local copies of shards are not whole.

    Args:
        copies: By shard; one that is the shard itself, and has a checksum, has been compared with it.
        where: What they are called together.
        remedies: What the errors advise.
    """
    faults = []
    for shard, copy in copies.items():
        if shard.promise and (copy == shard.path or checksum(copy) == shard.promise.crc32c):
            continue
        try:
            rows = examples.count_rows(copy, remedies)
        except InputError as error:
            faults.append(error)
        else:
            if shard.promise:
                expected = f"{shard.promise.rows:,} rows, of CRC32C {shard.promise.crc32c}"
                faults.append(InputError(shard.path, f"a copy of {rows:,} rows", expected, "Run again."))
    raise_all(where, faults)


def lost(paths: Sequence[str], pattern: str = "*") -> list[InputError]:
    """Files that are not there, though the names of others say so, as part-00001-of-00004.tfrecord.gz does.

    Args:
        paths: Of shards that nobody split.
        pattern: By which they were named in their folders; what it does not match was left out on purpose.
    """
    there, numbered = set(paths), dict[tuple[str, str, int], int]()
    for path in paths:
        if found := NUMBERED.fullmatch(path):
            numbered[found["before"], found["of"], int(found["count"])] = len(found["number"])
    names = [
        f"{before}{number:0{digits}d}{of}"
        for (before, of, count), digits in numbered.items()
        for number in range(min(count, len(paths) + MOST))
    ]
    remedy = "Copy it again, or name by a glob the files that are meant."
    return [
        InputError(name, "no such file", "one, as the names of the others say", remedy)
        for name in names
        if name not in there and fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)
    ]


def doubled(shards: Sequence[Shard], copies: Mapping[str, str], checksums: Sequence[str]) -> list[InputError]:
    """Those of some shards whose rows are another one's.

    Args:
        shards: Of which metadata.json says nothing.
        copies: As for `faults_of_contents`.
        checksums: Of the shards' bytes.
    """
    first: dict[str, Shard] = {}
    faults = []
    for shard, found in zip(shards, checksums, strict=True):
        if first.setdefault(found, shard) is not shard:
            with staging.staged(copies.get(shard.path, shard.path)) as file:
                if not examples.count_rows(file, FOREIGN):
                    continue
            said = f"the same bytes as in {first[found].path}"
            faults.append(InputError(shard.path, said, "rows of its own", "Take one of the two files away."))
    return faults


def raise_all(path: str, faults: Sequence[InputError], metadata: Metadata = example_metadata.NONE) -> None:
    """Raises what is wrong as one InputError; nothing where nothing is wrong."""
    if len(faults) == 1:
        raise faults[0]
    if faults:
        says = f", as {metadata.path} says"
        said = [
            f"{fault.where.removeprefix(f'{path}/')}: {fault.found}, not {fault.expected.replace(says, '')}"
            for fault in faults[:MOST]
        ]
        said += [f"and {len(faults) - MOST} more"] if len(faults) > MOST else []
        remedy = " ".join(dict.fromkeys(fault.remedy for fault in faults))
        expected = f"whole shards of one run{says if metadata.path else ''}"
        raise InputError(path, f"{len(faults)} faults ({'; '.join(said)})", expected, remedy)
