"""The form of the file that a view is kept in, and whether a file has it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

FORMAT = 1
"""Of the tables, as `user_version` has it. Whoever changes what a table means raises it."""

TABLES = """
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY, partition INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    seen INTEGER NOT NULL, key BLOB NOT NULL, value BLOB
);
CREATE INDEX changes_by_key ON changes (key, partition, offset);
CREATE TABLE current (key BLOB PRIMARY KEY, seq INTEGER NOT NULL, partition INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, high INTEGER NOT NULL, places BLOB NOT NULL);
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1), view BLOB NOT NULL, made INTEGER NOT NULL, identity TEXT NOT NULL,
    places BLOB NOT NULL, seq INTEGER NOT NULL, high INTEGER NOT NULL, first INTEGER, keys INTEGER NOT NULL,
    rows INTEGER NOT NULL, moved INTEGER NOT NULL, ready INTEGER NOT NULL, halted TEXT,
    horizon_seq INTEGER NOT NULL, horizon_high INTEGER, horizon_places BLOB NOT NULL
);
"""
_NAMES = {"changes", "current", "marks", "state"}
_REMEDY = "to have the view built anew, take the file away"


class UnknownFormat(sqlite3.DatabaseError):
    """A file is no view, or one that another version of the gateway made: it is neither read nor written."""


def has_view(file: sqlite3.Connection, path: Path) -> bool:
    """Whether a view is in this file; False where nothing is. Raises UnknownFormat, and sqlite3.OperationalError."""
    try:
        version: int = file.execute("PRAGMA user_version").fetchone()[0]
        names = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise UnknownFormat(f"{path} is no view ({error}); {_REMEDY}") from None
    if version == FORMAT and names >= _NAMES:
        return True
    if version > FORMAT and names >= _NAMES:
        raise UnknownFormat(
            f"{path} was made by a newer version of the gateway (format {version}, and this one knows {FORMAT}); "
            f"{_REMEDY}"
        )
    if names or version:
        raise UnknownFormat(f"{path} is no view but another database; {_REMEDY}")
    return False
