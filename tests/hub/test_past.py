"""The past, read once for all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LogUnavailable, OffsetOutOfRange, Refused, TopicAbsent
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.memory.reader import MemoryReader
from gateway.eventlog.port import NO_STAMPS
from gateway.eventlog.trouble import Kind, Trouble, cut_back
from gateway.hub import past as past_module
from gateway.hub.history_segment import HistorySegment
from gateway.hub.past import Past
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import existing
from tests.kit.events import numbered

PARTITIONS = [TopicPartition("alpha", number) for number in range(3)]


class CountingLog(MemoryLog):
    """Counts the readers that are open, and those that ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0
        self.open_now = 0
        self.most = 0

    async def reader(
        self, positions: Mapping[TopicPartition, int], stamps: Mapping[TopicPartition, int] = NO_STAMPS
    ) -> MemoryReader:
        """See EventLog."""
        self.opened += 1
        self.open_now += 1
        self.most = max(self.most, self.open_now)
        reader = await super().reader(positions, stamps)
        close = reader.close

        async def counted() -> None:
            self.open_now -= 1
            await close()

        reader.close = counted  # type: ignore[method-assign]
        return reader


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "SEGMENT_RECORDS", 4)
    monkeypatch.setattr(past_module, "MOST_RECORDS", 16)


def log_of(*partitions: int) -> CountingLog:
    """A topic with so many records in each partition, one a millisecond, across partitions at the same times."""
    log = CountingLog()
    log.create_topic("alpha", len(partitions))
    for number, count in enumerate(partitions):
        log.append_now("alpha", [NewRecord(numbered(index), None, index, number) for index in range(count)])
    return log


async def read(
    past: Past,
    positions: Mapping[TopicPartition, int],
    identity: str | None = None,
    ends: Mapping[TopicPartition, int] | None = None,
    parsed: bool = True,
) -> HistorySegment:
    if identity is None:
        identity = existing(await past._log.describe(["alpha"]))["alpha"].identity
    found = past.read(positions, frozenset({("alpha", identity)}), ends or {}, parsed)
    return found if isinstance(found, HistorySegment) else await found


async def read_on(past: Past, positions: Mapping[TopicPartition, int]) -> list[HistorySegment]:
    """All history segments up to the end of the log."""
    segments: list[HistorySegment] = []
    while True:
        segment = await read(past, positions)
        if segment.positions == positions:
            return segments
        segments.append(segment)
        positions = segment.positions


def offsets(segments: list[HistorySegment], partition: TopicPartition) -> list[int]:
    return [record.offset for segment in segments for at, run in segment.runs for record in run if at == partition]


async def test_many_at_once_read_the_log_once() -> None:
    log = log_of(40)
    past = Past(log, 2, 1 << 20)
    ways = await asyncio.gather(*[read_on(past, {PARTITIONS[0]: 0}) for _ in range(50)])
    for way in ways:
        assert offsets(way, PARTITIONS[0]) == list(range(40))
        assert [id(segment) for segment in way] == [id(segment) for segment in ways[0]]
    assert log.opened == 1
    await past.close()
    assert log.open_now == 0


async def test_those_who_begin_elsewhere_meet_at_the_next_end() -> None:
    past = Past(log_of(40), 4, 1 << 20)
    first = await read_on(past, {PARTITIONS[0]: 0})
    loaded = past.loaded
    second = await read_on(past, {PARTITIONS[0]: 6})
    assert offsets(second, PARTITIONS[0]) == list(range(6, 40))
    assert past.loaded <= loaded + 2, "one history segment of its own, and a look at the end"
    assert second[1:] == first[2:]
    await past.close()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.data())
def test_every_reader_gets_everything_once_and_in_order(counts: list[int], data: st.DataObject) -> None:
    begins = [
        {partition: data.draw(st.integers(0, count)) for partition, count in zip(PARTITIONS, counts, strict=False)}
        for _ in range(3)
    ]
    holes = {partition: data.draw(st.sets(st.integers(0, 30))) for partition in begins[0]}

    async def run() -> None:
        log = log_of(*counts)
        for partition, gone in holes.items():
            log.compact(partition.topic, partition.partition, gone)
        past = Past(log, 2, data.draw(st.sampled_from([0, 3000, 1 << 20])))
        for way, begin in zip(await asyncio.gather(*[read_on(past, begin) for begin in begins]), begins, strict=True):
            for partition, count in zip(PARTITIONS, counts, strict=False):
                wanted = [offset for offset in range(begin[partition], count) if offset not in holes[partition]]
                assert offsets(way, partition) == wanted
            times = [record.timestamp for segment in way for record in segment.records]
            assert times == sorted(times)
            assert not way or way[-1].positions == dict(zip(PARTITIONS, counts, strict=False))
        await past.close()
        assert log.open_now == 0

    asyncio.run(run())


async def test_markers_at_the_end_are_passed_over_and_what_is_appended_is_found() -> None:
    log = log_of(3)
    past = Past(log, 2, 1 << 20)
    log.mark("alpha", 0, 5)
    [segment] = await read_on(past, {PARTITIONS[0]: 0})
    assert segment.positions == {PARTITIONS[0]: 8}
    log.append_now("alpha", [NewRecord(b'{"late":1}', None, 9, 0)])
    [segment] = await read_on(past, segment.positions)
    assert [record.offset for record in segment.records] == [8]
    await past.close()


async def test_memory_and_readers_are_bounded() -> None:
    log = log_of(200)
    past = Past(log, 3, 5000)
    await asyncio.gather(*[read_on(past, {PARTITIONS[0]: begin}) for begin in range(0, 200, 7)])
    assert past.size <= 5000
    assert log.most <= 2 * 3, "those that read, and those that wait"
    await past.close()
    assert log.open_now == 0
    assert sum(segment.events is not None for segment in past._parsed) <= past_module.PARSED_SEGMENTS


async def test_a_reader_that_nobody_wants_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_module, "IDLE_SECONDS", 0.0)
    log = log_of(40)
    past = Past(log, 2, 1 << 20)
    segment = await read(past, {PARTITIONS[0]: 0})
    while log.open_now:  # noqa: ASYNC110
        await asyncio.sleep(0)
    rest = await read_on(past, segment.positions)
    assert offsets([segment, *rest], PARTITIONS[0]) == list(range(40))
    await past.close()


async def test_another_topic_of_the_same_name_has_another_past() -> None:
    log = log_of(8)
    past = Past(log, 2, 1 << 20)
    old = existing(await log.describe(["alpha"]))["alpha"].identity
    first = await read(past, {PARTITIONS[0]: 0})
    log.delete_topic("alpha")
    with pytest.raises(TopicAbsent):
        await read(past, first.positions, old)
    log.create_topic("alpha")
    log.append_now("alpha", [NewRecord(b'{"new":%d}' % number, None, number, 0) for number in range(8)])
    with pytest.raises(TopicAbsent):
        await read(past, {PARTITIONS[0]: 1}, old)
    assert (await read(past, {PARTITIONS[0]: 0})).records[0].value == b'{"new":0}'
    assert await read(past, {PARTITIONS[0]: 0}, old) is first
    await past.close()
    assert log.open_now == 0


async def test_what_goes_wrong_is_told_to_all_who_wait_and_not_remembered() -> None:
    log = log_of(8)
    past = Past(log, 2, 1 << 20)
    log.available = False
    identity = log.topic("alpha").identity
    told = await asyncio.gather(*[read(past, {PARTITIONS[0]: 0}, identity) for _ in range(3)], return_exceptions=True)
    assert [type(error) for error in told] == [LogUnavailable] * 3
    log.available = True
    log.truncate("alpha", 0, 2)
    with pytest.raises(OffsetOutOfRange):
        await read(past, {PARTITIONS[0]: 0})
    assert [record.offset for record in (await read(past, {PARTITIONS[0]: 2})).records] == [2, 3]
    await past.close()
    assert log.open_now == 0


async def test_a_client_that_leaves_does_not_take_the_history_segment_with_it() -> None:
    log = log_of(8)
    past = Past(log, 2, 1 << 20)
    found = past.read({PARTITIONS[0]: 0}, frozenset({("alpha", log.topic("alpha").identity)}), {})
    assert not isinstance(found, HistorySegment)
    waiting = asyncio.create_task(asyncio.wait([found]))
    await asyncio.sleep(0)
    waiting.cancel()
    assert len((await found).records) == 4
    await past.close()


DAMAGE = Trouble(Kind.UNREADABLE, "a batch is damaged", 5, 7)


async def read_until_refused(past: Past, positions: Mapping[TopicPartition, int]) -> list[HistorySegment]:
    """The history segments before what cannot be read."""
    segments: list[HistorySegment] = []
    while True:
        try:
            segments.append(await read(past, positions))
        except Refused:
            return segments
        assert segments[-1].positions != positions
        positions = segments[-1].positions


async def test_what_stands_before_a_damaged_batch_is_given_first() -> None:
    log = log_of(10)
    log.spoil(PARTITIONS[0], DAMAGE)
    past = Past(log, 2, 1 << 20)
    for begin in (0, 2, 4, 5):
        segments = await read_until_refused(past, {PARTITIONS[0]: begin})
        assert offsets(segments, PARTITIONS[0]) == list(range(begin, 5))
    assert segments == []
    assert offsets(await read_on(past, {PARTITIONS[0]: 7}), PARTITIONS[0]) == [7, 8, 9]
    await past.close()
    assert log.open_now == 0


@given(st.lists(st.integers(0, 30), min_size=2, max_size=3), st.sets(st.integers(0, 2), min_size=1), st.data())
def test_beside_damage_nothing_is_lost_or_repeated(counts: list[int], spoilt: set[int], data: st.DataObject) -> None:
    """Who replays goes on without what is damaged, and comes back to it."""
    partitions = PARTITIONS[: len(counts)]
    damaged = {partitions[number] for number in spoilt if number < len(counts) and counts[number] > 5}
    begin = {partition: data.draw(st.integers(0, 4)) for partition in partitions}

    async def run() -> None:
        log = log_of(*counts)
        for partition in damaged:
            log.spoil(partition, DAMAGE)
        past = Past(log, 2, data.draw(st.sampled_from([0, 1 << 20])))
        begins = {partition: min(at, counts[partition.partition]) for partition, at in begin.items()}
        segments = await read_until_refused(past, begins) if damaged else []
        reached = {**begins, **(segments[-1].positions if segments else {})}
        for partition in damaged:
            assert offsets(segments, partition) == list(range(begins[partition], 5))
            assert reached[partition] == 5
        if sound := {partition: at for partition, at in reached.items() if partition not in damaged}:
            segments += await read_on(past, sound)
        for partition in sound:
            assert offsets(segments, partition) == list(range(begins[partition], counts[partition.partition]))
        await past.close()
        assert log.open_now == 0

    asyncio.run(run())


async def test_what_was_read_beside_damage_is_given_to_nobody_else() -> None:
    log = log_of(10, 10)
    log.spoil(PARTITIONS[0], DAMAGE)
    past = Past(log, 2, 1 << 20)
    start = {PARTITIONS[0]: 0, PARTITIONS[1]: 0}
    await read_until_refused(past, start)
    log.spoil(PARTITIONS[0], None)
    times = [record.timestamp for segment in await read_on(past, start) for record in segment.records]
    assert times == sorted([*range(10), *range(10)])
    await past.close()


async def test_where_the_log_is_not_what_it_was_nothing_is_given_before_that_is_told() -> None:
    log = log_of(10)
    log.spoil(PARTITIONS[0], cut_back(PARTITIONS[0], 6))
    past = Past(log, 2, 1 << 20)
    with pytest.raises(OffsetOutOfRange):
        await read(past, {PARTITIONS[0]: 5})
    await past.close()


VALUES = (b'{"a":\n1}', b"no event", None, b'{"meta":{"domain":"canary"}}')


async def test_values_are_decoded_once_for_all() -> None:
    log = log_of(0)
    log.append_now("alpha", [NewRecord(value, b"k", 5, 0) for value in VALUES])
    past = Past(log, 2, 1 << 20)
    segment = await read(past, {PARTITIONS[0]: 0})
    assert [record.value for record in segment.records] == [b'{"a": 1}', None, None, b'{"meta":{"domain":"canary"}}']
    assert segment.canaries == {3}
    kept = [segment.subject(index) for index in (0, 3)]
    assert segment.subject(0) is kept[0]
    segment.forget()
    for subject, again in zip(kept, [segment.subject(index) for index in (0, 3)], strict=True):
        assert again.event == subject.event
        assert (again.offset, again.timestamp, again.key) == (subject.offset, 5, "k")
    assert segment.records[0].key == b"k"
    await past.close()


async def test_what_came_late_is_merged_for_those_who_came_after_it() -> None:
    log = log_of(6, 0)
    past = Past(log, 2, 1 << 20)
    start = {PARTITIONS[0]: 0, PARTITIONS[1]: 0}
    early = [record.timestamp for segment in await read_on(past, start) for record in segment.records]
    assert early == [0, 1, 2, 3, 4, 5]
    log.append_now("alpha", [NewRecord(b'{"late":1}', None, 2, 1)])
    ends = {PARTITIONS[0]: 6, PARTITIONS[1]: 1}
    times: list[int] = []
    while start != ends:
        segment = await read(past, start, ends=ends)
        assert segment.covers(ends)
        times += [record.timestamp for record in segment.records]
        start = dict(segment.positions)
    assert times == [0, 1, 2, 2, 3, 4, 5]
    await past.close()


async def test_what_a_reader_has_fetched_is_merged_anew_for_those_who_come_later() -> None:
    log = log_of(6, 0)
    past = Past(log, 2, 1 << 20)
    early = await read(past, {PARTITIONS[0]: 0, PARTITIONS[1]: 0}, ends={PARTITIONS[0]: 6})
    assert early.positions == {PARTITIONS[0]: 4, PARTITIONS[1]: 0}
    # The reader waits there, and has fetched what comes next.
    log.append_now("alpha", [NewRecord(b'{"late":1}', None, 3, 1)])
    late = await read(past, early.positions, ends={PARTITIONS[0]: 6, PARTITIONS[1]: 1})
    assert [record.timestamp for record in late.records] == [3, 4, 5]
    assert log.opened == 1
    await past.close()


async def test_what_nobody_looks_into_is_checked_all_the_same() -> None:
    log = log_of(0)
    log.append_now("alpha", [NewRecord(value, None, 5, 0, (("name", b"value"),)) for value in VALUES])
    past = Past(log, 2, 1 << 20)
    segment = await read(past, {PARTITIONS[0]: 0}, parsed=False)
    assert [record.value for record in segment.records] == [b'{"a": 1}', None, None, b'{"meta":{"domain":"canary"}}']
    assert segment.canaries == {3}
    assert segment.runs == [(PARTITIONS[0], segment.records)]
    assert segment.events is None
    assert segment.subject(0).event == {"a": 1}
    assert all(record.headers == () for record in segment.records), "they would be memory that nobody counts"
    await past.close()
