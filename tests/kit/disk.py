"""A small file system of its own, where one may be mounted: what does not fit fails as on a full disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A file system that something else fills."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._other = directory / "other"

    def fill(self, room: int = 0) -> None:
        """Take all but so many bytes."""
        self._other.write_bytes(bytes(max(0, shutil.disk_usage(self.directory).free - room)))

    def free(self) -> None:
        """Give it back."""
        self._other.unlink()


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[SmallDisk]:
    """One of this size (`64m`). Needs root outside of most containers; else the test is left out."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        # Not `absent`: few CI runners let anybody mount something.
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield SmallDisk(directory)
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)
