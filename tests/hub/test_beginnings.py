"""Where the hub begins to read many partitions: with few calls, and what was found is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import aclosing

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.port import FETCH_BYTES, NO_STAMPS, Batch, Bounds
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.hub import beginnings as beginnings_module
from gateway.hub import last as last_module
from gateway.hub import partitions as partitions_module
from gateway.hub import recovery as recovery_module
from gateway.hub.history import ask_first_records, read_parts
from gateway.hub.last import last_records, newest_times
from gateway.hub.seek import seek_each
from gateway.model.position import NOTHING_READ, ConsumedPosition
from gateway.model.record import TopicPartition
from tests.hub.test_discovery import ALPHA, fill, hub_over, running, until
from tests.kit.counting_log import CountingLog
from tests.simulation.loop import in_virtual_time

MANY = 700
DAMAGED = Trouble(Kind.UNREADABLE, "set by the test")


def parts(count: int) -> list[TopicPartition]:
    return [TopicPartition("alpha", number) for number in range(count)]


class LeavingLog(CountingLog):
    """Goes away where a reader of this partition is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[TopicPartition]] = []
        self.away_at: TopicPartition | None = None

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        self.asked.append(set(positions))
        if self.away_at in positions:
            self.calls += 1
            raise LogUnavailable("set by the test")
        return await super().reader(positions, stamps)


@pytest.mark.parametrize("by_timestamp", [False, True])
async def test_many_partitions_are_begun_with_a_few_calls(by_timestamp: bool) -> None:
    log = LeavingLog()
    log.create_topic("alpha", MANY)
    for partition in parts(MANY):
        old = [1] * (partition.partition % 3)
        fill(log, partition, [*old, *[999_000] * (partition.partition % 2)])
    hub = hub_over(log, by_timestamp=by_timestamp)
    findings = await hub.discovery.look()
    assert len(findings.begun) == MANY
    assert log.calls <= 10
    # As one that is begun alone.
    assert hub.discovery.origins[parts(MANY)[6]] == NOTHING_READ
    newest = hub.discovery.origins[parts(MANY)[5]]
    assert newest == ConsumedPosition(1, 400_000 if by_timestamp else 1)


@pytest.mark.parametrize("by_timestamp", [False, True])
async def test_a_topic_of_many_partitions_that_is_created_again_takes_a_few_calls(by_timestamp: bool) -> None:
    log = LeavingLog()
    log.create_topic("alpha", MANY)
    hub = hub_over(log, by_timestamp=by_timestamp)
    await hub.discovery.look()
    for partition in parts(MANY):
        hub.ring.append(partition, 0, 999_000, None, b"{}", False)
    log.delete_topic("alpha")
    log.create_topic("alpha", MANY)
    for partition in parts(MANY):
        fill(log, partition, [998_000, 999_500])
    log.calls = 0
    findings = await hub.discovery.look()
    assert {gap.partition: gap.resumed for gap in findings.breaks} == dict.fromkeys(parts(MANY), 1)
    assert log.calls <= 10


async def test_what_is_begun_before_the_log_goes_away_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings_module, "GROUP", 2)
    log = LeavingLog()
    log.create_topic("alpha", 6)
    for partition in parts(6):
        fill(log, partition, [999_000])
    log.away_at = parts(6)[4]
    hub = hub_over(log)
    findings = await hub.discovery.look()
    assert set(findings.begun) == set(parts(4))
    assert findings.refused.keys() == set(parts(6)[4:])
    log.away_at = None
    log.asked.clear()
    assert set((await hub.discovery.look()).begun) == set(parts(6)[4:])
    assert set().union(*log.asked) == set(parts(6)[4:])
    # They begin at their newest part, as those that were begun at once.
    assert hub.discovery.origins[parts(6)[5]] == NOTHING_READ


async def test_where_nothing_can_be_begun_the_log_is_away() -> None:
    log = LeavingLog()
    log.create_topic("alpha", 2)
    fill(log, ALPHA, [999_000])
    log.away_at = ALPHA
    hub = hub_over(log)
    with pytest.raises(LogUnavailable):
        await hub.discovery.look()
    assert not hub.discovery.known


async def test_a_slow_log_makes_the_hub_ready_though_it_goes_away_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It never begins everything in one go."""
    monkeypatch.setattr(beginnings_module, "GROUP", 1)
    monkeypatch.setattr(recovery_module, "TEND_WAIT", 0.002)
    monkeypatch.setattr(partitions_module, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(partitions_module, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(partitions_module, "TRIAL_SECONDS", 0.02)

    class Tired(LeavingLog):
        async def reader(
            self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
        ) -> MemoryReader:
            reader = await super().reader(positions, stamps)
            if len(self.asked) % 3 == 0:
                raise LogUnavailable("set by the test")
            return reader

    log = Tired()
    log.create_topic("alpha", 9)
    for partition in parts(9):
        fill(log, partition, [999_000])
    async with running(hub_over(log)) as hub:
        await until(lambda: len(hub.ring.partitions()) == 9 and not hub.sick, hub)


class Scripted(MemoryLog):
    """Its readers give these answers, one each time, and then nothing; each takes so many seconds."""

    def __init__(self, answers: list[list[Batch | Refusal]], seconds: float = 0.0) -> None:
        super().__init__()
        self._answers = answers
        self._seconds = seconds

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        log = self

        class Reader(MemoryReader):
            async def fetch(
                self,
                wait: float,
                max_records: int = 1000,
                partitions: Collection[TopicPartition] | None = None,
                max_bytes: int = FETCH_BYTES,
            ) -> list[Batch | Refusal]:
                await asyncio.sleep(log._seconds)
                return log._answers.pop(0) if log._answers else []

        return Reader(self, positions)


async def batch(partition: TopicPartition) -> Batch:
    """The first record of a partition."""
    log = MemoryLog()
    log.create_topic(partition.topic, partition.partition + 1)
    fill(log, partition, [5])
    (found,) = await (await log.reader({partition: 0})).fetch(0.0)
    assert isinstance(found, Batch)
    return found


async def test_damage_behind_what_is_asked_for_is_no_trouble() -> None:
    """A reader may tell of it together with the last record before it."""
    answer: list[Batch | Refusal] = [await batch(ALPHA), Refusal(ALPHA, DAMAGED._replace(offset=1))]
    assert await last_records(Scripted([answer]), {ALPHA: Bounds(0, 1)}) == {ALPHA: ConsumedPosition(0, 5)}
    first = await ask_first_records(Scripted([answer]), {ALPHA: 0}, {ALPHA: 1})
    assert getattr(first[ALPHA], "timestamp", None) == 5
    async with aclosing(read_parts(Scripted([answer]), ALPHA, 0, 1)) as found:
        assert [(len(records), position) async for records, position in found] == [(1, 1)]


@in_virtual_time
async def test_whoever_gives_something_keeps_the_patience_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_module, "PATIENCE_SECONDS", 0.08)
    answers: list[list[Batch | Refusal]] = [[await batch(partition)] for partition in parts(5)]
    log = Scripted(answers, seconds=0.03)
    log.create_topic("alpha", 6)
    fill(log, parts(6)[5], [5])
    found = await last_records(log, {partition: Bounds(0, 1) for partition in parts(6)})
    assert [found[partition] for partition in parts(5)] == [ConsumedPosition(0, 5)] * 5
    silent = found[parts(6)[5]]
    assert isinstance(silent, Trouble)
    assert silent.kind is Kind.UNAVAILABLE


async def test_the_newest_times_of_full_empty_and_sick_partitions() -> None:
    log = MemoryLog()
    log.create_topic("alpha", 4)
    full, marked, empty, sick = parts(4)
    fill(log, full, [1, 2])
    fill(log, marked, [3])
    log.mark("alpha", 1, 300)
    fill(log, sick, [4])
    log.spoil(sick, DAMAGED._replace(offset=0))
    bounds = {partition: told for partition, told in (await log.bounds(parts(4))).items() if isinstance(told, Bounds)}
    times = await newest_times(log, bounds)
    assert (times[full], times[marked], times[empty]) == (2, 3, None)
    assert isinstance(times[sick], Trouble)


async def test_seeking_in_many_partitions_is_seeking_in_each() -> None:
    log = MemoryLog()
    log.create_topic("alpha", 4)
    timed, timeless, empty, sick = parts(4)
    fill(log, timed, [1, 5, 9])
    fill(log, timeless, [-1, -1])
    bounds = dict.fromkeys(parts(4), Bounds(0, 3)) | {timeless: Bounds(0, 2), empty: Bounds(0, 0)}
    log.refuse(sick, DAMAGED)
    found = await seek_each(log, {timed: 5, timeless: 5, empty: 5, sick: 5}, bounds)
    assert found == {timed: 1, timeless: 0, empty: 0, sick: DAMAGED}
    assert (await seek_each(log, {timeless: 5}, bounds, timeless=False)) == {timeless: 2}
