"""Finds how much memory the process may have, from its control groups and the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

UNLIMITED = 1 << 60
"""Control groups of the first version report more than this if there is no limit."""


def memory_limit(root: Path = Path("/")) -> int | None:
    """The least of all limits, in bytes; None where nothing tells. `root` is where /proc and /sys are."""
    return min((limit for limit in _limits(root) if limit < UNLIMITED), default=None)


def _limits(root: Path) -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                yield int(line.split()[1]) * 1024
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if not controllers:
                yield from _of_groups(root / "sys/fs/cgroup", path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _of_groups(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")


def _of_groups(mounted: Path, path: str, name: str) -> Iterator[int]:
    """The limits of a group and of those around it. In a container the path may be that of the host, where only the
    last of these is to be found."""
    group = mounted / path.lstrip("/")
    for each in (group, *group.parents):
        with suppress(OSError, ValueError):
            yield int((each / name).read_text())
        if each == mounted:
            return
