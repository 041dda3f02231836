"""The table of claims: under which ids something is stored, or is about to be, and by whom. Statements alone; each
belongs into a transaction of the caller. Times are in milliseconds.

In the file of the log a claim is made in the transaction of the append, and so means that the record is stored. In a
file of their own (`claims.sqlite`) claims tell of what is stored elsewhere: those have a holder until it is known that
it is stored, and for a while whoever holds one is waited for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

CLAIMS = """
CREATE TABLE IF NOT EXISTS claims (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    holder BLOB,
    until INTEGER NOT NULL DEFAULT 0
)"""

PRUNED_AT_ONCE = 64
"""What has ended is deleted in steps: so many, and two for each that comes, so that none is long and none is left."""


class Life(NamedTuple):
    """How long a claim holds, in milliseconds, and among how many of the newest. 0: there are none."""

    milliseconds: int
    maximum: int

    @property
    def any(self) -> bool:
        """Whether there are claims at all."""
        return self.milliseconds > 0 and self.maximum > 0


def prune(connection: sqlite3.Connection, life: Life, now: int, coming: int) -> None:
    """Delete some of those that hold no longer, the oldest first."""
    first, last = connection.execute(
        "SELECT (SELECT min(number) FROM claims), (SELECT max(number) FROM claims)"
    ).fetchone()
    if first is not None:
        connection.execute(
            "DELETE FROM claims WHERE number < ? AND (at <= ? OR number <= ?)",
            (first + PRUNED_AT_ONCE + 2 * coming, now - life.milliseconds, last - life.maximum),
        )


def store(connection: sqlite3.Connection, life: Life, ids: Sequence[bytes], now: int) -> set[int]:
    """Claim what is stored in this transaction. Returns the places in `ids` of those that are claimed already, here or
    by an earlier one."""
    prune(connection, life, now, len(ids))
    ((last,),) = connection.execute("SELECT coalesce(max(number), 0) FROM claims")
    inserted = connection.executemany(
        "INSERT INTO claims (id, at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", [(each, now) for each in ids]
    ).rowcount
    if inserted == len(ids):
        return set()
    new = {each for (each,) in connection.execute("SELECT id FROM claims WHERE number > ?", (last,))}
    repeated = set()
    for place, each in enumerate(ids):
        if each in new:
            new.discard(each)
        elif forget_ended(connection, life, each, now):
            connection.execute("INSERT INTO claims (id, at) VALUES (?, ?)", (each, now))
        else:
            repeated.add(place)
    return repeated


def forget_ended(connection: sqlite3.Connection, life: Life, claim: bytes, now: int) -> bool:
    """Delete a claim that holds no longer; False where it does."""
    statement = "DELETE FROM claims WHERE id = ? AND at <= ?"
    return connection.execute(statement, (claim, now - life.milliseconds)).rowcount > 0


def bind(connection: sqlite3.Connection, life: Life, name: bytes, value: bytes, now: int) -> bytes:
    """Give a name this value, where it has none; returns the one that it has."""
    prune(connection, life, now, 1)
    forget_ended(connection, life, name, now)
    connection.execute(
        "INSERT INTO claims (id, at, holder) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", (name, now, value)
    )
    bound: bytes = connection.execute("SELECT holder FROM claims WHERE id = ?", (name,)).fetchone()[0]
    return bound
