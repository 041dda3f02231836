"""A derived stream over a log: killed anywhere, it stores each row once; what it cannot do, it says."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.clock import SystemClock
from gateway.definitions import Definitions
from gateway.derive.identity import record_key
from gateway.derive.lanes import Work
from gateway.derive.operator import DeriveBounds
from gateway.derive.position import PositionRefused
from gateway.derive.run import ReplayTooLong, Runner
from gateway.derive.target import CANARY_KEY
from gateway.errors import WriterFenced
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import EventLog
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.observability import telemetry
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time
from tests.derive import oracle
from tests.derive.events import SOURCE, configured
from tests.end_to_end.process import eventually

START, LATE = 1_767_225_600_000, 10_000
SCHEMAS = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])
WINDOW = (
    "a: {derive: {from: [wiki.change], where: event.key != 'refused', window: {every: 20s}, by: {key: event.key},"
    " late: 10s, select: {count: count(), sum: sum(event.n), most: max(event.n)}}}"
)
PASS = "a: {derive: {from: [wiki.change], select: {n: event.n}}}"

pytestmark = pytest.mark.usefixtures("short_waits")


def event(time: int, key: str, number: Any = 1) -> NewRecord:
    told = {"meta": {"dt": iso_time(time), "domain": key}, "key": key} | ({} if number is None else {"n": number})
    return NewRecord(orjson.dumps(told), key.encode(), time)


def runner(catalog: Catalog, log: EventLog, said: list[str], **more: Any) -> Runner:
    stream = catalog.streams["a"]
    definitions = Definitions(catalog, SCHEMAS, more.pop("error_stream", None))
    return Runner(Work(stream, more.pop("lane", None)), definitions, log, SystemClock(), said.append, **more)


async def stored(log: EventLog, topic: str) -> list[Record]:
    state = (await log.describe([topic])).get(topic)
    if state is None:
        return []
    places = [TopicPartition(topic, number) for number in range(getattr(state, "partitions", 1))]
    ends = await log.bounds(places)
    reader = await log.reader(dict.fromkeys(places, 0))
    found: list[Record] = []
    while len(found) < sum(getattr(bounds, "end", 0) for bounds in ends.values()):
        found += [record for batch in await reader.fetch(1.0) for record in getattr(batch, "records", ())]
    await reader.close()
    return found


@asynccontextmanager
async def running(one: Runner) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    task = asyncio.create_task(one.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):
            await task


async def until(log: EventLog, topic: str, count: int) -> list[Record]:
    async def there() -> bool:
        return len(await stored(log, topic)) >= count

    await eventually(there, f"{count} records in {topic}")
    return await stored(log, topic)


async def told(said: list[str]) -> None:
    async def something() -> bool:
        return bool(said)

    await eventually(something, "a word")


async def killed(task: asyncio.Task[None]) -> None:
    """Ended wherever it is. What is being closed may not notice that it is cancelled."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


@pytest.mark.long
async def test_rows_are_stored_once_however_often_it_is_killed(log: EventLog, tmp_path: Path) -> None:
    catalog, said = configured(tmp_path, WINDOW), list[str]()
    chance = random.Random(7)
    await log.create(SOURCE, 2)
    parts: list[list[oracle.Event]] = [[], []]
    now = START
    for _ in range(40):
        for number, part in enumerate(parts):
            some = []
            for _ in range(chance.randrange(8)):
                now += chance.choice([0, 500, 3_000])
                time, key = now - chance.choice([0, 3_000, 15_000]), chance.choice(["a", "b", oracle.REFUSED])
                some.append((time, key, chance.choice([1, 0.1, None])))
            part.extend(some)
            records = [event(*one)._replace(partition=number) for one in some]
            if records:
                await log.append(SOURCE, records)
        one = runner(catalog, log, said)
        task = asyncio.create_task(one.run(asyncio.Event()))
        await asyncio.sleep(chance.random() * 0.03)
        await killed(task)
    for number, part in enumerate(parts):
        part.append((now + 60_000, oracle.CANARY, None))
        await log.append(SOURCE, [event(now + 60_000, "canary", None)._replace(partition=number)])
    expected, _ = oracle.windows(parts, LATE, 20_000, 20_000)
    async with running(runner(catalog, log, said)):
        found = await until(log, "a", sum(expected.values()) + 2)
    rows = [orjson.loads(record.value or b"") for record in found]
    rows = [row for row in rows if row["meta"].get("domain") != "canary"]
    counted = Counter((row["key"], row["window_start"], row["count"], row.get("sum"), row.get("most")) for row in rows)
    assert counted == Counter((key, iso_time(start), *rest) for key, start, _, *rest in expected.elements())
    assert len({row["meta"]["id"] for row in rows}) == len(rows)


async def test_a_source_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    log, said = MemoryLog(), list[str]()
    async with running(runner(configured(tmp_path, PASS), log, said)):
        await told(said)
        assert said == ["a: waiting for the topic wiki.change"]
        await log.create(SOURCE, 3)
        await log.append(SOURCE, [event(START, "k", number) for number in range(5)])
        found = await until(log, "a", 5)
    assert [orjson.loads(record.value or b"")["n"] for record in found] == list(range(5))
    assert {record.key for record in found} == {b"k"}


async def test_what_is_refused_goes_to_the_error_stream_with_the_rows(log: EventLog, tmp_path: Path) -> None:
    catalog = configured(tmp_path, WINDOW, "errors: {schema_title: gateway/error}")
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START + 60_000, "a"), event(START, "a"), NewRecord(b"{", None, START)])
    async with running(runner(catalog, log, [], error_stream="errors")):
        found = await until(log, "errors", 2)
    errors = [orjson.loads(record.value or b"") for record in found]
    assert [(one["error_type"], one["errored_stream_name"]) for one in errors] == [("late", "a"), ("invalid", "a")]
    assert errors[0]["message"].endswith("(wiki.change, partition 0, offset 1)")


async def test_a_log_that_is_away_is_tried_again(tmp_path: Path) -> None:
    log, said = MemoryLog(), list[str]()
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", 1)])
    async with running(runner(configured(tmp_path, PASS), log, said)):
        await until(log, "a", 1)
        log.available = False
        await told(said)
        log.available = True
        await log.append(SOURCE, [event(START, "a", 2)])
        found = await until(log, "a", 2)
    assert [orjson.loads(record.value or b"")["n"] for record in found] == [1, 2]
    assert "trying again in 0.02 s" in said[0]


async def test_the_newest_process_takes_over(log: EventLog, tmp_path: Path) -> None:
    catalog = configured(tmp_path, PASS)
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", 1)])
    stop = asyncio.Event()
    first = asyncio.create_task(runner(catalog, log, []).run(stop))
    await until(log, "a", 1)
    numbers = [1]
    async with running(runner(catalog, log, [])):
        # Until the second one has taken over, the first stores what comes.
        while not first.done():
            numbers.append(len(numbers) + 1)
            await log.append(SOURCE, [event(START, "a", numbers[-1])])
            await asyncio.wait([first], timeout=0.1)
        with pytest.raises(WriterFenced):
            await first
        found = await until(log, "a", len(numbers))
    assert [orjson.loads(record.value or b"")["n"] for record in found] == numbers


async def test_a_declaration_that_changed_without_a_version_is_refused(tmp_path: Path) -> None:
    log = MemoryLog()
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", 1)])
    async with running(runner(configured(tmp_path, PASS), log, [])):
        await until(log, "a", 1)
    changed = configured(tmp_path, "a: {derive: {from: [wiki.change], select: {n: event.n + 1}}}")
    with pytest.raises(PositionRefused, match="has changed since"):
        await runner(changed, log, []).run(asyncio.Event())
    second = configured(tmp_path, "a: {derive: {from: [wiki.change], version: 2, select: {n: event.n + 1}}}")
    async with running(runner(second, log, [])):
        found = await until(log, "a.v2", 1)
    assert orjson.loads(found[0].value or b"")["n"] == 2


async def test_what_would_take_too_long_to_read_again_is_refused(tmp_path: Path) -> None:
    log, catalog = MemoryLog(), configured(tmp_path, WINDOW)
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a") for _ in range(20)])
    one = runner(catalog, log, [])

    async def read() -> bool:
        return one.read == 20

    async with running(one):
        await eventually(read, "the events")
    with pytest.raises(ReplayTooLong, match=r"20 records .* 19 are allowed"):
        await runner(catalog, log, [], bounds=DeriveBounds(derive_replay_bound=19)).run(asyncio.Event())


async def test_it_begins_as_far_back_as_it_is_told(tmp_path: Path) -> None:
    log, now = MemoryLog(), SystemClock().now()
    await log.create(SOURCE)
    await log.append(SOURCE, [event(now - 7_200_000, "a", 1), event(now - 1_000, "a", 2)])
    catalog = configured(tmp_path, "a: {derive: {from: [wiki.change], since: 1h, select: {n: event.n}}}")
    async with running(runner(catalog, log, [])):
        found = await until(log, "a", 1)
    assert [orjson.loads(record.value or b"")["n"] for record in found] == [2]


async def test_a_topic_that_was_created_again_is_read_from_its_beginning(tmp_path: Path) -> None:
    log, said, catalog = MemoryLog(), list[str](), configured(tmp_path, PASS)
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", number) for number in range(3)])
    async with running(runner(catalog, log, said)):
        await until(log, "a", 3)
    log.delete_topic(SOURCE)
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", 7)])
    async with running(runner(catalog, log, said)):
        found = await until(log, "a", 4)
    assert orjson.loads(found[-1].value or b"")["n"] == 7
    assert said == ["a: the topic wiki.change is another one; it is read from its beginning"]


async def test_what_is_looked_into_is_read_before_all_that_waits_for_it(tmp_path: Path) -> None:
    log = MemoryLog()
    derive = "from: [wiki.change], lookup: {page: {in: state, key: [event.n]}}, select: {n: event.n, name: page.name}"
    catalog = configured(tmp_path, "state: {}", f"a: {{derive: {{{derive}}}}}")
    await log.create(SOURCE)
    await log.create("state")
    count = 10_000
    times = [START + 100_000 + number * 1_000 for number in range(count)]
    await log.append(SOURCE, [event(time, "k", number) for number, time in enumerate(times)])
    states = [
        NewRecord(orjson.dumps({"meta": {"dt": iso_time(START)}, "name": f"name {number}"}), record_key((number,)))
        for number in range(count)
    ]
    await log.append("state", [*states, event(times[-1], "canary", None)])
    bounds = DeriveBounds(derive_held=14_000)
    async with running(runner(catalog, log, [], bounds=bounds)):
        found = await until(log, "a", count - 10)
    rows = [orjson.loads(record.value or b"") for record in found]
    assert {row["name"] == f"name {row['n']}" for row in rows if row["meta"].get("domain") != "canary"} == {True}


async def test_a_partition_that_holds_the_rows_back_is_told_in_the_metrics(tmp_path: Path) -> None:
    log, catalog = MemoryLog(), configured(tmp_path, WINDOW)
    await log.create(SOURCE, 2)
    records = [event(START, "a"), event(START + 3_600_000, "a")]
    await log.append(SOURCE, [record._replace(partition=0) for record in records])

    async def is_told() -> bool:
        return b'gateway_derive_held_back_seconds{stream="a"} 3600.0' in telemetry.exposition()

    async with running(runner(catalog, log, [])):
        await eventually(is_told, "the metric")


async def test_the_canaries_of_a_compacted_topic_have_a_key(tmp_path: Path) -> None:
    """Kafka would refuse a record without one, and with it the append."""
    log = MemoryLog()
    catalog = configured(tmp_path, "a: {derive: {from: [wiki.change], latest: {key: event.key}, select: {n: event.n}}}")
    await log.create(SOURCE)
    canary = orjson.dumps({"meta": {"dt": iso_time(START + 60_000), "domain": "canary"}})
    await log.append(SOURCE, [event(START, "b"), NewRecord(canary, None, START + 60_000)])
    async with running(runner(catalog, log, [])):
        found = await until(log, "a", 2)
    assert [record.key for record in found] == [b"b", CANARY_KEY]


@pytest.mark.usefixtures("looks_often")
async def test_a_topic_that_goes_and_comes_again_under_a_derivation_is_read_from_its_beginning(
    log: EventLog, tmp_path: Path
) -> None:
    """Also one that is longer by then than the first was."""
    said = list[str]()
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", number) for number in range(3)])
    async with running(runner(configured(tmp_path, PASS), log, said)):
        await until(log, "a", 3)
        await log.delete(SOURCE)  # type: ignore[attr-defined]

        async def is_missed() -> bool:
            return any("waiting for the topic" in line for line in said)

        await eventually(is_missed, "the source is missed")
        await log.create(SOURCE)
        await log.append(SOURCE, [event(START, "a", number) for number in range(10, 15)])
        found = await until(log, "a", 8)
    assert [orjson.loads(record.value or b"")["n"] for record in found] == [0, 1, 2, 10, 11, 12, 13, 14]


@pytest.mark.usefixtures("looks_often")
async def test_a_new_partition_is_read_while_the_stream_is_derived(tmp_path: Path) -> None:
    log = MemoryLog()
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", 0)])
    async with running(runner(configured(tmp_path, PASS), log, [])):
        await until(log, "a", 1)
        log.add_partitions(SOURCE, 2)
        await log.append(SOURCE, [event(START, "a", 1)._replace(partition=1)])
        found = await until(log, "a", 2)
    assert [orjson.loads(record.value or b"")["n"] for record in found] == [0, 1]


async def test_a_position_of_a_later_version_of_the_gateway_is_refused_and_kept(log: EventLog, tmp_path: Path) -> None:
    """After a downgrade: nothing is misread, nothing is stored, and the later version finds its own again."""
    catalog = configured(tmp_path, PASS)
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START, "a", 1)])
    later = await log.writer("derive a")
    await later.append([], b'[9,1,"x",{}]')
    with pytest.raises(PositionRefused, match="of format 9"):
        await runner(catalog, log, []).run(asyncio.Event())
    again = await log.writer("derive a")
    assert again.position == b'[9,1,"x",{}]'
    assert await stored(log, "a") == []
