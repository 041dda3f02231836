"""Sources are read and decoded once for all who follow them; nobody waits for another for long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.derive import sources as room
from gateway.derive.engine import Event, event_of
from gateway.derive.sources import BATCH_RECORDS, Follower, Sources
from gateway.derive.stretch import Part
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.port import NO_STAMPS, Batch, TopicState
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import NewRecord, Record, TopicPartition

SOURCE = "source"
FIRST, SECOND = TopicPartition(SOURCE, 0), TopicPartition(SOURCE, 1)
WAIT = 60.0
"""Seconds until what is sure to come counts as missing."""


class CountingLog(MemoryLog):
    """Counts the records that readers bring."""

    def __init__(self) -> None:
        super().__init__()
        self.brought = 0

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        return CountingReader(self, positions, stamps)


class CountingReader(MemoryReader):
    """Of a CountingLog."""

    _log: CountingLog

    async def fetch(self, *arguments: Any, **named: Any) -> list[Batch | Refusal]:
        found = await super().fetch(*arguments, **named)
        self._log.brought += sum(len(one.records) for one in found if isinstance(one, Batch))
        return found


def event(number: int) -> NewRecord:
    return NewRecord(b'{"n":%d}' % number, partition=number % 2)


def filled(count: int) -> CountingLog:
    log = CountingLog()
    log.create_topic(SOURCE, 2)
    log.append_now(SOURCE, [event(number) for number in range(count)])
    return log


async def identities(log: MemoryLog, topic: str = SOURCE) -> dict[str, str]:
    state = (await log.describe([topic]))[topic]
    assert isinstance(state, TopicState)
    return {topic: state.identity}


@asynccontextmanager
async def following(log: MemoryLog, shared: Sources, at: Mapping[TopicPartition, int]) -> AsyncIterator[Follower]:
    one = shared.follower()
    one.add(at, await identities(log))
    try:
        yield one
    finally:
        await one.close()


def numbers(found: Collection[Part | Refusal]) -> list[int]:
    return [event["n"] for part in found if isinstance(part, Part) for _, event in part.records if type(event) is dict]


async def taken(follower: Follower, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(WAIT):
        while len(found) < count:
            found += numbers(await follower.fetch(1.0))
    return found


async def test_each_record_is_read_and_decoded_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = list[int]()

    def counted(record: Record) -> Event:
        decoded.append(record.offset)
        return event_of(record)

    monkeypatch.setattr(room, "event_of", counted)
    log = filled(3_000)
    shared = Sources(log)
    start = dict.fromkeys((FIRST, SECOND), 0)
    async with (
        following(log, shared, start) as a,
        following(log, shared, start) as b,
        following(log, shared, start) as c,
    ):
        found = await asyncio.gather(*(taken(one, 3_000) for one in (a, b, c)))
        assert all(sorted(one) == list(range(3_000)) for one in found)
        log.append_now(SOURCE, [event(3_000)])
        assert [await taken(one, 1) for one in (a, b, c)] == [[3_000]] * 3
    assert log.brought == len(decoded) == 3_001


async def test_who_begins_further_back_catches_up_and_then_shares() -> None:
    log = filled(2_000)
    shared = Sources(log)
    async with following(log, shared, {FIRST: 900, SECOND: 900}) as ahead:
        assert sorted(await taken(ahead, 200)) == list(range(1_800, 2_000))
        async with following(log, shared, {FIRST: 0, SECOND: 0}) as behind:
            assert sorted(await taken(behind, 2_000)) == list(range(2_000))
            before = log.brought
            log.append_now(SOURCE, [event(number) for number in range(2_000, 2_100)])
            assert sorted(await taken(behind, 100)) == sorted(await taken(ahead, 100)) == list(range(2_000, 2_100))
            assert log.brought == before + 100


async def test_who_begins_further_ahead_is_not_held_back() -> None:
    log = filled(2_000)
    shared = Sources(log)
    async with (
        following(log, shared, {FIRST: 0, SECOND: 0}) as behind,
        following(log, shared, {FIRST: 1_000, SECOND: 1_000}) as ahead,
    ):
        log.append_now(SOURCE, [event(2_000), event(2_001)])
        assert sorted(await taken(ahead, 2)) == [2_000, 2_001]
        assert sorted(await taken(behind, 2_002)) == list(range(2_002))


async def test_one_that_takes_nothing_holds_up_the_others_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HOLD_SECONDS", 0.05)
    log = filled(20_000)
    shared = Sources(log)
    start = dict.fromkeys((FIRST, SECOND), 0)
    async with following(log, shared, start) as slow, following(log, shared, start) as fast:
        assert sorted(await taken(fast, 20_000)) == list(range(20_000))
        (source,) = shared._read.values()
        assert sum(one.count for one in source._stretches.values()) <= room.HELD_RECORDS + BATCH_RECORDS
        assert sorted(await taken(slow, 20_000)) == list(range(20_000))


@pytest.mark.long
async def test_what_is_held_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HOLD_SECONDS", 0.05)
    log = CountingLog()
    log.create_topic(SOURCE)
    log.append_now(SOURCE, [NewRecord(b'"%s"' % (b"x" * 500_000)) for _ in range(40)])
    shared = Sources(log)
    async with following(log, shared, {FIRST: 0}), following(log, shared, {FIRST: 0}) as fast:
        async with asyncio.timeout(WAIT):
            while fast._at[FIRST][0] < 40:
                await fast.fetch(0.1)
                (source,) = shared._read.values()
                held = sum(one.size for one in source._stretches.values())
                assert held <= room.HELD_BYTES + room.BATCH_BYTES + 500_000


async def test_a_partition_that_is_sick_is_told_once_and_the_others_are_read_on() -> None:
    log = filled(10)
    shared = Sources(log)
    async with (
        following(log, shared, {FIRST: 0, SECOND: 0}) as both,
        following(log, shared, {SECOND: 0}) as second,
    ):
        assert len(await taken(both, 10)) == 10
        assert await taken(second, 5) == [1, 3, 5, 7, 9]
        log.refuse(FIRST, Trouble(Kind.NO_RIGHT, "no right"))
        log.append_now(SOURCE, [event(11)])
        found: list[Part | Refusal] = []
        async with asyncio.timeout(WAIT):
            while not any(isinstance(one, Refusal) for one in found) or not numbers(found):
                found += await both.fetch(0.2)
        assert [one.partition for one in found if isinstance(one, Refusal)] == [FIRST]
        assert await taken(second, 1) == [11]
        assert await both.fetch(0.0) == []
        log.refuse(FIRST, None)
        log.append_now(SOURCE, [event(12)])
        both.add({FIRST: 5}, await identities(log))
        assert await taken(both, 1) == [12]


async def test_a_log_that_is_away_is_told_to_all_and_followed_anew() -> None:
    log = filled(4)
    shared = Sources(log)
    start = dict.fromkeys((FIRST, SECOND), 0)
    async with following(log, shared, start) as a, following(log, shared, start) as b:
        assert [len(await taken(one, 4)) for one in (a, b)] == [4, 4]
        log.available = False
        for one in (a, b):
            with pytest.raises(LogUnavailable):
                await one.fetch(WAIT)
        log.available = True
        async with following(log, shared, start) as c:
            assert sorted(await taken(c, 4)) == [0, 1, 2, 3]
    assert not shared._read


async def test_a_topic_that_was_created_again_is_another_one() -> None:
    log = filled(100)
    shared = Sources(log)
    async with following(log, shared, {FIRST: 0}) as old:
        assert len(await taken(old, 50)) == 50
        log.delete_topic(SOURCE)
        log.create_topic(SOURCE, 2)
        log.append_now(SOURCE, [NewRecord(b'{"n":7}', partition=0)])
        async with following(log, shared, {FIRST: 0}) as new:
            assert await taken(new, 1) == [7]


async def test_a_log_that_was_cut_back_is_told_to_one_who_comes_back() -> None:
    log = filled(20)
    shared = Sources(log)
    async with following(log, shared, {FIRST: 0}) as one:
        (part,) = await one.fetch(WAIT)
        assert isinstance(part, Part)
        log.cut(SOURCE, 0, 5)
        log.append_now(SOURCE, [NewRecord(b'{"n":%d}' % number, partition=0) for number in range(100, 110)])
        async with following(log, shared, {FIRST: 5}) as other:
            assert await taken(other, 10) == list(range(100, 110))
            one.add({FIRST: part.position}, await identities(log), {FIRST: part.stamp})
            (refusal,) = await one.fetch(WAIT)
            assert isinstance(refusal, Refusal)
            assert (refusal.trouble.kind, refusal.trouble.offset) == (Kind.CUT, 5)


async def test_one_who_comes_back_shares_again_once_the_log_has_said_that_nothing_is_lost() -> None:
    log = filled(20)
    shared = Sources(log)
    async with following(log, shared, {FIRST: 0}) as one, following(log, shared, {FIRST: 0}) as other:
        (part,) = await one.fetch(WAIT)
        assert isinstance(part, Part)
        assert len(await taken(other, 10)) == 10
        one.add({FIRST: part.position}, await identities(log), {FIRST: part.stamp})
        log.append_now(SOURCE, [event(20)])
        assert [await taken(each, 1) for each in (one, other)] == [[20], [20]]
        brought = log.brought
        log.append_now(SOURCE, [event(22)])
        assert [await taken(each, 1) for each in (one, other)] == [[22], [22]]
        assert log.brought == brought + 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(15))
async def test_everybody_gets_each_record_once_in_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HOLD_SECONDS", 0.001)
    monkeypatch.setattr(room, "ALONE_SECONDS", 0.001)
    monkeypatch.setattr(room, "HELD_RECORDS", 30)
    monkeypatch.setattr(room, "BATCH_RECORDS", 10)
    chance, log, count = random.Random(seed), filled(200), 200
    shared = Sources(log)
    told = await identities(log)
    at: dict[Follower, dict[TopicPartition, int]] = {}

    async def some(follower: Follower) -> None:
        for part in await follower.fetch(0.0, chance.choice([1, 10, 50])):
            assert isinstance(part, Part)
            place = at[follower]
            assert part.start == place[part.partition]
            offsets = [record.offset for record, _ in part.records]
            assert offsets == list(range(part.start, part.position))
            place[part.partition] = part.position

    for _ in range(300):
        step = chance.random()
        if step < 0.05 and len(at) < 6:
            one = shared.follower()
            at[one] = {FIRST: chance.randrange(count // 2), SECOND: chance.randrange(count // 2)}
            one.add(at[one], told)
        elif step < 0.07 and at:
            gone = chance.choice(list(at))
            del at[gone]
            await gone.close()
        elif step < 0.2:
            more = chance.choice([2, 20])
            log.append_now(SOURCE, [event(number) for number in range(count, count + more)])
            count += more
        elif step < 0.3:
            await asyncio.sleep(0.002)
        elif at:
            await some(chance.choice(list(at)))
    async with asyncio.timeout(WAIT):
        for one, place in at.items():
            while sum(place.values()) < count:
                await some(one)
                await asyncio.sleep(0)
    for one in list(at):
        await one.close()
    assert not shared._read
