"""The claims of the SQLite log: ids of records that may be offered again, stored in the transaction of the records.

So two processes over one file cannot both store one. The claims are a list of what each append has stored, and memory
holds all of it. An appender has the lock of the file, reads what others have added since, and then knows all claims. An
index in the file would make each append write pages all over it.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

CLAIMS = """
CREATE TABLE IF NOT EXISTS claims (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    ids BLOB NOT NULL
)"""

BINDINGS = """
CREATE TABLE IF NOT EXISTS bindings (
    number INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    value BLOB NOT NULL
)"""

SEPARATOR = b"\xff"
"""Between ids; in none of them, since it is in no text (UTF-8)."""

PRUNE_MILLISECONDS = 1000
PRUNED_AT_ONCE = 64
"""Expired notes are deleted in steps at this interval: a fixed number, and two for each new note. So no step is long
and none is left."""


class Life(NamedTuple):
    """How long a claim holds, in milliseconds, and among how many of the newest. 0: there are none."""

    milliseconds: int
    maximum: int

    @property
    def any(self) -> bool:
        """Whether there are claims at all."""
        return self.milliseconds > 0 and self.maximum > 0


class _Note(NamedTuple):
    number: int
    at: int
    ids: Sequence[bytes]


class Claimed:
    """The claims in the file, as far as they were read. Each method belongs into a transaction that writes; times
    are in milliseconds."""

    def __init__(self) -> None:
        self._notes: deque[_Note] = deque()
        self._ids: dict[bytes, int] = {}
        """By what is claimed, the number of its newest note."""
        self._last = 0
        self._pruned = 0
        self._since = 0

    def __len__(self) -> int:
        return len(self._ids)

    def catch_up(self, connection: sqlite3.Connection, life: Life, now: int) -> None:
        """Read what others have noted since, and forget what has ended."""
        if not self._last:
            # From the first that still holds: those before it are older, but for a clock that was set.
            query = "SELECT coalesce(min(number), 1) - 1 FROM claims WHERE at > ?"
            self._last = connection.execute(query, (now - life.milliseconds,)).fetchone()[0]
        query = "SELECT number, at, ids FROM claims WHERE number > ? ORDER BY number"
        for number, at, ids in connection.execute(query, (self._last,)):
            self._note(_Note(number, at, ids.split(SEPARATOR)))
        while self._notes and (self._notes[0].at <= now - life.milliseconds or len(self._ids) > life.maximum):
            self._forget(self._notes.popleft())
        if abs(now - self._pruned) >= PRUNE_MILLISECONDS:
            self._prune(connection, now)

    def repeated(self, ids: Sequence[bytes]) -> set[int]:
        """The indices of those that are claimed already, here or by an earlier one."""
        found = {index for index, each in enumerate(ids) if each in self._ids}
        if len(set(ids)) < len(ids):
            seen: set[bytes] = set()
            for index, each in enumerate(ids):
                if each in seen:
                    found.add(index)
                seen.add(each)
        return found

    def write(self, connection: sqlite3.Connection, ids: Sequence[bytes], now: int) -> _Note:
        """Note the records of this transaction. They count once `committed` is called."""
        note = _Note(self._last + 1, now, ids)
        connection.execute("INSERT INTO claims VALUES (?, ?, ?)", (note.number, now, SEPARATOR.join(ids)))
        return note

    def committed(self, note: _Note) -> None:
        """The transaction of this note is on the disk."""
        self._note(note)

    def _note(self, note: _Note) -> None:
        self._last = note.number
        self._since += 1
        self._notes.append(note)
        self._ids.update(dict.fromkeys(note.ids, note.number))

    def _forget(self, note: _Note) -> None:
        for each in note.ids:
            if self._ids.get(each) == note.number:
                del self._ids[each]

    def _prune(self, connection: sqlite3.Connection, now: int) -> None:
        """The newest note stays: its number says where the next begins."""
        first = self._notes[0].number if self._notes else self._last
        connection.execute(
            "DELETE FROM claims WHERE number IN (SELECT number FROM claims WHERE number < ? ORDER BY number LIMIT ?)",
            (first, PRUNED_AT_ONCE + 2 * self._since),
        )
        self._pruned, self._since = now, 0


def bind(connection: sqlite3.Connection, life: Life, name: bytes, value: bytes, now: int) -> bytes:
    """Give a name this value, where it has none; returns the one that it has."""
    query = "SELECT (SELECT min(number) FROM bindings), (SELECT max(number) FROM bindings)"
    first, last = connection.execute(query).fetchone()
    if first is not None:
        connection.execute(
            "DELETE FROM bindings WHERE number < ? AND (at <= ? OR number <= ?)",
            (first + PRUNED_AT_ONCE, now - life.milliseconds, last - life.maximum),
        )
    connection.execute("DELETE FROM bindings WHERE name = ? AND at <= ?", (name, now - life.milliseconds))
    statement = "INSERT INTO bindings (name, at, value) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING"
    connection.execute(statement, (name, now, value))
    bound: bytes = connection.execute("SELECT value FROM bindings WHERE name = ?", (name,)).fetchone()[0]
    return bound
