"""How long the hub rests after a delivery."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.hub import ordered as ordered_module
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.pace import Pace
from gateway.model.position import NOTHING_READ
from gateway.model.record import NewRecord, Record, TopicPartition

PATIENCE = 10.0


@pytest.mark.parametrize(
    ("spacing", "took", "seconds_a_byte", "rest"),
    [
        # A thousand clients at ten events a second: the next event comes alone, and must not be late.
        (0.1, 0.012, 1e-4, 0.0),
        # At a hundred a second ten of them share a write.
        (0.01, 0.012, 1e-5, 0.088),
        # Few clients: a rest as long as the delivery deserves.
        (0.0001, 0.0002, 1e-6, 0.0448),
        # Fewer than two events would come in it.
        (0.03, 0.0002, 1e-5, 0.0),
        # So many bytes that `flush_bytes` are there sooner.
        (0.001, 0.012, 1e-6, 0.0535),
        # A delivery that takes longer than the interval.
        (0.001, 0.2, 1e-6, 0.0),
    ],
)
def test_a_rest_is_as_long_as_it_is_worth(spacing: float, took: float, seconds_a_byte: float, rest: float) -> None:
    pace = Pace(flush_interval=0.1, flush_bytes=65_500)
    pace.spacing = spacing
    assert pace.rest(took, seconds_a_byte) == pytest.approx(rest)


@pytest.mark.parametrize(("events", "segments"), [(1, [1]), (12, [12]), (45, [20, 20, 5])])
async def test_what_is_a_little_more_than_a_flush_shares_its_write(events: int, segments: list[int]) -> None:
    """A rest is as long as `flush_bytes` take to come, so that a read brings a little less or a little more."""
    place = TopicPartition("one", 0)
    value = b'{"pad":"%b"}' % (b"x" * 590)
    hub = Hub(MemoryLog(), {"one": False}, SystemClock(), HubOptions(flush_bytes=10_000))
    hub.ring.add(place, NOTHING_READ, 0)
    delivered: list[int] = []
    hub.deliver = lambda segment: delivered.append(len(segment.items))
    await hub._take(place, [Record("one", 0, offset, 1, None, value) for offset in range(events)])
    hub.flush()
    assert delivered == segments


async def test_there_is_no_rest_while_the_log_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the hub would read so many records a rest, and never catch up with a log that is faster."""
    monkeypatch.setattr(ordered_module, "FETCH_RECORDS", 3)
    seconds = count(0.0, 1000.0)
    log = MemoryLog()
    await log.create("one", 1)
    hub = Hub(log, {"one": False}, SystemClock(), HubOptions(flush_interval=1e6), used=lambda: next(seconds))
    delivered: list[int] = []
    hub.deliver = lambda segment: delivered.append(len(segment.items))
    running = asyncio.create_task(hub.run())
    await hub.filled.wait()
    await log.append("one", [NewRecord(b"{}", None, 1) for _ in range(10)])
    async with asyncio.timeout(PATIENCE):
        while sum(delivered) < 10:
            await hub.change()
    running.cancel()
    await asyncio.wait([running])
    assert delivered == [3, 3, 3, 1]
