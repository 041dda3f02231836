"""The store of a view: what is read. Any number of processes read beside the one that writes (`store.py`).

Each call sees one state of the file, and looks at a bounded number of keys or changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gateway.catalog.view import View, view_of
from gateway.state.format import has_view
from gateway.state.key import after
from gateway.state.place import Cut, Place, Places, covers, cut_of, read

WAIT_SECONDS = 5.0
LOOKED_THROUGH = 200_000
"""Changes that are looked through for a time."""
MARK_LOOKS = 100
"""To find the next mark takes as long as so many changes."""
PAGE_BYTES = 512 * 1024
"""Bytes of values that one call brings, but for the last."""
CACHE_KIBIBYTES = 4 * 1024
"""Of pages of the file. Those that are not in it are mostly in the cache of the system."""


class Forgotten(Exception):
    """The history that was asked for is gone. The text says why, where that is not all."""


class _Looks:
    """Counts what is looked through for a time."""

    def __init__(self) -> None:
        self._left = LOOKED_THROUGH

    def take(self, count: int = 1) -> None:
        """Raises Forgotten where it was enough: what was not looked through must not be taken for nothing."""
        self._left -= count
        if self._left < 0:
            raise Forgotten(
                "the log has forgotten this time, and to look for it in the view takes too long; name an id in its "
                "place, or a later time"
            )


class State(NamedTuple):
    """How far a view is. `earliest` (ms) is the first time of which it knows the state; None where it has read nothing.
    `seq` is the number of its last change."""

    view: View
    made: int
    places: Places
    seq: int
    keys: int
    ready: bool
    halted: str | None
    moved: bool
    horizon_seq: int
    horizon: dict[int, int]
    earliest: int | None


class Version(NamedTuple):
    """A value of a key (None: deleted), and the record that made it."""

    seq: int
    partition: int
    offset: int
    timestamp: int
    seen: int
    key: bytes
    value: bytes | None

    @property
    def place(self) -> Place:
        """Where its partition is read next, once its record has been read."""
        return Place(self.offset + 1, self.offset, self.timestamp, self.seen)

    def is_before(self, cut: Cut) -> bool:
        """Whether it belongs to the state at this cut."""
        return self.offset < cut.get(self.partition, 0)


_COLUMNS = "seq, partition, offset, timestamp, seen, key, value"
_OF_CHANGES = ", ".join(f"h.{name.strip()}" for name in _COLUMNS.split(","))


class Lookup:
    """Reads one file. Belongs to one thread at a time. Raises sqlite3.Error, also for a file that has no view."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            timeout=WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        self._view: tuple[bytes, View] | None = None
        try:
            if not has_view(self._file, path):
                raise sqlite3.OperationalError(f"nothing is in {path} yet")
            self._file.execute(f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; never raises."""
        with suppress(sqlite3.Error):
            self._file.close()

    def version(self) -> int:
        """A number that changes when the file was written."""
        row: tuple[int] = self._file.execute("PRAGMA data_version").fetchone()
        return row[0]

    def state(self) -> State | None:
        """How far the view is; None before it has begun."""
        with self._reading() as file:
            return self._state(file)

    def get(self, key: bytes, cut: Cut | None, whole: bool = True) -> tuple[State, Version | None]:
        """The newest version of a key before a cut, or of all; it may be a deletion. Not `whole`: `key` is what the
        stored key begins with, whatever the kinds of its members. Raises Forgotten."""
        with self._reading() as file:
            state = self._demand(file)
            found = self._named(file, key, whole)
            if cut is None:
                return state, None if found is None else self._newest(file, found[1])
            partition = None if found is None or state.moved else found[2]
            if any(
                cut.get(number, 0) < offset
                for number, offset in state.horizon.items()
                if partition is None or number == partition
            ):
                raise Forgotten
            return state, None if found is None else self._as_of(file, found[0], found[2], cut, state)

    def history(
        self, key: bytes, before: int | None, limit: int, whole: bool = True
    ) -> tuple[State, list[Version], bool]:
        """Versions of a key, the newest first, those with a number below `before`; whether there are more. Raises
        Forgotten for a file that is begun anew."""
        with self._reading() as file:
            state = self._demand(file)
            found = self._named(file, key, whole)
            if found is None:
                return state, [], False
            query = f"SELECT {_COLUMNS} FROM changes WHERE key = ? AND seq < ? ORDER BY partition DESC, offset DESC"
            if state.moved:
                query = f"SELECT {_COLUMNS} FROM changes WHERE key = ? AND seq < ? ORDER BY seq DESC"
            rows: list[Version] = []
            size = 0
            for row in file.execute(query, (found[0], 1 << 62 if before is None else before)):
                if len(rows) == limit or size > PAGE_BYTES:
                    return state, rows, True
                rows.append(Version(*row))
                size += len(rows[-1].value or b"")
            return state, rows, False

    def rows(
        self, cut: Cut, start: bytes, behind: bool, end: bytes | None, looks: int, most: int
    ) -> tuple[list[Version], bytes | None]:
        """The next keys at a cut, from `start` on, or `behind` it, and before `end`: at most `most`, of at most `looks`
        that are looked at. Also the last key that was looked at, and None at the end. Raises Forgotten."""
        with self._reading() as file:
            state = self._demand(file)
            if not covers(cut, state.horizon):
                raise Forgotten
            found: list[Version] = []
            size = 0
            for looked, (key, home, *row) in enumerate(
                file.execute(
                    f"SELECT c.key, c.partition, {_OF_CHANGES} FROM current c JOIN changes h ON h.seq = c.seq "
                    f"WHERE c.key {'>' if behind else '>='} ? AND c.key < ? ORDER BY c.key",
                    (start, b"\xff" if end is None else end),
                ),
                1,
            ):
                newest = Version(*row)
                version = newest if newest.is_before(cut) else self._as_of(file, key, home, cut, state)
                if version is not None and version.value is not None:
                    found.append(version)
                    size += len(version.value)
                if looked == looks or len(found) == most or size > PAGE_BYTES:
                    return found, key
            return found, None

    def changes(self, seq: int, most: int) -> tuple[State, list[Version]]:
        """The state, and the changes with a number above `seq`, as many as there are up to `most`. Raises Forgotten."""
        with self._reading() as file:
            state = self._demand(file)
            if seq < state.horizon_seq:
                raise Forgotten
            rows: list[Version] = []
            size = 0
            for row in file.execute(f"SELECT {_COLUMNS} FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (seq, most)):
                rows.append(Version(*row))
                size += len(rows[-1].value or b"")
                if size > PAGE_BYTES:
                    break
            return state, rows

    def before(self, cut: Cut) -> int:
        """The number of a change such that all changes up to it are before the cut. Raises Forgotten where what is
        behind the cut is not all there."""
        with self._reading() as file:
            state = self._demand(file)
            if not covers(cut, state.horizon):
                raise Forgotten
            low, last = file.execute("SELECT min(number), max(number) FROM marks").fetchone()
            beyond = self._first_mark(file, low, last + 1, lambda reached: not covers(cut, reached))
            return max(self._seq_before(file, beyond), state.horizon_seq)

    def cut_at(self, time: int, ends: Cut) -> dict[int, int]:
        """Of each of these partitions the cut before its first record at or after a time (ms), as far as changes before
        `ends` tell: for times from which the log has nothing any more. Raises Forgotten."""
        with self._reading() as file:
            state = self._demand(file)
            mark = file.execute(
                "SELECT number, places FROM marks WHERE high < ? ORDER BY number DESC LIMIT 1", (time,)
            ).fetchone()
            if mark is None:
                raise Forgotten
            begin, looks = cut_of(read(mark[1])), _Looks()
            cut = {partition: begin.get(partition, 0) for partition in ends}
            for partition, end in ends.items():
                for offset, at in self._changes_of(file, partition, end, mark[0], state.seq, looks):
                    if at >= time or offset >= end:
                        break
                    cut[partition] = offset + 1
            return cut

    # -- parts of a transaction -----------------------------------------------------------------------------------

    def _state(self, file: sqlite3.Connection) -> State | None:
        row = file.execute(
            "SELECT view, made, places, seq, keys, ready, halted, moved, horizon_seq, horizon_places, horizon_high, "
            "first FROM state"
        ).fetchone()
        if row is None:
            return None
        if self._view is None or self._view[0] != row[0]:
            self._view = row[0], view_of(row[0])
        earliest = row[11] if row[10] is None else row[10] + 1
        places, horizon = read(row[2]), cut_of(read(row[9]))
        return State(
            self._view[1], row[1], places, row[3], row[4], bool(row[5]), row[6], bool(row[7]), row[8], horizon, earliest
        )

    def _demand(self, file: sqlite3.Connection) -> State:
        state = self._state(file)
        if state is None:
            raise Forgotten
        return state

    @staticmethod
    def _first_mark(file: sqlite3.Connection, low: int, end: int, is_it: Callable[[Cut], bool]) -> int:
        """The number of the first mark, from `low` to before `end`, up to which so much was read; `end` where there is
        none. It is so of all marks behind it, too."""
        while low < end:
            middle = (low + end) // 2
            row = file.execute("SELECT places FROM marks WHERE number = ?", (middle,)).fetchone()
            if is_it(cut_of(read(row[0]))):
                end = middle
            else:
                low = middle + 1
        return low

    @staticmethod
    def _seq_before(file: sqlite3.Connection, number: int) -> int:
        """The number of the last change at the mark before this one; 0 where there is none."""
        query = "SELECT seq FROM marks WHERE number < ? ORDER BY number DESC LIMIT 1"
        row: tuple[int] | None = file.execute(query, (number,)).fetchone()
        return 0 if row is None else row[0]

    def _changes_of(
        self, file: sqlite3.Connection, partition: int, end: int, mark: int, newest: int, looks: _Looks
    ) -> Iterator[tuple[int, int]]:
        """The offset and the time of each change of a partition behind this mark, in order, at least up to the offset
        `end`. Marks tell where the partition was read at all: a quiet one takes no time. `newest` is the last change's
        number."""
        last: int = file.execute("SELECT max(number) FROM marks").fetchone()[0]
        while mark <= last:
            (places,) = file.execute("SELECT places FROM marks WHERE number = ?", (mark,)).fetchone()
            known = cut_of(read(places)).get(partition, 0)
            if known >= end:
                return
            mark = self._first_mark(file, mark + 1, last + 1, partial(_has_more, partition, known))
            looks.take(MARK_LOOKS)
            upto = newest if mark > last else self._seq_before(file, mark + 1)
            for found, offset, at in file.execute(
                "SELECT partition, offset, timestamp FROM changes WHERE seq > ? AND seq <= ? ORDER BY seq",
                (self._seq_before(file, mark), upto),
            ):
                looks.take()
                if found == partition:
                    yield offset, at

    @staticmethod
    def _named(file: sqlite3.Connection, key: bytes, whole: bool) -> tuple[bytes, int, int] | None:
        """A key that is there or was, with its last change and its partition. Of kinds, a text goes before others."""
        query = "SELECT key, seq, partition FROM current WHERE "
        if whole:
            row = file.execute(query + "key = ?", (key,)).fetchone()
        else:
            following = query + "key >= ? AND key < ? ORDER BY key DESC LIMIT 1"
            row = file.execute(following, (key, after(key))).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    @staticmethod
    def _newest(file: sqlite3.Connection, seq: int) -> Version | None:
        row = file.execute(f"SELECT {_COLUMNS} FROM changes WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else Version(*row)

    def _as_of(self, file: sqlite3.Connection, key: bytes, home: int, cut: Cut, state: State) -> Version | None:
        """The newest version before a cut. The versions of a key are in one partition, but where a topic was given
        more partitions: then all are looked at."""
        newest = None
        for partition in state.places if state.moved else (home,):
            row = file.execute(
                f"SELECT {_COLUMNS} FROM changes WHERE key = ? AND partition = ? AND offset < ? "
                "ORDER BY offset DESC LIMIT 1",
                (key, partition, cut.get(partition, 0)),
            ).fetchone()
            if row is not None and (newest is None or row[0] > newest.seq):
                newest = Version(*row)
        return newest

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._file.execute("BEGIN")
        try:
            yield self._file
        finally:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")


def _has_more(partition: int, known: int, reached: Cut) -> bool:
    return reached.get(partition, 0) > known
