"""The file of a view: what one transaction takes in, what a path finds in it, and files that are none of a view."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.view import View
from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, Record
from gateway.observability import telemetry
from gateway.state import lookup as state_lookup
from gateway.state import store as state_store
from gateway.state.builder import Builder
from gateway.state.files import state_of
from gateway.state.format import FORMAT, UnknownFormat
from gateway.state.key import of_texts
from gateway.state.lookup import Forgotten, Lookup, State
from gateway.state.place import Place, Places
from gateway.state.store import Read, Store
from tests.kit.waiting import becomes
from tests.routes.viewing import TOPIC

MERGED = View("v", TOPIC, TOPIC, ("page",), "merge", determined=True)


def records(events: Iterable[dict[str, Any]], partition: int = 0) -> list[Record]:
    """Records with these events."""
    return [Record(TOPIC, partition, offset, offset, None, orjson.dumps(event)) for offset, event in enumerate(events)]


def _new(events: Iterable[dict[str, Any]]) -> list[NewRecord]:
    return [NewRecord(orjson.dumps(event), None, 1, 0) for event in events]


def begun(path: Path, view: View, partitions: int = 1) -> tuple[Store, Places]:
    """A store in which nothing is yet."""
    store = Store(path, view)
    return store, store.begin(dict.fromkeys(range(partitions), Place(0)), "identity", 1)


@asynccontextmanager
async def building(log: MemoryLog, path: Path) -> AsyncIterator[Builder]:
    """A builder that works meanwhile."""
    stop = asyncio.Event()
    builder = Builder(MERGED, log, path, 1000, SystemClock())
    task = asyncio.create_task(builder.keep(stop))
    try:
        yield builder
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


def filled(path: Path, view: View, events: Iterable[dict[str, Any]]) -> None:
    """A store of these events."""
    store, places = begun(path, view)
    with closing(store):
        taken = records(events)
        rest: list[Read] = [(0, taken, len(taken))]
        while rest:
            applied = store.apply(places, rest, 1000)
            places, rest = applied.places, applied.rest


@contextmanager
def looking(path: Path) -> Iterator[Lookup]:
    """What reads a file."""
    with closing(Lookup(path)) as lookup:
        yield lookup


def test_one_transaction_takes_in_so_much_and_the_next_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small event may make a large value of a large one."""
    monkeypatch.setattr(state_store, "STEP_BYTES", 100_000)
    store, places = begun(tmp_path / "view.db", MERGED, partitions=2)
    with closing(store):
        large = [{"page": n, "pad": "x" * 10_000} for n in range(5)]
        small = [{"page": n % 5, "n": n} for n in range(100)]
        rest: list[Read] = [
            (0, records(large + small), 200),
            (1, records([{"page": -1}], 1), 7),
        ]
        steps: list[int] = []
        while rest:
            applied = store.apply(places, rest, 1000)
            assert applied.places != places, "each step takes in some"
            steps.append(applied.places[0].next)
            places, rest = applied.places, applied.rest
            with looking(store.path) as lookup:
                state = lookup.state()
                assert state is not None
                assert state.places == places
        assert len(steps) > 10
        assert (places[0].next, places[1].next) == (200, 7)
        with looking(store.path) as lookup:
            for page in range(5):
                _, version = lookup.get(of_texts([str(page)]), None, whole=False)
                assert version is not None
                value = orjson.loads(version.value or b"")
                assert (value["n"], len(value["pad"])) == (95 + page, 10_000)


async def test_a_view_is_built_in_steps_and_what_follows_is_read_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_store, "STEP_BYTES", 1_000)
    monkeypatch.setattr("gateway.state.builder.WAIT", 0.02)
    log = MemoryLog()
    log.create_topic(TOPIC, 1)
    events = [{"page": 1, f"m{n % 20}": "x" * 100} for n in range(50)]
    log.append_now(TOPIC, _new(events))
    async with building(log, tmp_path / "view.db") as builder:
        await becomes(lambda: builder.places.get(0, Place(0)).next == 50)
        log.append_now(TOPIC, _new([{"page": 2}]))
        await becomes(lambda: builder.places.get(0, Place(0)).next == 51)


def test_a_path_finds_the_text_whatever_other_kinds_there_are(tmp_path: Path) -> None:
    view = View("v", TOPIC, TOPIC, ("a", "b", "c", "d"), determined=True)
    members = list(itertools.product(["1", 1], repeat=4))
    filled(tmp_path / "view.db", view, [dict(zip("abcd", key, strict=True)) for key in members])
    with looking(tmp_path / "view.db") as lookup:
        _, version = lookup.get(of_texts(["1"] * 4), None, whole=False)
        assert version is not None
        assert orjson.loads(version.value or b"") == dict.fromkeys("abcd", "1")


def _quiet(path: Path) -> Store:
    """A store with one change, and then four hours of records without a key, one a minute."""
    store, places = begun(path, MERGED)
    for minute in range(241):
        event = {"page": 1} if minute == 0 else {"other": 1}
        record = Record(TOPIC, 0, minute, minute * 60_000, None, orjson.dumps(event))
        places = store.apply(places, [(0, [record], minute + 1)], 1000).places
    return store


def _forgotten(store: Store, time: int | None, starts: dict[int, int]) -> State:
    while store.forget(time, starts):
        pass
    state = state_of(store.path)
    assert state is not None
    return state


def test_history_in_which_nothing_has_changed_is_kept(tmp_path: Path) -> None:
    """While nothing changes, many marks name one change."""
    now = 240 * 60_000
    with closing(_quiet(tmp_path / "by time.db")) as store:
        state = _forgotten(store, now - 60 * 60_000, {})
        assert state.earliest is not None
        assert 60 <= (now - state.earliest) / 60_000 < 61.5
        assert state.horizon == {0: 180}
        with looking(store.path) as lookup:
            assert lookup.before({0: 230}) == 1
            assert lookup.cut_at(now - 60 * 60_000, {0: 181}) == {0: 180}
        assert _forgotten(store, now - 30 * 60_000, {}).horizon == {0: 210}
    with closing(_quiet(tmp_path / "by log.db")) as store:
        assert _forgotten(store, None, {0: 5}).horizon == {0: 5}


def _with_old_horizon(path: Path) -> Store:
    """As the release before has forgotten: up to the last of those marks that name one change."""
    store = _quiet(path)
    store._file.execute(
        "UPDATE state SET (horizon_seq, horizon_high, horizon_places) = "
        "(SELECT seq, high, places FROM marks ORDER BY number DESC LIMIT 1)"
    )
    store._file.execute("DELETE FROM marks WHERE seq < 1")
    return store


def test_a_file_that_has_forgotten_too_much_knows_again_what_its_marks_tell(tmp_path: Path) -> None:
    with closing(_with_old_horizon(tmp_path / "view.db")) as store:
        assert _forgotten(store, 180 * 60_000, {}).horizon == {0: 180}


UNEQUAL = {0: 8000, 1: 100}
"""Records of two partitions, both of one hour, which are read in equal shares: the second is read to its end first."""


def _unequal(path: Path) -> None:
    """A third partition is quiet, but for its first record and its last."""
    store, places = begun(path, MERGED, 3)
    steps = {partition: 3_600_000 // count for partition, count in UNEQUAL.items()}

    def made(partition: int, offset: int, time: int) -> Record:
        return Record(TOPIC, partition, offset, time, None, b'{"page":"%d-%d"}' % (partition, offset))

    with closing(store):
        for begin in range(0, UNEQUAL[0], 500):
            batches: list[Read] = [
                (
                    partition,
                    [made(partition, n, n * steps[partition]) for n in range(begin, min(begin + 500, count))],
                    min(begin + 500, count),
                )
                for partition, count in UNEQUAL.items()
                if begin < count
            ]
            if begin == 0:
                batches.append((2, [made(2, 0, 0)], 1))
            places = store.apply(places, batches, 10**6).places
        store.apply(places, [(2, [made(2, 1, 3_600_000)], 2)], 10**6)


def test_a_time_is_looked_for_as_far_as_each_partition_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _unequal(tmp_path / "view.db")
    with looking(tmp_path / "view.db") as lookup:
        ends = {0: 8000, 1: 100, 2: 2}
        right = {0: 4000, 1: 50, 2: 1}
        assert lookup.cut_at(1_800_000, ends) == right
        assert lookup.cut_at(1_800_000, {0: 3000, 1: 100}) == {0: 3000, 1: 50}
        # What was not looked through is not taken for nothing.
        monkeypatch.setattr(state_lookup, "LOOKED_THROUGH", 2000)
        with pytest.raises(Forgotten, match="takes too long"):
            lookup.cut_at(1_800_000, ends)
        # A partition in which nothing is new costs little, however much there is of others.
        assert lookup.cut_at(1_800_000, {1: 100, 2: 2}) == {1: 50, 2: 1}


def _newer(path: Path) -> None:
    filled(path, MERGED, [{"page": 1}])
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version={FORMAT + 1}")


def _another_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(f"CREATE TABLE notes (text); PRAGMA user_version={FORMAT};")


def _a_database_without_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE notes (text)")


def _no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 1000)


FOREIGN = [
    (_newer, "a newer version of the gateway (format 2, and this one knows 1)"),
    (_another_database, "is no view but another database"),
    (_a_database_without_version, "is no view but another database"),
    (_no_database, "is no view (file is not a database)"),
]


@pytest.mark.parametrize(("make", "words"), FOREIGN, ids=lambda one: getattr(one, "__name__", ""))
def test_a_file_that_is_none_of_a_view_is_left_as_it_is(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "view.db"
    make(path)
    before = path.read_bytes()
    for opening in (lambda: Store(path, MERGED), lambda: Lookup(path)):
        with pytest.raises(UnknownFormat) as refused:
            opening()
        assert words in str(refused.value)
        assert str(path) in str(refused.value)
        assert "take the file away" in str(refused.value)
    assert path.read_bytes() == before
    assert state_of(path) is None


def test_an_empty_file_is_a_view_that_has_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "view.db"
    path.touch()
    with pytest.raises(sqlite3.OperationalError):
        Lookup(path)
    filled(path, MERGED, [{"page": 1}])
    state = state_of(path)
    assert state is not None
    assert state.keys == 1


async def test_the_builder_says_which_file_it_cannot_use_and_goes_on_once_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE", "WAIT"):
        monkeypatch.setattr(f"gateway.state.builder.{name}", 0.02)
    told: list[str] = []
    monkeypatch.setattr(telemetry, "view_halted", lambda name, reason, pause: told.append(reason))
    log, path = MemoryLog(), tmp_path / "view.db"
    log.create_topic(TOPIC, 1)
    log.append_now(TOPIC, _new([{"page": 1}]))
    _newer(path)
    async with building(log, path) as builder:
        await becomes(lambda: len(told) > 1)
        assert str(path) in told[0]
        path.unlink()
        await becomes(lambda: builder.places.get(0, Place(0)).next == 1)


def test_events_of_ten_megabytes_are_read_one_at_a_time(tmp_path: Path) -> None:
    view = View("v", TOPIC, TOPIC, ("page",), determined=True)
    filled(tmp_path / "view.db", view, [{"page": str(n), "pad": "x" * 10_000_000} for n in range(3)])
    with looking(tmp_path / "view.db") as lookup:
        _, version = lookup.get(of_texts(["1"]), None, whole=False)
        assert version is not None
        assert len(version.value or b"") > 10_000_000
        after: bytes | None = b""
        found: list[bytes] = []
        while after is not None:
            page, after = lookup.rows({0: 3}, after, bool(found), None, 1000, 1000)
            assert len(page) <= 1
            found += [version.key for version in page]
        assert found == [of_texts([text]) + b"s" for text in "012"]
        state, changes = lookup.changes(0, 1000)
        assert (state.seq, len(changes)) == (3, 1)
