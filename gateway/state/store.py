"""The store of a view: what is written. One SQLite file; one process writes it, any number read it (`lookup.py`).

Each change of a key is a row with its value, and the state is, of each key, its newest row. So the state at any place
of the log is, of each key, its newest row before that place. Rows and position change in one transaction: the store is
always exactly the fold of the log up to its position.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.catalog.view import View
from gateway.model.record import NO_TIMESTAMP, Record
from gateway.state.format import FORMAT, TABLES, has_view
from gateway.state.key import after
from gateway.state.place import Place, Places, covers, cut_of, read, written
from gateway.state.reduce import Change, Passed, Step, merged

MARK_CHANGES = 1000
MARK_MILLISECONDS = 60_000
"""A mark is set after so many changes, or so much time of the records: between two of them a reader that looks for a
place has to look at each change."""
FORGET_CHANGES = 2000
"""Changes that are looked at in one step of forgetting, but for the rest of a mark."""
STEP_BYTES = 8 * 1024 * 1024
"""Of values in one transaction, but for the last: a merged value may be far larger than its event."""
CACHE_KIBIBYTES = 64 * 1024
"""Of pages of the file, while it is built."""
WAIT_SECONDS = 10.0
"""For another that writes the same file."""


Read = tuple[int, Sequence[Record], int]
"""What was read of a partition: its number, the records, and where it is read next."""


class TooManyKeys(Exception):
    """A view has more keys than `view_keys` allows."""


class Displaced(Exception):
    """Another process has written the store meanwhile."""


class Store:
    """Writes one file. Belongs to one task at a time; its methods block, for milliseconds."""

    def __init__(self, path: Path, view: View) -> None:
        """Opens the file, and makes it where it is not there. Raises sqlite3.Error (UnknownFormat for a file that is
        none of a view) and OSError."""
        self.path = path
        self.view = view
        self._step = Step(view)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            is_made = has_view(self._file, path)
            self._file.executescript(
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-{CACHE_KIBIBYTES};"
            )
            if not is_made:
                self._file.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version={FORMAT}; COMMIT;")
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file; never raises."""
        with suppress(sqlite3.Error):
            self._file.close()

    # -- the position ---------------------------------------------------------------------------------------------

    def begin(self, places: Places, identity: str, made: int) -> Places:
        """Where to continue in each partition: `places` and what they are of are taken where nothing was read before.
        `made` (ms) is now."""
        with self._writing() as file:
            row = file.execute("SELECT places FROM state").fetchone()
            if row is not None:
                return read(row[0])
            values = (self.view.document(), made, identity, written(places), NO_TIMESTAMP, written(places))
            file.execute("INSERT INTO state VALUES (1, ?, ?, ?, ?, 0, ?, NULL, 0, 0, 0, 0, NULL, 0, NULL, ?)", values)
            file.execute("INSERT INTO marks VALUES (1, 0, ?, ?)", (NO_TIMESTAMP, written(places)))
            return places

    @property
    def identity(self) -> str | None:
        """Of the topic that was read; None where none was."""
        row = self._file.execute("SELECT identity FROM state").fetchone()
        return None if row is None else str(row[0])

    @property
    def keys(self) -> int:
        """Those that have a value."""
        row: tuple[int] = self._file.execute("SELECT keys FROM state").fetchone()
        return row[0]

    def say(self, ready: bool | None = None, halted: str | None = None) -> None:
        """Whether the view has caught up with its log, and why it does not go on."""
        with self._writing() as file:
            if ready is not None:
                file.execute("UPDATE state SET ready = ?", (int(ready),))
            file.execute("UPDATE state SET halted = ?", (halted,))

    # -- building -------------------------------------------------------------------------------------------------

    def apply(self, before: Places, batches: Sequence[Read], most: int) -> Applied:
        """Take in what was read from `before` on, in order, as much of it as goes into one transaction: that and the
        position, or nothing. Raises TooManyKeys for more than `most`, and Displaced."""
        with self._writing() as file:
            row = file.execute("SELECT places, seq, high, first, keys, rows, moved FROM state").fetchone()
            if read(row[0]) != before:
                raise Displaced(f"{self.path} was written by another process")
            work = _Work(file, self.view.reduce == "merge", dict(before), row[1:], most)
            rest = self._take(work, batches)
            work.flush()
            self._mark(file, work)
            file.execute(
                "UPDATE state SET places = ?, seq = ?, high = ?, first = ?, keys = ?, rows = ?, moved = ?",
                (written(work.places), work.seq, work.high, work.first, work.keys, work.rows, work.moved),
            )
        return Applied(work.places, work.changes, work.passed, work.keys, bool(work.moved), rest)

    def _take(self, work: _Work, batches: Sequence[Read]) -> list[Read]:
        """What is left of these batches."""
        for index, (partition, records, position) in enumerate(batches):
            place = work.places.get(partition, Place(0))
            for taken, record in enumerate(records):
                if work.size > STEP_BYTES:
                    work.places[partition] = place
                    return [(partition, records[taken:], position), *batches[index + 1 :]]
                place = place.after(record.offset, record.timestamp)
                work.take(self._step.of(record), record, place)
            work.places[partition] = place._replace(next=max(position, place.next))
        return []

    def _mark(self, file: sqlite3.Connection, work: _Work) -> None:
        number, seq, high = file.execute("SELECT number, seq, high FROM marks ORDER BY number DESC LIMIT 1").fetchone()
        if work.seq - seq >= MARK_CHANGES or work.high - high >= MARK_MILLISECONDS:
            values = (number + 1, work.seq, work.high, written(work.places))
            file.execute("INSERT INTO marks VALUES (?, ?, ?, ?)", values)

    # -- forgetting -----------------------------------------------------------------------------------------------

    def forget(self, time: int | None, starts: dict[int, int]) -> bool:
        """Forget the history that is only of before `time` (ms), or, where that is None, before these offsets; whether
        there may be more to forget."""
        with self._writing() as file:
            # Marks are told apart by their numbers: while nothing changes, many of them have one `seq`.
            horizon: int = file.execute("SELECT min(number) FROM marks").fetchone()[0]
            target = self._target(file, horizon, time, starts)
            if target is None:
                return False
            done: int = file.execute("SELECT horizon_seq FROM state").fetchone()[0]
            number, *step = (
                file.execute(
                    "SELECT number, seq, high, places FROM marks WHERE number > ? AND number <= ? AND seq <= ? "
                    "ORDER BY number DESC LIMIT 1",
                    (horizon, target, done + FORGET_CHANGES),
                ).fetchone()
                or file.execute(
                    "SELECT number, seq, high, places FROM marks WHERE number > ? ORDER BY number LIMIT 1", (horizon,)
                ).fetchone()
            )
            for seq, key, value in file.execute(
                "SELECT seq, key, value IS NULL FROM changes WHERE seq > ? AND seq <= ? ORDER BY seq", (done, step[0])
            ).fetchall():
                file.execute("DELETE FROM changes WHERE key = ? AND seq < ?", (key, seq))
                if value:
                    file.execute("DELETE FROM changes WHERE seq = ?", (seq,))
                    gone = file.execute("DELETE FROM current WHERE key = ? AND seq = ?", (key, seq)).rowcount
                    file.execute("UPDATE state SET rows = rows - ?", (gone,))
            file.execute("UPDATE state SET horizon_seq = ?, horizon_high = ?, horizon_places = ?", step)
            file.execute("DELETE FROM marks WHERE number < ?", (number,))
            return bool(number < target)

    @staticmethod
    def _target(file: sqlite3.Connection, horizon: int, time: int | None, starts: dict[int, int]) -> int | None:
        """The number of the mark up to which history is forgotten; None where it is already."""
        if time is not None:
            query = "SELECT max(number) FROM marks WHERE high < ? AND number > ?"
            found: int | None = file.execute(query, (time, horizon)).fetchone()[0]
            return found
        if covers(cut_of(read(file.execute("SELECT horizon_places FROM state").fetchone()[0])), starts):
            return None
        for number, places in file.execute(
            "SELECT number, places FROM marks WHERE number > ? ORDER BY number", (horizon,)
        ):
            if covers(cut_of(read(places)), starts):
                return int(number)
        return None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield self._file
            self._file.execute("COMMIT")
        finally:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")


class Applied:
    """What became of a batch."""

    __slots__ = ("changes", "keys", "moved", "passed", "places", "rest")

    def __init__(
        self, places: Places, changes: int, passed: dict[str, int], keys: int, moved: bool, rest: list[Read]
    ) -> None:
        self.places = places
        self.changes = changes
        self.passed = passed
        self.keys = keys
        self.moved = moved
        self.rest = rest
        """What did not go into the transaction, to be applied next."""


class _Work:
    """One transaction. Rows are gathered and written together; what is not written yet is found here."""

    def __init__(
        self,
        file: sqlite3.Connection,
        merges: bool,
        places: Places,
        known: tuple[int, int, int | None, int, int, int],
        most: int,
    ) -> None:
        self._file = file
        self._merges = merges
        self.places = places
        self.seq, self.high, self.first, self.keys, self.rows, self.moved = known
        self._most = most
        self.changes = 0
        self.size = 0
        """Bytes of the values that were read or made."""
        self.passed: dict[str, int] = {}
        self._rows: list[tuple[int, int, int, int, int, bytes, bytes | None]] = []
        self._newest: dict[bytes, tuple[int, int, bytes | None]] = {}
        """Of each key that was changed here: the change, its partition, its value."""

    def take(self, change: Change | Passed | None, record: Record, place: Place) -> None:
        self.high = max(self.high, record.timestamp)
        if record.timestamp >= 0 and (self.first is None or record.timestamp < self.first):
            # Whichever partition is read first.
            self.first = record.timestamp
        if isinstance(change, Passed):
            self.passed[change.reason] = self.passed.get(change.reason, 0) + 1
        elif change is not None and change.every:
            for key in self._keys(change.key):
                self._put(key, None, record, place)
        elif change is not None:
            self._put(change.key, change, record, place)

    def _put(self, key: bytes, change: Change | None, record: Record, place: Place) -> None:
        before = self._before(key)
        value = None if change is None else change.data
        if change is not None and change.event is not None and self._merges:
            base = None if before is None else before[2]
            value = merged(base, change.event, change.data or b"")
            self.size += len(base or b"") + len(change.data or b"")
            if value is None:
                self.passed["the merged value is too long"] = self.passed.get("the merged value is too long", 0) + 1
                return
        was = before is not None and before[2] is not None
        if value is None and not was:
            return  # Nothing is there to be deleted.
        if before is None:
            self.rows += 1
            if self.rows > self._most:
                raise TooManyKeys(f"it has more than {self._most} keys (view_keys)")
        elif before[1] != record.partition:
            self.moved = 1
        self.keys += (value is not None) - was
        self.seq += 1
        self.changes += 1
        self.size += len(value or b"")
        self._newest[key] = (self.seq, record.partition, value)
        self._rows.append((self.seq, record.partition, record.offset, record.timestamp, place.seen, key, value))

    def _before(self, key: bytes) -> tuple[int, int, bytes | None] | None:
        found = self._newest.get(key)
        if found is not None:
            return found
        value = "value" if self._merges else "CASE WHEN value IS NULL THEN NULL ELSE x'' END"
        row: tuple[int, int, bytes | None] | None = self._file.execute(
            f"SELECT c.seq, c.partition, {value} FROM current c JOIN changes USING (seq) WHERE c.key = ?", (key,)
        ).fetchone()
        return row

    def _keys(self, start: bytes) -> list[bytes]:
        """The keys that begin so and are there."""
        self.flush()
        query = "SELECT key FROM current WHERE key >= ? AND key < ?"
        return [row[0] for row in self._file.execute(query, (start, after(start)))]

    def flush(self) -> None:
        self._file.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()
        self._file.executemany(
            "INSERT INTO current VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET seq = ?2, partition = ?3",
            [(key, seq, partition) for key, (seq, partition, _) in sorted(self._newest.items())],
        )
        self._newest.clear()
