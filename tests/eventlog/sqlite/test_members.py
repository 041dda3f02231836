"""The table of the processes that work on a file: who is silent is left out, and who comes back starts anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.eventlog.assignment import Claims
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.sqlite.members import RENEW_MILLISECONDS, leave, take_part
from gateway.eventlog.sqlite.store import SqliteStore
from gateway.observability.throttle import Seldom
from tests.kit.waiting import becomes

SILENT = 10_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "events.db", 1.0)
    store.connect()
    yield store
    store.close()


class Process:
    """One that takes part, at times of its own."""

    def __init__(self, store: SqliteStore, name: str, wants: str) -> None:
        self._store, self._name = store, name
        self.claims = Claims()
        self.claims.want(wants)

    def look(self, now: int) -> str:
        found = take_part(self._store, self._name, self.claims.claimant, now)
        self.claims.give(found.pieces, found.generation)
        return "".join(sorted(found.pieces))


def test_one_that_is_silent_loses_its_pieces_and_does_not_get_them_back(store: SqliteStore) -> None:
    one, two = Process(store, "1", "ab"), Process(store, "2", "ab")
    assert one.look(0) == "ab"
    assert two.look(1) == ""
    assert one.look(2) == "b"
    one.claims.release("a")
    assert one.look(3) == "b"
    assert two.look(4) == "a"
    assert two.look(2 + SILENT) == "a"
    assert two.look(3 + SILENT) == "ab", "the first has not been seen since"
    # It still believes in its piece; the other has it by now.
    assert one.claims.given == {"b"}
    assert one.look(4 + SILENT) == ""
    assert two.look(5 + SILENT) == "b"


def test_one_that_was_given_a_piece_may_have_begun_it_though_it_has_not_said_so(store: SqliteStore) -> None:
    one, two = Process(store, "1", "a"), Process(store, "2", "ab")
    assert two.look(0) == "ab"
    two.claims.release("a")
    two.claims.want("b")
    assert one.look(1) == ""
    assert two.look(2) == "b"
    assert two.look(3) == "b"
    # Nobody has told the second of it yet, and the third may not have it.
    three = Process(store, "0", "a")
    assert three.look(4) == ""
    assert one.look(5) == "a"


def test_it_is_written_only_where_something_changes_or_it_is_time(store: SqliteStore, tmp_path: Path) -> None:
    one, watcher = Process(store, "1", "a"), SqliteStore(tmp_path / "events.db", 1.0)
    one.look(0)
    one.look(1)
    before = watcher.version()
    one.look(RENEW_MILLISECONDS - 1)
    assert watcher.version() == before
    one.look(RENEW_MILLISECONDS + 1)
    assert watcher.version() != before
    watcher.close()


def test_one_that_leaves_is_not_waited_for(store: SqliteStore) -> None:
    one, two = Process(store, "1", "a"), Process(store, "2", "a")
    assert one.look(0) == "a"
    assert two.look(1) == ""
    leave(store, "1")
    assert two.look(2) == "a"


def test_a_clock_that_is_set_back_keeps_nobody_out(store: SqliteStore) -> None:
    one, two = Process(store, "1", "a"), Process(store, "2", "a")
    assert one.look(1_000_000) == "a"
    assert two.look(0) == "a"


async def test_a_file_that_cannot_be_had_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process that only derives or runs rules would wait for ever without a word."""
    monkeypatch.setattr("gateway.observability.telemetry.derive._waits", Seldom(60.0))
    (tmp_path / "file").write_text("")
    log = SqliteLog(tmp_path / "file" / "events.db")
    await log.open()
    membership = await log.join(lambda: None)
    try:
        membership.want({"a"})
        await becomes(lambda: "derived streams and rules wait" in caplog.text)
    finally:
        await membership.close()
        await log.close()
