"""Examples as every component reads them: `examples/` of the DataExtractor, or shards that nobody split.

`find` lists them and compares their names with metadata.json; `opened` brings them onto this machine, compares bytes
or rows, and yields an `ExampleSet`, which hands out the rows of each split. All that is lost, doubled, cut off or of
another run is one error. Shards that nobody split are a folder or a glob; `splitting` says which rows are whose.
"""

import contextlib
import glob
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.common import example_metadata, examples, fingerprints, schema, shard_checks, staging, storage
from components.common.errors import InputError
from components.common.example_metadata import Metadata
from components.common.example_part import Part
from components.common.product_lookup import Products, gathered
from components.common.shard_checks import Shard

ALL = ""  # in place of a split: of shards that hold all splits
SUFFIXES = (".tfrecord.gz", ".tfrecords.gz", ".tfrecord", ".tfrecords")  # how the names of a folder's shards end
HIDDEN = (".", "_")  # how names of what lies beside shards begin, such as _SUCCESS


@dataclass(frozen=True)
class ExampleSet:
    """Examples that are whole and on this machine.

    Attributes:
        path: What they were called.
        metadata: What metadata.json says.
        fingerprint: Of the examples; "" where an earlier version wrote them.
        files: {split: local shards}, or {ALL: local shards}.
    """

    path: str
    metadata: Metadata
    fingerprint: str
    files: Mapping[str, Sequence[str]]

    def part(self, split: str) -> Part:
        """The rows of a split."""
        is_split = ALL not in self.files
        return _part(self.path, self.metadata, split, is_split)._replace(files=self.files[split if is_split else ALL])

    @property
    def columns(self) -> dict[str, str]:
        """The Examples' columns with their types; where nobody says them, those of the first Example."""
        return dict(self.metadata.columns) or next(filter(None, map(examples.kinds, self._all_files)), {})

    @property
    def lookup(self) -> str:
        """What errors call the product lookup."""
        return self.metadata.lookup or self.path

    def products(self, columns: Mapping[str, str]) -> Products:
        """The product lookup; where nobody wrote one, what the rows say.

        Args:
            columns: Those that are needed, besides name, category and subcategory where the Examples have them.
        """
        if self.metadata.products is not None:
            return self.metadata.products
        there = self.columns
        wanted = {name: "string" for name in schema.PRODUCT_COLUMNS if there.get(name) == "string"}
        wanted |= {name: kind for name, kind in columns.items() if name != schema.PRODUCT}
        rows = Part(self.path, self._all_files, remedies=examples.FOREIGN)
        return gathered(self.path, rows.batches({schema.PRODUCT: "int64", **wanted}), wanted)

    @property
    def _all_files(self) -> list[str]:
        return [file for of_split in self.files.values() for file in of_split]

    def save(self, path: str) -> None:
        """Writes it down for another process on this machine, which may `load` it."""
        metadata = self.metadata._replace(shards={})  # they have been compared
        told = {
            name: dict(value) if isinstance(value, Mapping) else value for name, value in metadata._asdict().items()
        }
        document = {"path": self.path, "fingerprint": self.fingerprint, "files": dict(self.files)}
        storage.write_json(path, {**document, "metadata": told})


def load(path: str) -> ExampleSet:
    """What `save` wrote, without comparing anything again."""
    document = storage.read_json(path, "a list of examples")
    return ExampleSet(**{**document, "metadata": Metadata(**document["metadata"])})


@contextlib.contextmanager
def opened(path: str, metadata_path: str = "", splits: Collection[str] = schema.SPLITS) -> Iterator[ExampleSet]:
    """Yields Examples, as copies that live as long as the block where they are in a bucket; see `find`.

    Raises:
        InputError: also where bytes or rows of a shard are not what metadata.json says.
    """
    with find(path, metadata_path, splits).opened() as found:
        yield found


@dataclass(frozen=True)
class Listing:
    """Examples where they lie; of their shards nothing has been read yet.

    Attributes:
        path: What they were called.
        metadata: What metadata.json says.
        shards: {split: shards}, or {ALL: shards}.
        splits: Those that are going to be read.
    """

    path: str
    metadata: Metadata
    shards: Mapping[str, Sequence[Shard]]
    splits: Collection[str]

    @property
    def is_split(self) -> bool:
        return ALL not in self.shards

    def of(self, split: str) -> Sequence[Shard]:
        """The shards that hold a split's rows, maybe among others."""
        return self.shards[split if self.is_split else ALL]

    def part(self, split: str) -> Part:
        """The rows of a split, the files to be named by whoever brings them here."""
        return _part(self.path, self.metadata, split, self.is_split)

    @contextlib.contextmanager
    def opened(self) -> Iterator[ExampleSet]:
        """See `opened` of this module."""
        read = {split: shards for split, shards in self.shards.items() if split in (ALL, *self.splits)}
        with staging.copies([shard.path for shards in read.values() for shard in shards]) as copies:
            fingerprint = self.check(copies)
            files = {split: [copies[shard.path] for shard in shards] for split, shards in read.items()}
            yield ExampleSet(self.path, self.metadata, fingerprint, files)

    def check(self, copies: Mapping[str, str], counted: str | None = None) -> str:
        """Compares what shards hold with what metadata.json says.

        Args:
            copies: Local copies by path. The other shards are asked about where they are, which reads nothing of
                objects in Cloud Storage whose checksum is known.
            counted: A split whose shards need not be looked at where they have no checksum: whoever reads them sees
                whether they are whole, and counts their rows.

        Returns:
            The examples' fingerprint.

        Raises:
            InputError: with all that is wrong.
        """
        faults, fingerprint = list[InputError](), self.metadata.fingerprint
        for split, shards in self.shards.items():
            if not shards or (counted and split in (counted, ALL) and not any(shard.promise for shard in shards)):
                continue
            folder = storage.join(self.path, split) if split else self.path
            faults += shard_checks.faults_of_contents(self.metadata, split, folder, shards, copies)
        unknown = [shard for shards in self.shards.values() for shard in shards if shard.promise is None]
        if unknown and not faults:
            sums = [shard_checks.checksum(copies.get(shard.path, shard.path)) for shard in unknown]
            faults += shard_checks.doubled(unknown, copies, sums)
            fingerprint = fingerprint if self.is_split else fingerprints.of(sorted(sums))
        shard_checks.raise_all(self.path, faults, self.metadata)
        return fingerprint


def find(path: str, metadata_path: str = "", splits: Collection[str] = schema.SPLITS) -> Listing:
    """Lists Examples.

    Args:
        path: A folder with train/, validation/ and test/, or a folder or glob of shards that nobody split; local or
            gs://. The names of a folder's shards end as SUFFIXES say; a glob takes what it matches.
        metadata_path: metadata.json, the DataExtractor's or a product lookup. "" is the one in the folder; beside
            shards that nobody split it may also lie one folder up, and there may be none.
        splits: Those that are going to be read; of the others, what is there must be whole.

    Raises:
        InputError: nothing there, or other shards than metadata.json says.
    """
    if not path:
        raise InputError("the path of the examples", "nothing", "a folder or glob of TFRecord shards", "Name one.")
    folders = {split: storage.join(path, split) for split in schema.SPLITS}
    if any(storage.exists(folder) for folder in folders.values()):
        metadata = _promised(path, metadata_path)
    else:
        metadata, loose = _beside(path, metadata_path), _loose(path)
        if loose or not (metadata.splits and metadata.path.startswith(storage.join(path, ""))):
            _expect_all(path, loose)
            metadata = metadata._replace(splits={}, shards={}, method=Metadata().method, fingerprint="")
            return Listing(path, metadata, {ALL: [Shard(file) for file in loose]}, splits)
    shards, faults = {}, list[InputError]()
    for split, folder in folders.items():
        promised = metadata.shards.get(split, {})
        shards[split] = [Shard(file, promised.get(file.rpartition("/")[2])) for file in _in_folder(folder)]
        faults += shard_checks.faults_of_names(metadata, split, folder, shards[split], split in splits)
    shard_checks.raise_all(path, faults, metadata)
    return Listing(path, metadata, shards, splits)


def _part(path: str, metadata: Metadata, split: str, is_split: bool) -> Part:
    rows = metadata.rows(split)
    where = storage.join(path, split) if is_split else f"{path}, {split} split"
    return Part(where, [], split, not is_split, rows, examples.remedies(rows is not None))


def _promised(folder: str, metadata_path: str) -> Metadata:
    """metadata.json of shards that are split; where a product lookup is named, what the folder's own says of them."""
    own = storage.join(folder, schema.METADATA)
    metadata = example_metadata.read(metadata_path or own)
    if not metadata.splits and storage.exists(own):
        metadata = example_metadata.read(own)._replace(products=metadata.products, lookup=metadata.lookup)
    return metadata


def _beside(path: str, metadata_path: str) -> Metadata:
    """metadata.json of shards that nobody split."""
    if metadata_path:
        return example_metadata.read(metadata_path)
    folder = path
    while glob.has_magic(folder) and not storage.exists(folder):
        folder = folder.rpartition("/")[0]
    above = (
        folder.rstrip("/").rpartition("/")[0] if storage.is_remote(folder) else os.path.dirname(os.path.abspath(folder))
    )
    for place in (folder or os.curdir, above):
        if storage.exists(file := storage.join(place, schema.METADATA)):
            return example_metadata.read(file)
    return example_metadata.NONE


def _loose(path: str) -> list[str]:
    """The shards of a folder, or what a glob matches."""
    if storage.is_folder(path):
        return _in_folder(path)
    found = storage.list_files(path)
    asked = path.rpartition("/")[2]
    return [file for file in found if _is_shown(file, asked) and (storage.is_remote(file) or os.path.isfile(file))]


def _in_folder(folder: str) -> list[str]:
    return [file for file in storage.list_folder(folder, "*") if _is_shown(file, "") and file.endswith(SUFFIXES)]


def _is_shown(file: str, asked: str) -> bool:
    """Whether a file is no hidden one, unless it was asked for, and not metadata.json."""
    name = file.rpartition("/")[2]
    return name != schema.METADATA and (not name.startswith(HIDDEN) or name[0] == asked[:1])


def _expect_all(path: str, loose: list[str]) -> None:
    """Raises InputError where there are no shards, or fewer than their names say."""
    remedy, is_folder = "Check the path, or run the DataExtractor.", storage.is_folder(path)
    if loose:
        shard_checks.raise_all(path, shard_checks.lost(loose, "*" if is_folder else path.rpartition("/")[2]))
        return
    if is_folder:
        expected = f"files that end in {', '.join(SUFFIXES)}, or train/, validation/ and test/"
        raise InputError(path, "no shards", expected, f"{remedy} Name files of other names by a glob.")
    raise InputError(path, "no files", "a folder or glob of TFRecord shards", remedy)
