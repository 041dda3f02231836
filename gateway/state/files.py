"""The files of views: one for each definition, so that a changed one is built beside the one in use."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from pathlib import Path

from gateway.catalog.view import View
from gateway.state.lookup import Lookup, State

_NAME = re.compile(r"(.+)-([0-9a-f]{12})\.db")


def path_of(directory: Path, view: View) -> Path:
    """The file of a view."""
    return directory / f"{view.name}-{view.digest}.db"


def others(directory: Path, view: View) -> list[Path]:
    """The files of a view's other definitions."""
    found = []
    for path in sorted(directory.glob("*.db")):
        match = _NAME.fullmatch(path.name)
        if match is not None and match[1] == view.name and match[2] != view.digest:
            found.append(path)
    return found


def remove(path: Path) -> None:
    """Remove a file with those that SQLite keeps beside it. Who has it open reads on."""
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with suppress(FileNotFoundError):
            name.unlink()


def discard(directory: Path, view: View) -> int:
    """Remove all files of a view, which then is built again; how many there were."""
    paths = [path for path in (path_of(directory, view), *others(directory, view)) if path.exists()]
    for path in paths:
        remove(path)
    return len(paths)


def node_of(path: Path) -> int | None:
    """What tells a file from another one of the same name; None where there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def state_of(path: Path) -> State | None:
    """The state of a file; None where it is not there, or nothing is in it yet."""
    try:
        lookup = Lookup(path)
    except sqlite3.Error:
        return None
    try:
        return lookup.state()
    except sqlite3.Error:
        return None
    finally:
        lookup.close()


def served(directory: Path, view: View) -> Path | None:
    """The file to answer from: the view's own once it has caught up, else the newest of another definition that has."""
    own = path_of(directory, view)
    state = state_of(own)
    if state is not None and state.ready:
        return own
    states = [(state_of(path), path) for path in others(directory, view)]
    ready = [(state.made, path) for state, path in states if state is not None and state.ready]
    return max(ready)[1] if ready else None
