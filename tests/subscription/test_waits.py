"""What happens to a session while it waits for its client, or for what its filter has taken to be paid for."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import zlib
from typing import Any

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.feed.selection import Selection
from gateway.filters.compile import FilterBounds, compile_filter
from gateway.hub.history_segment import HistorySegment
from gateway.hub.ring import Ring
from gateway.model.position import ConsumedPosition, PositionEncoder
from gateway.model.record import NewRecord, TopicPartition
from gateway.server.stream import StreamConnection
from gateway.subscription.origin import Origin, Start
from gateway.subscription.session import Session
from gateway.subscription.subscription import Request, Subscription
from gateway.wire.sse import SSE
from tests.kit.frames import FrameReader
from tests.kit.waiting import becomes
from tests.subscription.client import FakeSink, unchunked
from tests.subscription.test_session import PATIENCE, Site, event, reads

EAST, WEST = TopicPartition("east", 0), TopicPartition("west", 0)
BOTH = frozenset({"east", "west"})


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create_topic("east")
    log.create_topic("west")
    return log


class BackloggedTransport(asyncio.Transport):
    """One whose client has not read what was sent before."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.backlog = 100_000
        self._protocol: asyncio.BaseProtocol | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def get_write_buffer_size(self) -> int:
        return self.backlog

    def is_closing(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol


async def test_what_comes_while_the_opening_waits_for_the_client_is_sent(log: MemoryLog) -> None:
    async with Site(log).running() as site:
        log.append_now("east", [event(0, 1000)])
        await becomes(lambda: site.hub.ring.end(EAST) == 1)
        session = Session(site.services, Request(Selection(BOTH), SSE))
        assert await session.prepare()
        transport = BackloggedTransport()
        connection: Any = StreamConnection(transport, True, lambda: None)
        task = asyncio.create_task(session.run(connection))
        # Until the session waits for the client, which is nothing that could be asked for.
        for _ in range(20):
            await asyncio.sleep(0)
        log.append_now("east", [event(number, 1000 + number) for number in (1, 2, 3)])
        await becomes(lambda: site.hub.ring.end(EAST) == 4)
        assert transport.data == b""
        transport.backlog = 0
        connection.resume_writing()

        def come() -> list[int]:
            reader = FrameReader(False)
            reader.feed(unchunked(transport.data))
            return [frame.document["n"] for frame in reader.frames if frame.event == "message" and frame.data]

        await becomes(lambda: come() == [1, 2, 3])
        log.append_now("east", [event(4, 1004)])
        await becomes(lambda: come() == [1, 2, 3, 4])
        connection.connection_lost(None)
        async with asyncio.timeout(PATIENCE):
            await task
        session.close()


@pytest.mark.parametrize("leaves", [True, False], ids=["the client leaves", "the process stops"])
async def test_who_owes_for_a_filter_ends_at_once(log: MemoryLog, leaves: bool) -> None:
    async with Site(log).running() as site:
        services = dataclasses.replace(site.services, heartbeat=60.0)
        log.append_now("east", [event(number, 1000 + number) for number in range(5)])
        await becomes(lambda: site.hub.ring.end(EAST) == 5)
        request = Request(Selection(BOTH, compile_filter("event.n >= 0", FilterBounds())), SSE, Origin(since=0))
        session, sink = Session(services, request, charge=lambda steps: 50.0), FakeSink()
        assert await session.prepare()
        task = asyncio.create_task(session.run(sink))
        await reads(sink, 5)
        await becomes(lambda: session.judge.owed > 0)
        if leaves:
            sink.leave()
        else:
            session.stop()
        async with asyncio.timeout(PATIENCE):
            await task
        session.close()


class RawSink(FakeSink):
    """Keeps what it was sent as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = b""

    def drain(self) -> None:
        """See FakeSink."""
        self.raw += b"".join(self._pending)
        self._pending.clear()
        self._size = 0


@pytest.mark.parametrize("ring_bytes", [1, 10**7], ids=["from the log", "from the ring"])
async def test_a_compressed_response_is_whole_where_its_filter_runs_out_of_steps(
    log: MemoryLog, ring_bytes: int
) -> None:
    def large(number: int) -> NewRecord:
        items = list(range(400)) if number % 3 else [1]
        return NewRecord(json.dumps({"n": number, "items": items}).encode(), None, 1000 + number)

    async with Site(log, ring_bytes=ring_bytes, flush_bytes=2000).running() as site:
        for begin in range(0, 300, 3):
            log.append_now("east", [large(begin + number) for number in range(3)])
            await asyncio.sleep(0)
        await becomes(lambda: site.hub.ring.end(EAST) == 300)
        chosen = compile_filter("event.items.all(x, x >= 0)", FilterBounds(filter_max_steps=1000))
        session = Session(site.services, Request(Selection(BOTH, chosen), SSE, Origin(since=0), gzip=True))
        sink = RawSink()
        await session.prepare()
        async with asyncio.timeout(PATIENCE):
            await session.run(sink)
        session.close()
        assert session.exhausted is not None
        # A checksum that is wrong raises.
        body = zlib.decompressobj(31).decompress(sink.raw)
        assert body.count(b"event: error") == 1


async def test_blocks_of_the_past_hold_no_records(log: MemoryLog) -> None:
    """Else a filter that matches little would keep all that it has read, and count for nothing."""
    async with Site(log, ring_bytes=1).running() as site:
        for begin in range(0, 6000, 500):
            log.append_now("east", [event(begin + number, 1000 + begin + number) for number in range(500)])
            await asyncio.sleep(0)
        await becomes(lambda: site.hub.ring.end(EAST) == 6000)
        request = Request(Selection(BOTH, compile_filter("event.n < 0", FilterBounds())), SSE, Origin(since=0))
        session, sink = Session(site.services, request), FakeSink()
        await session.prepare()
        task = asyncio.create_task(session.run(sink))
        await becomes(lambda: session.subscription is not None and session.subscription.next_offsets[EAST] == 6000)
        sink.leave()
        async with asyncio.timeout(PATIENCE):
            await task
        session.close()
        keys = [key for key, _ in site.broadcast.cache.entries()]
        assert keys
        reached = [one for key in keys for one in gc.get_referents(*key)]
        assert not any(isinstance(one, HistorySegment) for one in (*reached, *(part for key in keys for part in key)))


def test_a_partition_that_has_come_to_its_end_is_not_waited_for() -> None:
    encoder = PositionEncoder({EAST: False, WEST: False})
    start = Start({EAST: ConsumedPosition(4, 1000, 1), WEST: ConsumedPosition(4, 1000, 1)}, {EAST: 5, WEST: 5})
    subscription = Subscription(Request(Selection(BOTH), SSE, until=2000), encoder, start)
    subscription.offer(EAST, ConsumedPosition(5, 3000, 1), b"{}", [])
    assert subscription.open_partitions() == [WEST]
    ring = Ring(10)
    for partition in (EAST, WEST):
        ring.add(partition, ConsumedPosition(9, 9000, 1), 10)
    subscription.suspend(ring, BOTH, {EAST, WEST})
    assert list(subscription.waiting) == [WEST]
