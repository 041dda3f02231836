"""The files of views: one for each definition, so that a changed one is built beside the one in use."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection
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


def over(directory: Path, topics: Collection[str]) -> list[Path]:
    """The files of views over one of these topics, of those that are declared no longer, too."""
    paths = sorted(directory.glob("*.db"))
    return [path for path in paths if (state := state_of(path)) is not None and state.view.topic in topics]


def stand_ins(directory: Path, view: View) -> list[tuple[State, Path]]:
    """The files of other definitions that may answer until the view's own has caught up."""
    states = [(state_of(path), path) for path in others(directory, view)]
    return [
        (state, path) for state, path in states if state is not None and state.ready and _same_stream(state.view, view)
    ]


def _same_stream(one: View, other: View) -> bool:
    """Whether who may read the stream of one view may see what the other has. Who may read is known of streams as they
    are now. So a stream with another topic is another one, unless the topics are versions of a derived stream."""
    if one.stream != other.stream:
        return False
    return one.topic == other.topic or (_is_version(one) and _is_version(other))


def _is_version(view: View) -> bool:
    """Whether the topic has the name that a version of a derived stream has."""
    return re.fullmatch(rf"{re.escape(view.stream)}(\.v[0-9]+)?", view.topic) is not None


def served(directory: Path, view: View) -> Path | None:
    """The file to answer from: the view's own once it has caught up, else the newest that may stand in for it."""
    own = path_of(directory, view)
    state = state_of(own)
    if state is not None and state.ready:
        return own
    ready = [(state.made, path) for state, path in stand_ins(directory, view)]
    return max(ready)[1] if ready else None
