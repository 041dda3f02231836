"""The feed: history once, then live, against a log in memory and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.demo.feed import HISTORY, TRIES, SampleFeed
from gateway.errors import ConfigurationError, LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import demand
from gateway.model.record import NewRecord, Record, TopicPartition
from tests.eventlog.kit import batches_of
from tests.kit.clock import HandClock

NOW = 1_772_357_213_007
CATALOG = Catalog(
    [
        Stream("changes", ("change-topic", "mirror"), schema_title="wiki/change", message_key_fields=("wiki",)),
        Stream("creations", ("create-topic",), schema_title="wiki/page-create", partitions=2),
        Stream("unrelated", ("unrelated-topic",)),
    ]
)


async def records(log: MemoryLog, topic: str, partitions: int = 1) -> list[Record]:
    bounds = demand(await log.bounds([TopicPartition(topic, number) for number in range(partitions)]))
    reader = await log.reader({place: bound.start for place, bound in bounds.items()})
    found: list[Record] = []
    while batches := batches_of(await reader.fetch(0, max_records=100_000)):
        found += [record for batch in batches for record in batch.records]
    await reader.close()
    return found


class SlowLog(MemoryLog):
    """Each append takes so many seconds of the clock."""

    def __init__(self, clock: HandClock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self.seconds = seconds

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        self._clock.advance(self.seconds)
        return await super().append(topic, records)


async def test_no_hole_between_history_and_live_events() -> None:
    clock = HandClock(NOW)
    log = SlowLog(clock, 2)
    feed = SampleFeed(log, CATALOG, clock, seed=1, sleep=clock.sleep, history=HISTORY // 20)
    await feed.fill()
    assert clock.time - NOW > 6_000
    log.seconds = 0
    clock.advance(4)  # until the server serves
    task = asyncio.create_task(feed.run())
    await clock.reach(clock.time + 20_000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    times = [record.timestamp for record in await records(log, "change-topic")]
    assert max(second - first for first, second in pairwise(times)) <= 1_000
    assert times == sorted(times)


class BusyLog(MemoryLog):
    """Has too much to do for so many calls of `append`."""

    refusals = 0

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        if self.refusals > 0:
            self.refusals -= 1
            raise LogUnavailable("not done within 4.5 s")
        return await super().append(topic, records)


async def test_a_busy_log_delays_the_history_and_one_that_stays_away_ends_it() -> None:
    clock = HandClock(NOW)
    log = BusyLog()
    log.refusals = TRIES - 1
    feed = SampleFeed(log, CATALOG, clock, seed=1, sleep=no_wait, history=HISTORY // 360)
    assert await feed.fill() == len(await records(log, "change-topic")) > 100
    log = BusyLog()
    log.refusals = TRIES
    with pytest.raises(LogUnavailable, match="not done within"):
        await SampleFeed(log, CATALOG, clock, seed=1, sleep=no_wait, history=HISTORY // 360).fill()


async def no_wait(seconds: float) -> None:
    assert seconds > 0


@pytest.mark.long
async def test_history_is_filled_once() -> None:
    clock = HandClock(NOW)
    log = MemoryLog()
    # Some minutes are enough to see, and quicker.
    history = HISTORY // 20
    assert 3400 < await SampleFeed(log, CATALOG, clock, seed=1, history=history).fill() < 3800
    assert set(await log.describe(CATALOG.topics)) == set(CATALOG.topics)
    changes = await records(log, "change-topic")
    assert NOW - history < changes[0].timestamp < NOW - history + 2000
    assert NOW - 2000 < changes[-1].timestamp < NOW
    event = orjson.loads(changes[0].value or b"")
    assert event["meta"]["stream"] == "changes"
    assert changes[0].key == event["wiki"].encode()
    assert 70 < len(await records(log, "create-topic", partitions=2)) < 150
    assert await records(log, "mirror") == []

    # A second start has nothing to fill; one after two minutes only these; one after a day no more than the first.
    assert await SampleFeed(log, CATALOG, clock, seed=2, history=history).fill() < 50
    clock.time += 120_000
    assert 2100 < await SampleFeed(log, CATALOG, clock, seed=3, history=history).fill() < 2700
    clock.time += 86_400_000
    assert 3400 < await SampleFeed(log, CATALOG, clock, seed=4, history=history).fill() < 3800
    changes = await records(log, "change-topic")
    assert all(first.timestamp <= second.timestamp for first, second in pairwise(changes))
    assert len({orjson.loads(record.value or b"")["meta"]["id"] for record in changes}) == len(changes)


async def test_live_events_come_at_the_rate_and_stop_cleanly() -> None:
    clock = HandClock(NOW)
    log = MemoryLog()
    await log.create("change-topic")
    await log.create("create-topic", 2)
    task = asyncio.create_task(SampleFeed(log, CATALOG, clock, seed=1, sleep=clock.sleep).run())
    await clock.reach(NOW + 60_000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    changes = await records(log, "change-topic")
    assert 1000 < len(changes) < 1400
    assert all(first.timestamp <= second.timestamp for first, second in pairwise(changes))
    assert abs(changes[-1].timestamp - clock.time) < 1000


async def test_live_goes_on_when_the_log_is_back() -> None:
    clock = HandClock(NOW)
    log = MemoryLog()
    await log.create("change-topic")
    await log.create("create-topic", 2)
    log.available = False
    task = asyncio.create_task(SampleFeed(log, CATALOG, clock, seed=1, sleep=clock.sleep).run())
    await clock.reach(NOW + 20_000)
    log.available = True
    await clock.reach(clock.time + 5000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    changes = await records(log, "change-topic")
    ids = [orjson.loads(record.value or b"")["meta"]["id"] for record in changes]
    assert len(ids) == len(set(ids)) > 50


def test_a_catalogue_without_a_stream_for_it() -> None:
    with pytest.raises(ConfigurationError, match="schema_title wiki/change"):
        SampleFeed(MemoryLog(), Catalog([Stream("a", ("a",))]), HandClock(NOW))
