"""Reads the ring together with others: takes the blocks of the feed up to the newest, and is live then."""

from __future__ import annotations

import asyncio

from gateway.cooperative import give_way
from gateway.feed.feed import Block
from gateway.feed.live import LiveFeed
from gateway.feed.live_clients import LiveClient, SocketSend, Transport
from gateway.observability import telemetry
from gateway.subscription.reader import Reader
from gateway.subscription.response_writer import WRITE_BYTES
from gateway.subscription.subscription import Subscription

STEP_SEGMENTS = 16
"""Segments of the ring after which others get their turn, though nothing in them is to be sent."""


class _ReaderLive(LiveClient):
    """A reader while it is live. Every open stream has one, so it has methods where closures would take more memory."""

    __slots__ = ("_live_feed", "_reader", "_subscription")

    def __init__(
        self, reader: Reader, subscription: Subscription, transport: Transport, send: SocketSend | None
    ) -> None:
        super().__init__(transport, reader.writer.packer, send)
        self._reader = reader
        self._subscription = subscription
        self._live_feed: LiveFeed = reader.live_feed

    def on_release(self, number: int) -> None:
        """Everything before this segment was delivered."""
        self._reader.settle_released(self._subscription, number)

    def leave(self, ending: asyncio.Future[None]) -> None:
        """The connection or the process ends."""
        self._live_feed.leave(self, ending)


async def follow(reader: Reader, subscription: Subscription, number: int) -> None:
    """Take the blocks that all clients of the feed take, up to the newest, and then be written to live."""
    ring = reader.hub.ring
    while reader.is_current():
        if number < ring.open.number:
            room = max(WRITE_BYTES, _size(reader, number))
            if not await reader.writer.reserve(room, subscription.cursor.identifier):
                return
            try:
                # The wait for room may have been so long that the ring has gone on.
                there = reader.is_current() and number >= ring.oldest
                after = await _send(reader, subscription, number, room) if there else None
            finally:
                reader.writer.release()
            if after is None:
                return
            number = after
            await reader.repay(subscription)
        if number >= ring.open.number and reader.is_current():
            await reader.writer.flush()
            if number < ring.open.number or not reader.is_current():
                # The client took its time, and the log has gone on meanwhile.
                continue
            reader.settle(subscription, number)
            number = await _be_live(reader, subscription, number)
            await reader.repay(subscription)
        if not reader.is_current():
            return
        await give_way()
        if number < ring.oldest:
            return


async def _send(reader: Reader, subscription: Subscription, number: int, room: int) -> int | None:
    """Write blocks of about this size in one go. Returns the segment after them, or None if the ring does not hold
    what comes next."""
    ring, topics = reader.hub.ring, subscription.request.selection.topics
    blocks: list[Block] = []
    size = 0
    while size < WRITE_BYTES and len(blocks) < STEP_SEGMENTS and number < ring.open.number:
        segment = ring.segment(number)
        # What is packed is written before anybody else runs.
        full = segment is not None and size + segment.size_of(topics) > room
        if blocks and segment is not None and (full or reader.judge.must_ask(reader.feed, segment)):
            break
        block = await _block(reader, number)
        if block is None:
            return None
        telemetry.tally.events += block.events
        telemetry.tally.bytes += len(block.data)
        blocks.append(block)
        size += len(block.data)
        number += 1
    reader.settle(subscription, number)
    if size:
        # Packed once all are judged: what is packed counts for the checksum of the response, and so has to be sent.
        await reader.writer.write_packed(b"".join(map(reader.writer.packer.pack_block, blocks)))
    else:
        await reader.writer.beat(subscription.identifier)
    return number


def _size(reader: Reader, number: int) -> int:
    segment = reader.hub.ring.segment(number)
    return 0 if segment is None else segment.size_of(reader.request.selection.topics)


async def _block(reader: Reader, number: int) -> Block | None:
    """The block of a segment, judged in steps; None where the ring does not hold the segment, or not any more."""
    feed, ring = reader.feed, reader.hub.ring
    segment = ring.segment(number)
    if segment is not None and reader.judge.must_ask(feed, segment):
        await reader.writer.flush()
    judged = None if segment is None else await reader.judge.segment(feed, segment)
    if segment is None or judged is None:
        return feed.block(number)
    if ring.segment(number) is not segment or not reader.is_current():
        return None
    return feed.block_of_chosen(segment, judged.chosen)


async def _be_live(reader: Reader, subscription: Subscription, number: int) -> int:
    """Be written to while the hub delivers, until the client falls behind or something ends; the next segment then."""
    sink, live_feed = reader.writer.sink, reader.live_feed
    transport = sink.transport
    if transport is None or live_feed.alone_until > reader.services.clock.monotonic():
        await reader.wait_for_change(subscription)
        return number
    client = _ReaderLive(reader, subscription, transport, sink.send)
    if not client.keeps_up:
        # Live delivery does not wait for the client, so that one which does not read must not come back to it.
        await reader.writer.drain()
        return number
    client.charge = reader.judge.pay
    client.holding = reader.writer.holding
    client.released = asyncio.get_running_loop().create_future()
    leave = client.leave
    for ending in (sink.gone, reader.writer.stopping):
        ending.add_done_callback(leave)
    live_feed.add(client, reader.writer.written)
    try:
        number = await client.released
    finally:
        live_feed.remove(client)
        for ending in (sink.gone, reader.writer.stopping):
            ending.remove_done_callback(leave)
    reader.writer.written = client.quiet_since
    return number
