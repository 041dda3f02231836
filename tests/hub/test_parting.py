"""Where a log that was cut back differs from what was read of it; records that were erased since do not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import Bounds
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.parting import find_cut
from gateway.hub.ring import Ring
from gateway.hub.segment import Segment
from gateway.model.position import NOTHING_READ
from gateway.model.record import NewRecord, TopicPartition
from tests.hub.test_discovery import running, until

ALPHA = TopicPartition("alpha", 0)


def numbered(first: int, end: int, start: int = 0) -> list[NewRecord]:
    return [NewRecord(b'{"n":%d}' % n, b"k%d" % (n % 3), start + n, 0) for n in range(first, end)]


@pytest.mark.parametrize("erased", [{9}, {0, 3, 4, 9}, set(range(10)), {7, 8, 9}])
async def test_the_cut_is_found_among_erased_records(erased: set[int]) -> None:
    log, ring = MemoryLog(), Ring(1_000_000)
    log.create_topic("alpha")
    ring.add(ALPHA, NOTHING_READ, 0)
    for n, new in enumerate(numbered(0, 10, start=1000)):
        log.append_now("alpha", [new])
        ring.append(ALPHA, n, 1000 + n, new.key, new.value, False)
    ring.close()
    await log.erase("alpha", lambda record: record.offset in erased)
    log.cut("alpha", 0, 7)
    log.append_now("alpha", numbered(7, 12, start=2000))
    await log.erase("alpha", lambda record: record.offset == 8)
    gap = await find_cut(log, ring, ALPHA, Bounds(0, 12), -1)
    assert (gap.requested, gap.resumed) == (9, 7)


async def test_an_erasure_beside_a_hub_repeats_nothing(tmp_path: Path) -> None:
    log, other = (SqliteLog(tmp_path / "events.db") for _ in range(2))
    await log.create("alpha")
    hub = Hub(log, {"alpha": False}, SystemClock(), HubOptions(flush_interval=0.0, metadata_interval=0.05))
    found: list[int] = []

    def deliver(segment: Segment) -> None:
        assert segment.gap is None
        found.extend(item.consumed.offset for item in segment.items)

    hub.deliver = deliver
    async with running(hub):
        await log.append("alpha", numbered(0, 8))
        await until(lambda: len(found) == 8, hub)
        assert await other.erase("alpha", lambda record: record.offset in (1, 3, 7)) == 3
        await log.append("alpha", numbered(8, 9))
        await until(lambda: len(found) >= 9, hub)
    assert found == list(range(9))
    await asyncio.gather(log.close(), other.close())
