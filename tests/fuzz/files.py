"""What can become of a file, whatever is in it, and of the shards of a split."""

import gzip
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz.documents import DEEP, READ_BY
from tests.fuzz.judge import Case, Scene, anything, same
from tests.fuzz.runs import Run, replace

SPLITS = ("train", "validation", "test")
EXAMPLES_READERS = ("VocabBuilder", "Trainer", "Evaluator", "Exporter", "server")
MODEL_READERS = ("Evaluator", "Exporter", "warm start")
LOGIN = b"<!DOCTYPE html><html><body>Please sign in</body></html>\n"


def truncated(path: Path, scene: Scene) -> None:
    content = path.read_bytes()
    replace(path, content[: scene.draw.randrange(1, max(2, len(content)))])


def flipped(path: Path, scene: Scene) -> None:
    content = bytearray(path.read_bytes())
    content[scene.draw.randrange(len(content))] ^= 1 << scene.draw.randrange(8)
    replace(path, bytes(content))


def zeroed(path: Path, scene: Scene) -> None:
    """A block that the disk lost."""
    content = path.read_bytes()
    start = scene.draw.randrange(len(content))
    replace(path, (content[:start] + bytes(64) + content[start + 64 :])[: len(content)])


def emptied(path: Path, scene: Scene) -> None:
    replace(path, b"")


def lost(path: Path, scene: Scene) -> None:
    path.unlink()


def folder(path: Path, scene: Scene) -> None:
    path.unlink()
    path.mkdir()


def page(path: Path, scene: Scene) -> None:
    replace(path, LOGIN)


def noise(path: Path, scene: Scene) -> None:
    replace(path, scene.draw.randbytes(500))


def doubled(path: Path, scene: Scene) -> None:
    replace(path, 2 * path.read_bytes())


def trailing(path: Path, scene: Scene) -> None:
    replace(path, path.read_bytes() + b"\0\0trailing")


def dangling(path: Path, scene: Scene) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def looped(path: Path, scene: Scene) -> None:
    path.unlink()
    path.symlink_to(path.name)


def marked(path: Path, scene: Scene) -> None:
    """With a byte order mark."""
    replace(path, b"\xef\xbb\xbf" + path.read_bytes())


def wide(path: Path, scene: Scene) -> None:
    replace(path, path.read_text(encoding="utf-8").encode("utf-16"))


def not_utf8(path: Path, scene: Scene) -> None:
    content = path.read_bytes()
    place = scene.draw.randrange(len(content))
    replace(path, content[:place] + b"\xff" + content[place:])


def deep(path: Path, scene: Scene) -> None:
    replace(path, b"[" * DEEP + b"]" * DEEP)


def deep_objects(path: Path, scene: Scene) -> None:
    replace(path, b'{"a":' * 100 * DEEP + b"1" + b"}" * 100 * DEEP)


Operation = Callable[[Path, Scene], None]
BYTES: tuple[Operation, ...] = (
    *(truncated, truncated, truncated, flipped, flipped, flipped, zeroed, emptied, lost, folder, page, noise, doubled),
    *(trailing, dangling, looped),
)
TEXT: tuple[Operation, ...] = (marked, wide, not_utf8, deep, deep_objects)


def file_cases(run: Run) -> Iterator[Case]:
    """Every file of a run, in the hands of its readers."""
    for name, components in READ_BY.items():
        yield from _of_file(run, name, components, (*BYTES, *TEXT), "document")
    for model in ("query_model", "candidate_model"):
        for path in sorted(run.model.glob(f"{model}/**/*")):
            if path.is_file():
                name = path.relative_to(run.folder).as_posix()
                yield from _of_file(run, name, MODEL_READERS[:2], BYTES, "model", ("model",))
    yield from _of_file(run, "model/weights.npz", ("warm start",), BYTES, "model")
    for path in sorted((run.release / "saved_model").rglob("*")):
        if path.is_file() and "extra" not in path.parent.name:
            yield from _of_file(run, path.relative_to(run.folder).as_posix(), ("server",), BYTES, "model", ("release",))
    for path in sorted(run.examples.glob("*/*.gz")):
        name = path.relative_to(run.folder).as_posix()
        yield from _of_file(run, name, EXAMPLES_READERS, BYTES, "shard", (path.parent.name,))
    for name in ("search/study.journal", "search/trials/given/model/model_metadata.json"):
        yield from _of_file(run, name, ("search",), (*BYTES, *TEXT), "document", ("search", "output"))


def _of_file(
    run: Run,
    name: str,
    components: tuple[str, ...],
    operations: tuple[Operation, ...],
    sort: str,
    also: tuple[str, ...] = (),
) -> Iterator[Case]:
    """One file changed; an error may name it, or `also` its folder."""
    if not (run.folder / name).exists():
        return
    for number, operation in enumerate(operations):
        for component in components:

            def mutate(scene: Scene, operation: Operation = operation) -> None:
                operation(scene.run.folder / name, scene)

            kind = f"{sort}, {operation.__name__.replace('_', ' ')}"
            # A search's journal that ends earlier is one of an earlier moment.
            right = anything if component == "search" else same
            yield Case(kind, component, f"{name} #{number}", mutate, ((Path(name).name, *also),), right)


def records(path: Path) -> list[bytes]:
    """The framed records of a gzip TFRecord file."""
    data, found, place = gzip.decompress(path.read_bytes()), [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        found.append(data[place : place + 16 + length])
        place += 16 + length
    return found


def write(path: Path, rows: list[bytes]) -> None:
    replace(path, gzip.compress(b"".join(rows), 1, mtime=0))


def _shard(scene: Scene, split: str) -> Path:
    return scene.draw.choice(sorted((scene.run.examples / split).glob("*.gz")))


def shard_copied(scene: Scene, split: str) -> None:
    """A shard twice, under another name of the same pattern."""
    shard = _shard(scene, split)
    shutil.copy(shard, shard.with_name("part-00009-of-00010.tfrecord.gz"))


def shard_renamed(scene: Scene, split: str) -> None:
    shard = _shard(scene, split)
    shard.rename(shard.with_name("part-00009-of-00010.tfrecord.gz"))


def shard_foreign(scene: Scene, split: str) -> None:
    """The other run's shard of the same name."""
    shard = _shard(scene, split)
    replace(shard, (scene.other.examples / split / shard.name).read_bytes())


def shard_added(scene: Scene, split: str) -> None:
    shutil.copy(_shard(scene, split), scene.run.examples / split / "notes.txt")


def shards_lost(scene: Scene, split: str) -> None:
    shutil.rmtree(scene.run.examples / split)


def shards_empty(scene: Scene, split: str) -> None:
    for shard in (scene.run.examples / split).glob("*.gz"):
        write(shard, [])


def shard_without_rows(scene: Scene, split: str) -> None:
    write(_shard(scene, split), [])


def row_lost(scene: Scene, split: str) -> None:
    shard = _shard(scene, split)
    rows = records(shard)
    write(shard, rows[1:])


def row_doubled(scene: Scene, split: str) -> None:
    shard = _shard(scene, split)
    rows = records(shard)
    write(shard, [*rows[1:], rows[1]])


def rows_elsewhere(scene: Scene, split: str) -> None:
    """A row that moved from one shard of the split to another: the split has all of its rows."""
    first, second, *_ = sorted((scene.run.examples / split).glob("*.gz"))
    rows = records(first)
    write(second, [*records(second), rows[0]])
    write(first, rows[1:])


def splits_swapped(scene: Scene, split: str) -> None:
    other = SPLITS[(SPLITS.index(split) + 1) % len(SPLITS)]
    one, two = scene.run.examples / split, scene.run.examples / other
    aside = scene.run.examples / "aside"
    os.rename(one, aside)
    os.rename(two, one)
    os.rename(aside, two)


def split_repeated(scene: Scene, split: str) -> None:
    """Another split in this one's place."""
    shutil.rmtree(scene.run.examples / split)
    other = SPLITS[(SPLITS.index(split) + 1) % len(SPLITS)]
    shutil.copytree(scene.run.examples / other, scene.run.examples / split)


SHARDS = (
    *(shard_copied, shard_renamed, shard_foreign, shard_added, shards_lost, shards_empty, shard_without_rows),
    *(row_lost, row_doubled, rows_elsewhere, splits_swapped, split_repeated),
)


def shard_cases(run: Run) -> Iterator[Case]:
    """What is lost, doubled or foreign in a split; a renamed shard or one that is not read changes nothing."""
    for change in SHARDS:
        for split in SPLITS:
            for component in EXAMPLES_READERS:

                def mutate(scene: Scene, change: Callable[[Scene, str], None] = change, split: str = split) -> None:
                    change(scene, split)

                kind = f"shards, {change.__name__.replace('_', ' ')}"
                other = SPLITS[(SPLITS.index(split) + 1) % len(SPLITS)]
                yield Case(kind, component, split, mutate, ((split, other, "metadata.json"),))
