"""Reads the ring with frames of one's own, where the range ends or begins in the middle of the others' frames."""

from __future__ import annotations

from gateway.cooperative import give_way
from gateway.hub.segment import Segment
from gateway.observability import telemetry
from gateway.subscription.reader import Reader
from gateway.subscription.subscription import Subscription


async def follow(reader: Reader, subscription: Subscription, number: int) -> None:
    """Read the ring with frames of one's own: the range ends, or begins in the middle of what others get."""
    ring = reader.hub.ring
    while reader.is_current():
        segment = ring.segment(number)
        if segment is None:
            if number < ring.oldest:
                return
            if not ring.open.items and await reader.finish_until(subscription, reader.read_in_ring(subscription)):
                return
            if number >= ring.open.number:
                await reader.wait_for_change(subscription)
            await give_way()
            continue
        room = segment.size_of(subscription.request.selection.topics)
        if not await reader.writer.reserve(room, subscription.cursor.identifier):
            return
        try:
            if not await _send(reader, subscription, segment):
                return
        finally:
            reader.writer.release()
        number += 1
        await reader.repay(subscription)
        await give_way()
        if reader.is_aligned(subscription, number):
            return


async def _send(reader: Reader, subscription: Subscription, segment: Segment) -> bool:
    """Write what is wanted of a segment; False where the position means something else by now."""
    feed = reader.feed
    frames: list[bytes] = []
    judged = await reader.judge.segment(feed, segment)
    if not reader.is_current():
        return False
    for item, data in feed.selected(segment, None if judged is None else judged.chosen):
        subscription.offer(item.partition, item.consumed, data, frames)
    telemetry.tally.events += len(frames)
    telemetry.tally.bytes += sum(map(len, frames))
    if frames:
        await reader.writer.write(b"".join(frames))
    else:
        await reader.writer.beat(subscription.identifier)
    return True
