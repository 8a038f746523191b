"""Memory that is available, by files of Linux that a test can write."""

import os
from pathlib import Path

import pytest

from trainer_image import machine

MIB = 1 << 20
UNLIMITED_V1 = "9223372036854771712"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with 8,000 MiB free, of which this process holds 500 beside."""
    write(tmp_path, "proc/meminfo", "MemTotal: 16384000 kB\nMemFree: 100 kB\nMemAvailable: 8192000 kB\n")
    write(
        tmp_path, "proc/self/status", "Name:\tpython\nVmRSS:\t 900000 kB\nRssAnon:\t  512000 kB\nRssFile:\t 388000 kB\n"
    )
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def group(root: Path, path: str, limit: str, use: int, cache: int) -> None:
    """A group of cgroup version 2, sizes in MiB."""
    write(root, f"sys/fs/cgroup/{path}/memory.max", f"{limit}\n")
    write(root, f"sys/fs/cgroup/{path}/memory.current", f"{use * MIB}\n")
    write(root, f"sys/fs/cgroup/{path}/memory.stat", f"anon 1\nactive_file 7\ninactive_file {cache * MIB}\n")


def test_without_a_limit_it_is_what_the_machine_has(root: Path) -> None:
    assert machine.host_memory(str(root)) == 8500 * MIB
    write(root, "proc/self/cgroup", "0::/user.slice\n")
    group(root, "user.slice", "max", 900, 100)
    assert machine.host_memory(str(root)) == 8500 * MIB


def test_a_container_has_its_limit(root: Path) -> None:
    """4,096 MiB, of which 900 are taken, 100 of them by page cache that can go."""
    write(root, "proc/self/cgroup", "0::/\n")
    group(root, "", str(4096 * MIB), 900, 100)
    assert machine.host_memory(str(root)) == (4096 - 900 + 100 + 500) * MIB


def test_the_tightest_of_the_groups_around_counts(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/kubepods/pod7/trainer\n")
    group(root, "kubepods", str(7000 * MIB), 5000, 0)
    group(root, "kubepods/pod7", str(3000 * MIB), 1800, 0)
    group(root, "kubepods/pod7/trainer", "max", 1200, 0)
    assert machine.host_memory(str(root)) == (3000 - 1800 + 500) * MIB


def test_a_group_that_is_not_visible_from_inside(root: Path) -> None:
    """Docker without a namespace of its own: the path is the host's, the files are mounted at the root."""
    write(root, "proc/self/cgroup", "0::/docker/0a1b2c\n")
    group(root, "", str(2048 * MIB), 600, 0)
    assert machine.host_memory(str(root)) == (2048 - 600 + 500) * MIB


@pytest.mark.parametrize("controllers", ["memory", "hugetlb,memory"])
def test_version_1(root: Path, controllers: str) -> None:
    write(root, "proc/self/cgroup", f"9:name=systemd:/\n4:{controllers}:/jobs/7\n3:cpu,cpuacct:/jobs/7\n0::/\n")
    for path, limit, use in (
        ("", UNLIMITED_V1, 9000),
        ("/jobs", str(6000 * MIB), 5500),
        ("/jobs/7", UNLIMITED_V1, 700),
    ):
        write(root, f"sys/fs/cgroup/memory{path}/memory.limit_in_bytes", limit)
        write(root, f"sys/fs/cgroup/memory{path}/memory.usage_in_bytes", str(use * MIB))
        write(root, f"sys/fs/cgroup/memory{path}/memory.stat", f"inactive_file 1\ntotal_inactive_file {50 * MIB}\n")
    assert machine.host_memory(str(root)) == (6000 - 5500 + 50 + 500) * MIB


def test_elsewhere_than_on_linux_it_is_all_there_is(tmp_path: Path) -> None:
    assert machine.host_memory(str(tmp_path)) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_this_machine_has_some() -> None:
    assert 64 * MIB < machine.host_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert machine.local_devices()
