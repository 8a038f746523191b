"""Cloud Storage's objects as files of a folder, which processes may also read and write past the API."""

import contextlib
import mimetypes
import os
from pathlib import Path
from typing import Any

from gcp_storage_emulator.handlers.buckets import _make_bucket_resource
from gcp_storage_emulator.handlers.objects import _checksums, _make_object_resource
from gcp_storage_emulator.storage import Storage, _FileStore


class FolderStorage(Storage):
    """The emulator's storage over folder/BUCKET/OBJECT.

    Args:
        folder: Its folders are the buckets, but for those whose names begin with "_" or ".", which no bucket's may.
    """

    def __init__(self, folder: Path):
        super().__init__(use_memory_fs=True)
        self.folder = folder
        self.url = ""
        self.seen: dict[Path, tuple[int, int]] = {}
        self._store = _FileStore(use_memory=False, root=folder)

    def refresh(self) -> None:
        """Takes up what was written to the folder, or removed from it, since the last request."""
        buckets = {path.name for path in self.folder.iterdir() if path.is_dir() and path.name[0] not in "_."}
        for gone in set(self.buckets) - buckets:
            del self.buckets[gone]
            self.objects.pop(gone, None)
        for name in buckets:
            if name not in self.buckets:
                self.buckets[name] = _make_bucket_resource(name)
            self.buckets[name]["softDeletePolicy"] = {"retentionDurationSeconds": "0"}  # a deleted file is gone
            known = self.objects.setdefault(name, {})
            found = self._find(name)
            for gone in set(known) - set(found):
                del known[gone]
            for key, path in found.items():
                with contextlib.suppress(FileNotFoundError):
                    self._take_up(known, name, key, path)

    def create_file(self, bucket_name: str, file_name: str, *arguments: Any, **options: Any) -> None:
        super().create_file(bucket_name, file_name, *arguments, **options)
        path = self.folder / bucket_name / file_name
        self.seen[path] = _version(path)

    def _take_up(self, known: dict[str, Any], bucket: str, key: str, path: Path) -> None:
        version = _version(path)
        if key in known and self.seen.get(path) == version:
            return
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        content = path.read_bytes()
        known[key] = _checksums(content, _make_object_resource(self.url, bucket, key, kind, str(len(content))))
        self.seen[path] = version

    def _find(self, bucket: str) -> dict[str, Path]:
        top = self.folder / bucket
        files = [Path(root, name) for root, _, names in os.walk(top) for name in names]
        return {path.relative_to(top).as_posix(): path for path in files}

    def _write_config_to_file(self) -> None:
        """Nothing: the folder says all there is to know."""


def _version(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
