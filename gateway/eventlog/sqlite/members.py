"""Divides work on a SQLite log: the processes stand in a table, and the holder of the file's lock decides for all."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from gateway.errors import LogError
from gateway.eventlog.assignment import Claimant, ClaimingMembership, assign, decode, decode_given, encode, encode_given
from gateway.eventlog.port import MEMBER_SECONDS
from gateway.eventlog.sqlite.connection import SqliteConnection
from gateway.eventlog.sqlite.store import SqliteStore
from gateway.eventlog.sqlite.worker import Worker
from gateway.observability import telemetry

MEMBERS = """
CREATE TABLE IF NOT EXISTS members (
    name TEXT PRIMARY KEY,
    seen INTEGER NOT NULL,
    claimant BLOB NOT NULL,
    given BLOB NOT NULL,
    generation INTEGER NOT NULL
)"""
"""Made when it is first needed, whatever the format of the file; older versions ignore it."""

BEAT_SECONDS = 1.0
"""Seconds between two looks at what is given."""
RENEW_MILLISECONDS = 3_000
"""So often a process says that it is there."""
CLOSE_SECONDS = 1.0


class Given(NamedTuple):
    """What a process is given, and when that was decided."""

    pieces: frozenset[str]
    generation: int


def take_part(store: SqliteConnection, name: str, claimant: Claimant, now: int) -> Given:
    """Say what a process wants and holds, at this time (ms); returns what it is to do. Writes where something has
    changed, or where it is time to say that the process is there."""
    with store.reading() as connection:
        rows = _rows(connection)
        own = rows.get(name)
        if own is not None and 0 <= now - own.seen < RENEW_MILLISECONDS:
            is_told = own.told == encode(claimant) and all(_is_there(row.seen, now) for row in rows.values())
            # What others have decided is taken up before anything is decided anew.
            if is_told or own.generation > claimant.generation:
                return Given(own.given or frozenset(), own.generation)
    with store.writing() as connection:
        connection.execute(MEMBERS)
        rows = {other: row for other, row in _rows(connection).items() if _is_there(row.seen, now)}
        if name in rows:
            claimant = claimant._replace(generation=rows[name].generation)
        rows[name] = _Row(now, encode(claimant), rows[name].given if name in rows else None, claimant.generation)
        claimants = {other: row.claimant for other, row in rows.items()} | {name: claimant}
        given = assign(claimants)
        if any(given[other] != row.given for other, row in rows.items()):
            generation = 1 + max(row.generation for row in rows.values())
            rows = {
                other: _Row(row.seen, encode(claimants[other]), given[other], generation) for other, row in rows.items()
            }
        connection.execute("DELETE FROM members")
        connection.executemany(
            "INSERT INTO members VALUES (?, ?, ?, ?, ?)",
            [(other, row.seen, row.told, encode_given(row.given or ()), row.generation) for other, row in rows.items()],
        )
        return Given(given[name], rows[name].generation)


def leave(store: SqliteConnection, name: str) -> None:
    """The process ends."""
    with store.writing() as connection:
        connection.execute(MEMBERS)
        connection.execute("DELETE FROM members WHERE name = ?", (name,))


class _Row(NamedTuple):
    """What the file has of a process. What it is given it may have begun, though it has not told so yet."""

    seen: int
    told: bytes
    given: frozenset[str] | None
    generation: int

    @property
    def claimant(self) -> Claimant:
        told = decode(self.told)
        return Claimant(told.wants, told.holds | (self.given or frozenset()), self.generation)


def _rows(connection: sqlite3.Connection) -> dict[str, _Row]:
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'members'").fetchone() is None:
        return {}
    found = connection.execute("SELECT name, seen, claimant, given, generation FROM members").fetchall()
    return {name: _Row(seen, told, decode_given(given), generation) for name, seen, told, given, generation in found}


def _is_there(seen: int, now: int) -> bool:
    """Whether a process answers. One that was seen in the future was seen before the clock was set."""
    return abs(now - seen) < MEMBER_SECONDS * 1000


class SqliteMembership(ClaimingMembership):
    """A Membership over a SqliteLog."""

    def __init__(self, worker: Worker[SqliteStore], now: Callable[[], int], on_change: Callable[[], None]) -> None:
        super().__init__()
        self._worker = worker
        self._now = now
        self._on_change = on_change
        self._name = str(uuid.uuid4())
        self._moved = asyncio.Event()
        self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """See Membership."""
        self._beating.cancel()
        await asyncio.wait([self._beating])
        with suppress(LogError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._worker.run(leave, self._name)

    def _tell(self) -> None:
        self._moved.set()

    async def _beat(self) -> None:
        while True:
            if self._moved.is_set() or self._claims.wants or self._claims.claimant.holds:
                # While the file cannot be written nobody else is given anything either.
                try:
                    await self._look()
                except LogError as error:
                    telemetry.work_waits(str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._moved.wait()

    async def _look(self) -> None:
        self._moved.clear()
        claimant = self._claims.claimant
        found = await self._worker.run(take_part, self._name, claimant, self._now())
        # What was put down meanwhile is told at the next look.
        pieces = found.pieces - (claimant.holds - self._claims.claimant.holds)
        if found.generation != claimant.generation:
            self._moved.set()  # what it holds is told again, beside that
        if self._claims.give(pieces, found.generation):
            self._on_change()
