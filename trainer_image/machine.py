"""How much memory this process may have: of the machine, of the container it runs in, and of each GPU."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import tensorflow as tf

# By the controllers of a line in /proc/self/cgroup, version 1's or 2's: where the groups are, and in each the files of
# its limit and its use, and the line of memory.stat that says how much of it is page cache that can be given up.
CGROUPS = {
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
}


def local_devices() -> list[str]:
    """The devices of this process that train, one replica each: its GPUs, else its CPUs (one, unless it was split)."""
    return [device.name for device in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")]


def host_memory(root: str = "/") -> int:
    """Bytes that this process holds, and those that it can still get from the machine or the container's limit.

    Args:
        root: The root of the file system.

    Returns:
        All of the machine's memory where Linux's files are missing, as on macOS.
    """
    available = _number(Path(root, "proc/meminfo"), "MemAvailable:")
    if available is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    held = _number(Path(root, "proc/self/status"), "RssAnon:") or 0
    return min([1024 * available, *_left_in_cgroups(root)]) + 1024 * held


def gpu_memory() -> int | None:
    """Bytes that TensorFlow may take of each GPU, the smallest of them; None without one. Not tried on a GPU yet."""
    from tensorflow.python.client import device_lib  # no public name says it

    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    return min(limits, default=None)


def _left_in_cgroups(root: str) -> Iterator[int]:
    """What the group of this process and every group around it leave; inside a container some are not visible."""
    groups = Path(root, "proc/self/cgroup")
    for line in groups.read_text().splitlines() if groups.exists() else []:
        controllers, path = line.split(":", 2)[1:]
        version = "memory" if "memory" in controllers.split(",") else controllers
        if version not in CGROUPS:
            continue
        mount, limit_name, use_name, cache_name = CGROUPS[version]
        group = PurePosixPath(path)
        for place in (group, *group.parents):
            folder = Path(root, mount, str(place).lstrip("/"))
            limit, use = _number(folder / limit_name), _number(folder / use_name)
            if limit is not None and use is not None:
                yield limit - use + (_number(folder / "memory.stat", cache_name) or 0)


def _number(file: Path, name: str = "") -> int | None:
    """The first number of a file, or that after `name`; None where there is none, as in "max"."""
    if not file.exists():
        return None
    for line in file.read_text().splitlines():
        words = line.split()
        if words and (not name or words[0] == name):
            value = words[1 if name else 0]
            return int(value) if value.isdigit() else None
    return None
