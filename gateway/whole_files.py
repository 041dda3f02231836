"""Writes files whole or not at all: beside their place first, and then moved there in one step."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path


def write_whole(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write a file, or nothing of it where that fails: on a full disk, or when the process dies.

    A file that is there keeps its mode, and where it is a link, what the link leads to is written. `new`: the file must
    not be there. Raises OSError; FileExistsError where it is.
    """
    place = Path(os.path.realpath(path))
    with _beside(place) as temporary:
        # The process's umask applies, as to any new file.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            if not new and place.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(place.stat().st_mode))
            os.fsync(file.fileno())
        if new:
            _put_new(temporary, place)
        else:
            temporary.replace(place)
    _settle(place.parent)


def link_whole(path: Path, goal: str) -> None:
    """Make `path` a symbolic link to `goal`, whatever it was. Raises OSError."""
    with _beside(path) as temporary:
        temporary.symlink_to(goal)
        temporary.replace(path)
    _settle(path.parent)


def copy_whole(source: Path, target: Path, *, parts: Collection[str] | None = None) -> None:
    """Copy a directory, or these parts of it, to where nothing is, or nothing of it. Raises OSError."""

    def left_out(directory: str, names: list[str]) -> set[str]:
        return set() if parts is None or Path(directory) != source else set(names) - set(parts)

    with _beside(target) as temporary:
        shutil.copytree(source, temporary, copy_function=_copy, ignore=left_out)
        if os.path.lexists(target):
            raise FileExistsError(f"{target} exists already")
        temporary.rename(target)
    _settle(target.parent)


@contextlib.contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A name in the same directory, of which nothing is left. It begins with a dot, so that nobody takes it for one."""
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.new")
    try:
        yield temporary
    finally:
        if temporary.is_dir() and not temporary.is_symlink():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _put_new(temporary: Path, place: Path) -> None:
    try:
        os.link(temporary, place)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: two processes at the same moment would not see each other there.
        if os.path.lexists(place):
            raise FileExistsError(f"{place} exists already") from None
        temporary.replace(place)


def _copy(source: str, target: str) -> None:
    shutil.copy2(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())


def _settle(directory: Path) -> None:
    """Bring the names in a directory to the disk, where the file system has that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
