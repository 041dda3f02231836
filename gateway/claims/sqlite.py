"""Claims for the workers of one host, in a file of their own.

They serve where the log cannot decide who stores an event, and nothing else is shared. The file is worth nothing once
the host has restarted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gateway.claims.book import Entry, standing
from gateway.claims.port import LEASE_SECONDS, AskedClaim, ClaimsAway, ClaimState, Standing
from gateway.errors import LogError
from gateway.eventlog.sqlite.claims import BINDINGS, PRUNED_AT_ONCE, Life, bind
from gateway.eventlog.sqlite.connection import SqliteConnection
from gateway.eventlog.sqlite.worker import Worker
from gateway.observability import telemetry

BUSY_SECONDS = 0.5
"""Seconds that a claim waits for those of other workers."""
ANSWER_SECONDS = 1.0
"""The file is away when a call takes longer."""
CLAIMS = """
CREATE TABLE IF NOT EXISTS claims (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    holder BLOB,
    until INTEGER NOT NULL DEFAULT 0
)"""
"""Without a holder, what is claimed is stored."""
LEASE_MILLISECONDS = int(LEASE_SECONDS * 1000)

Result = TypeVar("Result")


class ClaimFile(SqliteConnection):
    """The file. Times are in milliseconds."""

    tables = (CLAIMS, BINDINGS)
    synchronous = "OFF"

    def take(self, life: Life, holder: bytes, asked: Sequence[AskedClaim], now: int) -> list[Standing]:
        """See Claims."""
        with self.writing() as connection:
            self._prune(life, now, len(asked))
            rows = [(one.id, now, holder, now + LEASE_MILLISECONDS) for one in asked]
            statement = "INSERT INTO claims (id, at, holder, until) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
            if connection.executemany(statement, rows).rowcount == len(rows):
                return [Standing(ClaimState.OWN)] * len(rows)
            return [self._take(life, holder, one, now) for one in asked]

    def renew(self, holder: bytes, ids: Sequence[bytes], now: int) -> list[bool]:
        """See Claims."""
        statement = "UPDATE claims SET until = ? WHERE id = ? AND holder = ?"
        with self.writing() as connection:
            until = now + LEASE_MILLISECONDS
            return [connection.execute(statement, (until, each, holder)).rowcount > 0 for each in ids]

    def settle(self, holder: bytes, stored: Sequence[bytes], freed: Sequence[bytes], now: int) -> None:
        """See Claims."""
        with self.writing() as connection:
            connection.executemany(
                "INSERT INTO claims (id, at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET holder = NULL",
                [(each, now) for each in stored],
            )
            connection.executemany(
                "DELETE FROM claims WHERE id = ? AND holder = ?", [(each, holder) for each in freed]
            )  # fmt: skip

    def bind(self, life: Life, name: bytes, value: bytes, now: int) -> bytes:
        """See Keys."""
        with self.writing() as connection:
            return bind(connection, life, name, value, now)

    def _prune(self, life: Life, now: int, coming: int) -> None:
        """Delete some expired claims, the oldest first: a fixed number, and two for each new claim. So no step is
        long and none is left."""
        connection = self.connection()
        query = "SELECT (SELECT min(number) FROM claims), (SELECT max(number) FROM claims)"
        first, last = connection.execute(query).fetchone()
        if first is not None:
            connection.execute(
                "DELETE FROM claims WHERE number < ? AND (at <= ? OR number <= ?)",
                (first + PRUNED_AT_ONCE + 2 * coming, now - life.milliseconds, last - life.maximum),
            )

    def _take(self, life: Life, holder: bytes, asked: AskedClaim, now: int) -> Standing:
        connection = self.connection()
        connection.execute("DELETE FROM claims WHERE id = ? AND at <= ?", (asked.id, now - life.milliseconds))
        connection.execute(
            "INSERT INTO claims (id, at, holder, until) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (asked.id, now, holder, now + LEASE_MILLISECONDS),
        )
        query = "SELECT at, holder, until FROM claims WHERE id = ?"
        at, held_by, until = connection.execute(query, (asked.id,)).fetchone()
        found = standing(Entry(at, held_by or b"", until), holder, asked.lapsed, now)
        if found.kind is ClaimState.OWN:
            statement = "UPDATE claims SET holder = ?, until = ? WHERE id = ?"
            connection.execute(statement, (holder, now + LEASE_MILLISECONDS, asked.id))
        return found


class SqliteClaims:
    """Claims in a file. A claim is kept for `seconds`, among the newest `maximum`. `now` gives the time (ms), which
    must be the same for all that share the file. `sure`: see Claims; False if gateways of other hosts write to the
    log as well."""

    def __init__(
        self, path: Path, seconds: float, maximum: int, sure: bool = True, now: Callable[[], int] | None = None
    ) -> None:
        self._worker = Worker(ClaimFile(path, BUSY_SECONDS), "claims")
        self._life = Life(int(seconds * 1000), maximum)
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._holder = uuid.uuid4().bytes
        self._available = True
        self.sure = sure

    async def take(self, asked: Sequence[AskedClaim]) -> list[Standing]:
        """See Claims."""
        return await self._told(self._worker.run(ClaimFile.take, self._life, self._holder, asked, self._now()))

    async def renew(self, ids: Sequence[bytes]) -> list[bool]:
        """See Claims."""
        return await self._told(self._worker.run(ClaimFile.renew, self._holder, ids, self._now()))

    async def settle(self, stored: Sequence[bytes], freed: Sequence[bytes]) -> None:
        """See Claims."""
        await self._told(self._worker.run(ClaimFile.settle, self._holder, stored, freed, self._now()))

    async def bind(self, name: bytes, value: bytes) -> bytes:
        """See Keys."""
        return await self._told(self._worker.run(ClaimFile.bind, self._life, name, value, self._now()))

    async def run(self) -> None:
        """See Claims. Each call tries the file."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See Claims."""
        await self._worker.close()

    async def _told(self, call: Awaitable[Result]) -> Result:
        """The result. Raises ClaimsAway."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                result = await call
        except (LogError, TimeoutError) as error:
            reason = str(error) or f"SQLite: not done within {ANSWER_SECONDS:g} s"
            if self._available:
                self._available = False
                telemetry.claims_alone(reason)
            raise ClaimsAway(reason) from error
        if not self._available:
            self._available = True
            telemetry.claims_shared()
        return result
