"""What the hub finds in the log, and where it begins to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.port import NO_STAMPS, Bounds
from gateway.eventlog.trouble import Trouble, cut_back
from gateway.hub import hub as hub_module
from gateway.hub import ordered as ordered_module
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.model.position import NOTHING_READ, ConsumedPosition
from gateway.model.record import NewRecord, TopicPartition
from tests.kit.clock import LoopClock
from tests.kit.waiting import PATIENCE

ALPHA, BETA = TopicPartition("alpha", 0), TopicPartition("beta", 0)
LOOK_SECONDS = 0.01


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_module, "IDLE_WAIT", 0.005)
    monkeypatch.setattr(hub_module, "IDLE_WAIT", 0.005)
    monkeypatch.setattr(hub_module, "RETRY_WAIT", (0.001, 0.005))


def fill(log: MemoryLog, partition: TopicPartition, timestamps: list[int]) -> None:
    log.append_now(
        partition.topic, [NewRecord(b"{}", None, timestamp, partition.partition) for timestamp in timestamps]
    )


def hub_over(log: MemoryLog, ring_fill: float = 600.0, by_timestamp: bool = False) -> Hub:
    topics = {"alpha": by_timestamp, "beta": by_timestamp}
    options = HubOptions(ring_fill=ring_fill, flush_interval=0.0, metadata_interval=0.005)
    return Hub(log, topics, LoopClock(now=1_000_000), options)


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[Hub]:
    task = asyncio.create_task(hub.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await hub.filled.wait()
        yield hub
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], hub: Hub, seconds: float = 5.0) -> None:
    """Wait for what the hub is sure to find within so many seconds. Only those are counted in which the loop turned:
    where the machine stands still, so does the hub."""
    left = round(seconds / LOOK_SECONDS)
    while not condition():
        assert left > 0, "the hub has not found it"
        changed, _ = await asyncio.wait([hub.change()], timeout=LOOK_SECONDS)
        left -= not changed


def held(hub: Hub, partition: TopicPartition) -> list[int]:
    """The offsets that the ring holds of a partition."""
    return sorted(
        item.consumed.offset for item in hub.ring.newest(frozenset({partition.topic})) if item.partition == partition
    )


async def test_the_ring_begins_with_the_newest_part_of_the_log() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    fill(log, ALPHA, [100_000, 399_999, 400_000, 900_000])
    async with running(hub_over(log, ring_fill=600.0)) as hub:
        assert held(hub, ALPHA) == [2, 3]
        assert hub.ring.end(ALPHA) == 4


async def test_a_quiet_topic_begins_with_all_of_its_newest_millisecond() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    fill(log, ALPHA, [10, 20, 30, 30, 30])
    async with running(hub_over(log, by_timestamp=True)) as hub:
        assert held(hub, ALPHA) == [2, 3, 4]
        assert hub.ring.tail(ALPHA) == ConsumedPosition(4, 30, 3)


async def test_the_newest_record_is_found_behind_markers() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    fill(log, ALPHA, [10, 20])
    log.mark("alpha", 0, 300)
    async with running(hub_over(log)) as hub:
        assert held(hub, ALPHA) == [1]
        assert hub.ring.end(ALPHA) == 302


async def test_an_empty_partition_has_nothing_read() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    async with running(hub_over(log)) as hub:
        assert hub.ring.tail(ALPHA) == NOTHING_READ


async def test_a_topic_that_appears_later_is_read_from_its_first_record() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    async with running(hub_over(log)) as hub:
        version = hub.version
        assert hub.partitions(["beta"]) == [BETA]
        log.create_topic("beta", 2)
        fill(log, BETA, [1, 2, 3])
        await until(lambda: held(hub, BETA) == [0, 1, 2], hub)
        assert hub.version > version
        assert len(hub.partitions(["beta"])) == 2


async def test_new_partitions_are_read_from_their_first_record() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    async with running(hub_over(log)) as hub:
        log.add_partitions("alpha", 3)
        new = TopicPartition("alpha", 2)
        fill(log, new, [1, 2])
        await until(lambda: held(hub, new) == [0, 1], hub)


async def test_a_topic_created_again_goes_on_by_the_timestamp() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    fill(log, ALPHA, [999_000, 999_500])
    async with running(hub_over(log)) as hub:
        epoch = hub.ring.epoch
        log.delete_topic("alpha")
        log.create_topic("alpha")
        fill(log, ALPHA, [999_100, 999_500, 999_900])
        await until(lambda: held(hub, ALPHA) == [1, 2], hub)
        assert hub.ring.epoch != epoch
        # The position before it can be trusted by whoever sends it back.
        assert hub.ring.consumed_at(hub.ring.oldest, [ALPHA])[ALPHA] == ConsumedPosition(0, 999_100)


async def test_a_topic_created_again_with_fewer_partitions_and_then_more() -> None:
    log = MemoryLog()
    log.create_topic("alpha", 3)
    last = TopicPartition("alpha", 2)
    async with running(hub_over(log)) as hub:
        log.delete_topic("alpha")
        log.create_topic("alpha", 1)
        await until(lambda: len(hub.partitions(["alpha"])) == 1, hub)
        log.add_partitions("alpha", 3)
        fill(log, last, [1, 2])
        await until(lambda: held(hub, last) == [0, 1], hub)


async def test_what_the_ring_held_of_partitions_that_are_no_more_is_given_up() -> None:
    log = MemoryLog()
    log.create_topic("alpha", 2)
    gone = TopicPartition("alpha", 1)
    async with running(hub_over(log)) as hub:
        fill(log, gone, [999_000, 999_100])
        await until(lambda: held(hub, gone) == [0, 1], hub)
        epoch = hub.ring.epoch
        log.delete_topic("alpha")
        log.create_topic("alpha", 1)
        await until(lambda: len(hub.partitions(["alpha"])) == 1, hub)
        assert held(hub, gone) == []
        assert hub.ring.epoch != epoch


async def test_what_is_gone_again_in_the_middle_of_a_look_leaves_nothing_behind() -> None:
    class Vanishing(MemoryLog):
        vanish = True

        async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
            if self.vanish and TopicPartition("alpha", 1) in times:
                self.vanish = False
                self.delete_topic("alpha")
                self.create_topic("alpha", 1)
            return await super().find(times)

    log = Vanishing()
    log.create_topic("alpha", 2)
    fill(log, TopicPartition("alpha", 1), [999_000])
    async with running(hub_over(log)) as hub:
        await until(lambda: list(hub.ring.partitions()) == [ALPHA], hub)
        fill(log, ALPHA, [999_500])
        await until(lambda: held(hub, ALPHA) == [0], hub)


async def test_a_topic_that_is_deleted_is_read_again_when_it_is_back() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    log.create_topic("beta")
    async with running(hub_over(log)) as hub:
        log.delete_topic("beta")
        await until(lambda: BETA not in hub.discovery.readable(), hub)
        fill(log, ALPHA, [999_000])
        await until(lambda: held(hub, ALPHA) == [0], hub)
        log.create_topic("beta")
        fill(log, BETA, [999_000])
        await until(lambda: held(hub, BETA) == [0], hub)


async def test_records_that_expired_under_the_hub_are_told() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    fill(log, ALPHA, [999_000])
    async with running(hub_over(log)) as hub:
        fill(log, ALPHA, [999_001] * 5)
        log.truncate("alpha", 0, 4)
        await until(lambda: held(hub, ALPHA) == [4, 5], hub)
        gap = next(gap for number in range(50) if (segment := hub.ring.segment(number)) and (gap := segment.gap))
        assert (gap.requested, gap.resumed, gap.reason) == (0, 4, "expired")


class FlakyLog(MemoryLog):
    """Goes away once, after so many answers."""

    answers = -1

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds | Trouble]:
        self.answers -= 1
        if self.answers == 0:
            raise LogUnavailable("away for a moment")
        return await super().bounds(partitions)


@pytest.mark.parametrize("answers", range(1, 5))
async def test_what_was_found_before_the_log_went_away_is_not_forgotten(answers: int) -> None:
    log = FlakyLog()
    for topic in ("alpha", "beta"):
        log.create_topic(topic, 2)
        fill(log, TopicPartition(topic, 0), [999_000, 999_500])
    hub = hub_over(log)
    hub.discovery.sought = {"alpha", "beta"}
    await hub.discovery.look()
    for partition in (ALPHA, BETA):
        hub.ring.append(partition, 0, 999_000, None, b"{}", False)
    for topic in ("alpha", "beta"):
        log.delete_topic(topic)
        log.create_topic(topic, 3)
    log.answers = answers
    try:
        findings = await hub.discovery.look()
    except LogUnavailable:
        findings = await hub.discovery.look()
    assert findings.changed
    assert {gap.partition for gap in findings.breaks} == {ALPHA, BETA}


@pytest.mark.parametrize("asked", [{ALPHA: 2, BETA: 1}, {ALPHA: 0, BETA: 0}], ids=["begun", "filled"])
async def test_a_topic_that_is_created_again_while_the_ring_is_filled_holds_up_nobody(
    asked: dict[TopicPartition, int],
) -> None:
    """What was to be read of it never comes, neither of its last record nor of its newest part."""

    class Vanishing(MemoryLog):
        vanish = True

        async def reader(
            self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
        ) -> MemoryReader:
            if self.vanish and positions == asked:
                self.vanish = False
                self.delete_topic("alpha")
                self.create_topic("alpha", 1)
                fill(self, ALPHA, [999_400])
            return await super().reader(positions)

    log = Vanishing()
    log.create_topic("alpha", 1)
    log.create_topic("beta", 1)
    fill(log, ALPHA, [999_000, 999_001, 999_002])
    fill(log, BETA, [999_500, 999_501])
    async with running(hub_over(log)) as hub:
        await until(lambda: held(hub, BETA) == [0, 1], hub)
        await until(lambda: ALPHA in hub.ring.partitions() and hub.ring.end(ALPHA) == 1, hub)
        assert not log.vanish
        fill(log, ALPHA, [999_600])
        await until(lambda: 1 in held(hub, ALPHA), hub)


async def test_where_a_topic_goes_on_that_is_created_once_more_meanwhile_is_asked_again() -> None:
    """Else it would go on behind as many records as the one between had."""

    class Between(MemoryLog):
        between = False

        async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
            if self.between:
                self.between = False
                self.delete_topic("alpha")
                self.create_topic("alpha")
                found = await super().find(times)
                fill(self, ALPHA, [999_600, 999_700, 999_800, 999_900])
                return found
            return await super().find(times)

    log = Between()
    log.create_topic("alpha")
    fill(log, ALPHA, [999_500])
    async with running(hub_over(log)) as hub:
        log.delete_topic("alpha")
        log.create_topic("alpha")
        fill(log, ALPHA, [999_100, 999_200, 999_300])
        log.between = True
        await until(lambda: not log.between and held(hub, ALPHA) == [0, 1, 2, 3], hub)


async def test_where_a_topic_begins_that_is_created_again_meanwhile_is_asked_again() -> None:
    """Else it would begin behind records that nobody has read: where the former had its newest part."""

    class Between(MemoryLog):
        between = True

        async def find(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Trouble | None]:
            found = await super().find(times)
            if self.between:
                self.between = False
                self.delete_topic("alpha")
                self.create_topic("alpha")
                fill(self, ALPHA, [999_100, 999_200, 999_300, 999_400])
            return found

    log = Between()
    log.create_topic("alpha")
    fill(log, ALPHA, [10, 20, 999_500])
    async with running(hub_over(log, ring_fill=600.0)) as hub:
        await until(lambda: not log.between and held(hub, ALPHA) == [0, 1, 2, 3], hub)


async def test_a_log_that_seems_cut_and_differs_nowhere_is_read_from_where_it_was() -> None:
    """Only the leader epochs are others: then nothing of what came meanwhile may be passed over."""
    log = MemoryLog()
    log.create_topic("alpha")
    fill(log, ALPHA, [900_000] * 5)
    async with running(hub_over(log)) as hub:
        log.spoil(ALPHA, cut_back(ALPHA, -1))
        fill(log, ALPHA, [900_001] * 5)
        await until(lambda: ALPHA in hub.recovery.ward.troubles, hub)
        assert hub.ring.end(ALPHA) == 5
        log.spoil(ALPHA, None)
        await until(lambda: hub.ring.end(ALPHA) == 10, hub)
        assert held(hub, ALPHA) == list(range(10))
