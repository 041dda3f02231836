"""The past is bounded in bytes."""

from __future__ import annotations

import tracemalloc

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.hub import history as history_module
from gateway.hub.history import History
from gateway.hub.history_segment import HistorySegment
from gateway.hub.past import PARSED_BYTES, SEGMENT_BYTES, Past
from gateway.model.record import NewRecord, TopicPartition, size_of
from tests.eventlog.kit import existing

LARGE = SEGMENT_BYTES // 4


async def test_a_history_segment_of_large_events_ends_by_its_bytes() -> None:
    log = MemoryLog()
    log.create_topic("t", 1)
    log.append_now("t", [NewRecord(b'{"n":"%b"}' % (b"x" * LARGE), None, n, 0) for n in range(20)])
    identity = frozenset({("t", existing(await log.describe(["t"]))["t"].identity)})
    past = Past(log, 4, 1 << 30)
    positions = {TopicPartition("t", 0): 0}
    offsets: list[int] = []
    while True:
        found = past.read(positions, identity, {})
        segment = found if isinstance(found, HistorySegment) else await found
        if segment.positions == positions:
            break
        assert sum(map(size_of, segment.records)) < SEGMENT_BYTES + 2 * LARGE
        offsets += [record.offset for record in segment.records]
        positions = dict(segment.positions)
    assert offsets == list(range(20))
    await past.close()


async def test_what_waits_to_be_merged_is_bounded_over_all_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "HISTORY_BYTES", 10_000)
    log = MemoryLog()
    log.create_topic("t", 8)
    for part in range(8):
        log.append_now("t", [NewRecord(b'{"n":"%b"}' % (b"x" * 1000), None, 100 * part + n, part) for n in range(50)])
    partitions = [TopicPartition("t", part) for part in range(8)]
    history = History(
        await log.reader(dict.fromkeys(partitions, 0)), dict.fromkeys(partitions, 0), dict.fromkeys(partitions, 50)
    )
    count = 0
    while not history.finished:
        count += sum(len(records) for _, records in await history.fetch(1.0))
        assert history.size <= 10_000 + 8 * 1100
    assert (count, history.size) == (400, 0)


async def test_what_a_waiting_reader_holds_is_counted() -> None:
    log = MemoryLog()
    log.create_topic("t", 2)
    for part in range(2):
        log.append_now("t", [NewRecord(b'{"n":"%b"}' % (b"x" * LARGE), None, n, part) for n in range(9)])
    identity = frozenset({("t", existing(await log.describe(["t"]))["t"].identity)})
    past = Past(log, 4, 1 << 30)
    positions = {TopicPartition("t", part): 0 for part in range(2)}
    while True:
        found = past.read(positions, identity, {})
        segment = found if isinstance(found, HistorySegment) else await found
        for frontier in past._frontiers.values():
            assert frontier._held == sum(size_of(record) for (_, records), _ in frontier._runs for record in records)
        if segment.positions == positions:
            break
        positions = dict(segment.positions)
    assert past.waiting_bytes == 0
    await past.close()


@pytest.mark.long
@pytest.mark.parametrize("count", [3000, 150_000], ids=["of 9 KB", "of 450 KB"])
async def test_parsed_events_are_kept_by_bytes(count: int) -> None:
    """Each byte of these takes twenty once it is parsed."""
    log = MemoryLog()
    log.create_topic("t", 1)
    dense = b'{"a":[' + b",".join([b"{}"] * count) + b"]}"
    total = 4_000_000
    log.append_now("t", [NewRecord(dense, None, n, 0) for n in range(total // len(dense))])
    identity = frozenset({("t", existing(await log.describe(["t"]))["t"].identity)})
    past = Past(log, 4, 1 << 30)
    positions = {TopicPartition("t", 0): 0}
    read = 0
    tracemalloc.start()
    while True:
        found = past.read(positions, identity, {}, parsed=True)
        segment = found if isinstance(found, HistorySegment) else await found
        if segment.positions == positions:
            break
        for index in range(len(segment.records)):
            assert segment.subject(index).event["a"]
            read += 1
        positions = dict(segment.positions)
        kept, _ = tracemalloc.get_traced_memory()
        assert kept <= PARSED_BYTES + 2 * SEGMENT_BYTES + 25 * len(dense)
    tracemalloc.stop()
    assert read == total // len(dense)
    await past.close()
