"""What is offered again is stored once in the SQLite log, whichever process it comes to."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalog.stream import Retention
from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.offer import RECORD_BYTES, REPEATED, Fate
from gateway.eventlog.sqlite.claims import PRUNED_AT_ONCE, Life
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.eventlog.sqlite.store import SqliteStore
from gateway.model.record import NewRecord, TopicPartition

TOPIC = "test"
PARTITION = TopicPartition(TOPIC, 0)

CONTENDER = """
import asyncio, random, sys
from gateway.model.record import NewRecord
from gateway.eventlog.offer import REPEATED
from gateway.eventlog.sqlite.log import SqliteLog
from tests.eventlog.unhurried import without_haste

async def main():
    log = SqliteLog(sys.argv[1], window=600, maximum=100000, busy_timeout=60)
    await log.open()
    await log.create("test")
    print("ready", flush=True)
    sys.stdin.readline()
    numbers = random.sample(range(400), 400)
    for start in range(0, 400, 7):
        ids = numbers[start:start + 7]
        for number, fate in zip(ids, await log.offer("test", [NewRecord(b"x", once=b"%d" % n) for n in ids])):
            if fate is not REPEATED:
                print(number, flush=True)
        if start == 0:
            print("begun", flush=True)
            sys.stdin.readline()
    await log.close()

with without_haste():
    asyncio.run(main())
"""
"""Offers all numbers in an order of its own, once it is told to; after the first few it waits for the others again."""
ROOT = Path(__file__).parent.parent.parent.parent


def record(once: bytes, size: int = 1) -> NewRecord:
    return NewRecord(bytes(size), timestamp=1, once=once)


async def begin(process: asyncio.subprocess.Process) -> list[bytes]:
    """Let it offer the first few, and tell which of them it has stored: none is done before another has begun."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    lines: list[bytes] = []
    while (line := await process.stdout.readline()) != b"begun\n":
        assert line, "it has ended"
        lines.append(line.strip())
    return lines


@pytest.mark.long
async def test_processes_that_offer_the_same_at_once_store_it_once(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    command = (sys.executable, "-c", CONTENDER, str(path))
    processes = [await asyncio.create_subprocess_exec(*command, **pipes, cwd=ROOT) for _ in range(3)]  # type: ignore[arg-type]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    begun = await asyncio.gather(*map(begin, processes))
    rest = await asyncio.gather(*(one.communicate(b"\n") for one in processes))
    told = [first + output.split() for first, (output, _) in zip(begun, rest, strict=True)]
    assert sorted(int(number) for numbers in told for number in numbers) == list(range(400))
    assert sum(map(bool, told)) > 1, "one was so fast that nothing was contended"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (400,)


async def test_a_claim_lasts_over_a_restart_and_for_its_window(tmp_path: Path) -> None:
    for now, expected in ((1000, 0), (60_999, REPEATED), (61_000, 1), (120_000, REPEATED), (200_000, 2)):
        log = SqliteLog(tmp_path / "events.db", now=partial(int, now), window=60, maximum=1000)
        await log.create(TOPIC)
        (fate,) = await log.offer(TOPIC, [record(b"id")])
        assert fate == (REPEATED if expected is REPEATED else (PARTITION, expected))
        await log.close()


async def test_without_a_window_everything_is_stored(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "events.db", window=0, maximum=1000)
    assert not log.keeps_claims
    await log.create(TOPIC)
    assert await log.offer(TOPIC, [record(b"id"), record(b"id")]) == [(PARTITION, 0), (PARTITION, 1)]
    assert await log.bind(b"name", b"value") == b"value"
    await log.close()


async def test_what_is_refused_is_not_claimed(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "events.db", window=60, maximum=1000)
    await log.create(TOPIC)
    too_large, good = await log.offer(TOPIC, [record(b"a", RECORD_BYTES + 1), record(b"b")])
    assert isinstance(too_large, LogError)
    assert good == (PARTITION, 0)
    assert await log.offer(TOPIC, [record(b"a"), record(b"b")]) == [(PARTITION, 1), REPEATED]
    absent = NewRecord(b"x", partition=7, once=b"c")
    assert isinstance((await log.offer(TOPIC, [absent]))[0], LogError)
    assert await log.offer(TOPIC, [record(b"c")]) == [(PARTITION, 2)]
    await log.close()


async def test_a_name_keeps_its_first_value_for_the_window(tmp_path: Path) -> None:
    now = 0
    first, second = (
        SqliteLog(tmp_path / "events.db", now=lambda: now, window=60, maximum=1000) for _ in range(2)
    )  # fmt: skip
    bound = await asyncio.gather(first.bind(b"name", b"1"), second.bind(b"name", b"2"))
    assert len(set(bound)) == 1
    assert await second.bind(b"name", b"3") == bound[0]
    now = 60_000
    assert await second.bind(b"name", b"3") == b"3"
    await first.close()
    await second.close()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 12), max_size=5), st.integers(0, 70)),
        min_size=1,
        max_size=30,
    )
)
def test_claims_are_kept_and_pruned_as_a_list_of_all_would_tell(steps: list[tuple[list[int], int]]) -> None:
    life = Life(100, 1000)
    store = SqliteStore(Path(":memory:"), 1.0)
    store.create(TOPIC, 1, Retention())
    taken: dict[int, int] = {}
    now = 1000
    for ids, pause in steps:
        now += pause
        expected = []
        for each in ids:
            held = each in taken and now - taken[each] < 100
            expected.append(held)
            if not held:
                taken[each] = now
        fates: list[Fate] = store.append(TOPIC, [record(b"%d" % each) for each in ids], 0, now, life=life)
        assert [fate is REPEATED for fate in fates] == expected
        if ids:
            assert len(store._claimed) == sum(now - at < 100 for at in taken.values())
    store.close()


@pytest.mark.parametrize("maximum", [50, 1000])
def test_what_is_held_and_noted_is_bounded_and_pruned_in_steps(maximum: int) -> None:
    life = Life(1000, maximum)
    store = SqliteStore(Path(":memory:"), 1.0)
    store.create(TOPIC, 1, Retention())

    def count() -> int:
        return int(store.connection().execute("SELECT count(*) FROM claims").fetchone()[0])

    for number in range(300):
        store.append(TOPIC, [record(b"%d.%d" % (number, each)) for each in range(10)], 0, 0, life=life)
        assert len(store._claimed) <= maximum + 10
    full = count()
    now = 1000
    store.append(TOPIC, [record(b"later")], 0, now, life=life)
    assert len(store._claimed) == 1
    for number in range(20):
        now += 1000
        before = count()
        store.append(TOPIC, [record(b"later %d" % number)], 0, now, life=life)
        assert before - count() <= PRUNED_AT_ONCE + 2
    assert full > 5
    assert count() <= 2, "the newest note stays, and the one before it until the next time"
    store.close()


async def test_a_process_that_comes_when_all_has_ended_goes_on_with_the_numbers(tmp_path: Path) -> None:
    now = 0
    first, second = (
        SqliteLog(tmp_path / "events.db", now=lambda: now, window=1, maximum=1000) for _ in range(2)
    )  # fmt: skip
    await first.create(TOPIC)
    for _ in range(4):
        now += 5000
        await first.offer(TOPIC, [record(b"%d" % now)])
    now += 5000
    assert await second.offer(TOPIC, [record(b"id")]) == [(PARTITION, 4)]
    assert await first.offer(TOPIC, [record(b"id")]) == [REPEATED]
    await first.close()
    await second.close()


async def test_an_append_that_is_rolled_back_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = SqliteLog(tmp_path / "events.db", window=60, maximum=1000)
    await log.create(TOPIC)

    def fail(*_: object) -> NoReturn:
        raise sqlite3.OperationalError("disk I/O error")

    await log.offer(TOPIC, [record(b"before")])
    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "_save", fail)
        with pytest.raises(LogUnavailable):
            await log.offer(TOPIC, [record(b"id")])
    assert await log.offer(TOPIC, [record(b"id"), record(b"before")]) == [(PARTITION, 1), REPEATED]
    await log.close()


def test_what_another_file_held_is_forgotten(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "events.db", 1.0)
    for _ in range(2):
        store.create(TOPIC, 1, Retention())
        assert store.append(TOPIC, [record(b"id")], 0, 0, life=Life(1000, 10)) == [(PARTITION, 0)]
        store.close()
        for file in tmp_path.iterdir():
            file.unlink()
