"""One connection to the file of the SQLite log: opened when needed, its errors translated."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from gateway.errors import LogForbids, LogNewer, LogUnavailable
from gateway.eventlog.sqlite.claims import BINDINGS, CLAIMS
from gateway.eventlog.sqlite.trouble import LASTING, kind_of
from gateway.eventlog.trouble import Kind

JOURNAL_BYTES = 64 * 1024 * 1024
"""The write-ahead log is cut back to this at a checkpoint."""

FORMAT = 1
"""Of the log's file, as `PRAGMA user_version` tells. 0: from before there were claims; it may lack positions, too."""

IDENTITY = (
    "CREATE TABLE IF NOT EXISTS identity (identity TEXT NOT NULL)",
    "INSERT INTO identity SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT * FROM identity)",
)
"""The identity of the file: one row. A file without it gets it when asked, whatever its format; older versions
ignore it."""

ERASURES = "CREATE TABLE IF NOT EXISTS erasures (topic INTEGER PRIMARY KEY, number INTEGER NOT NULL)"
"""How often records of a topic were emptied. A file has it from the first erasure on; older versions ignore it."""

TABLES = (
    """
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    retention_milliseconds INTEGER,
    retention_size INTEGER
)""",
    """
CREATE TABLE IF NOT EXISTS partitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL REFERENCES topics (id),
    number INTEGER NOT NULL,
    first INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0,
    high INTEGER,
    total INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
)""",
    """
CREATE TABLE IF NOT EXISTS records (
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    high INTEGER NOT NULL,
    total INTEGER NOT NULL,
    key BLOB,
    headers BLOB,
    value BLOB,
    PRIMARY KEY (partition, offset)
)""",
    """
CREATE TABLE IF NOT EXISTS positions (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    position BLOB
)""",
    CLAIMS,
    BINDINGS,
    *IDENTITY,
)
"""A statement for each. All that a file of an older format lacks is some of them."""


class SqliteConnection:
    """Belongs to one thread. Raises LogUnavailable if the file stays locked for the timeout (seconds), cannot be
    opened, or the disk fails; the next use opens it again. Raises LogNewer if the format of the file is unknown
    here. The error's kind says which of these it is."""

    tables: ClassVar[Sequence[str]] = TABLES
    synchronous: ClassVar[str] = "FULL"
    """Whether a commit is on the disk when it returns."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._note = ""
        """A note to add to an error."""

    def connect(self) -> None:
        """Open the file, and create it with its directory where it is not there."""
        with self._connected():
            pass

    def close(self) -> None:
        """Close the connection; never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def version(self) -> int:
        """A number that changes when another connection, of this process or another, has committed."""
        with self._connected() as connection:
            row: tuple[int] = connection.execute("PRAGMA data_version").fetchone()
            return row[0]

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Statements that see one state of the log."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Statements that happen together or not at all; on return they are on the disk. Raises LogForbids where that
        fails until somebody acts: the file may not be written, is damaged, or of a format that is not known here."""
        try:
            with self._transaction("BEGIN IMMEDIATE") as connection:
                yield connection
        except LogUnavailable as error:
            if error.kind in LASTING:
                raise LogForbids(str(error), error.kind) from error
            raise

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self.connection()
        except OSError as error:
            raise LogUnavailable(f"cannot open {self._path}: {error}", kind_of(error, self._path)) from error
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            self.close()
            detail = f"SQLite cannot use {self._path}{self._note}: {error}"
            raise LogUnavailable(detail, kind_of(error, self._path)) from error

    def connection(self) -> sqlite3.Connection:
        """The connection itself, for statements within `reading` or `writing`; its errors are not translated."""
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self.opened()
        return self._connection

    def opened(self) -> None:
        """A connection was opened: what was known of the file by another may not hold."""

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """The settings of a connection, and the tables. Switching a new file to WAL does not wait for others that do
        the same, so it is tried again here."""
        self._note = ""
        known = self._format(connection) == FORMAT
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        if not known:
            self._upgrade(connection)

    def _format(self, connection: sqlite3.Connection) -> int:
        """The format of the file; 0 also where there is nothing yet. Raises LogNewer."""
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > FORMAT:
            raise LogNewer(
                f"{self._path} has format {found}, of a newer version of the gateway; this one knows formats up to "
                f"{FORMAT}, and leaves the file as it is: install that version again, or name another log",
                Kind.NEWER,
            )
        return found

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """Create what the file lacks, all or nothing. Records stay as they are, so that a process of an older
        version may continue beside this one. A file that may not be written is read as it is, if possible."""
        found = self._format(connection)
        self._note = f" (while its format {found} is upgraded to {FORMAT})"
        try:
            connection.execute("BEGIN IMMEDIATE")
            if self._format(connection) < FORMAT:
                for statement in self.tables:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if kind_of(error, self._path) is not Kind.NO_RIGHT or not _has_records(connection):
                raise
            self._note = f" (of format {found}; it cannot be upgraded to {FORMAT} while it may not be written)"
            return
        self._note = ""


def _has_records(connection: sqlite3.Connection) -> bool:
    query = "SELECT count(*) FROM sqlite_schema WHERE name IN ('topics', 'partitions', 'records')"
    return bool(connection.execute(query).fetchone()[0] == 3)
