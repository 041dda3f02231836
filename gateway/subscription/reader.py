"""A reader at a position: the state that a session needs whether it reads the ring or the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.feed.feed import Feed
from gateway.feed.judge import Charge, Judge
from gateway.feed.live import LiveFeed
from gateway.model.record import TopicPartition
from gateway.subscription import range_end
from gateway.subscription.response_writer import ResponseWriter
from gateway.subscription.services import Services
from gateway.subscription.subscription import Request, Subscription

RETRY_WAIT = 0.5
"""Seconds between tries of the log."""
LONGEST_RETRY_WAIT = 5.0
"""The same for one partition that the hub can read, and this client cannot: each wait is twice as long, up to this."""


class Reader:
    """One client's: where it stands, and whether that still means what it did."""

    __slots__ = (
        "_retry_at",
        "_retry_wait",
        "astray",
        "epoch",
        "hub",
        "judge",
        "live_feed",
        "request",
        "services",
        "subscription",
        "writer",
    )

    def __init__(self, services: Services, request: Request, charge: Charge | None) -> None:
        self.services = services
        self.hub = services.hub
        self.request = request
        self.judge = Judge(request.selection, services.past.lock, charge)
        self.live_feed: LiveFeed = services.broadcast.join(request.selection, request.format, ids=request.ids)
        self.subscription: Subscription | None = None
        self.writer = ResponseWriter(request, self.hub, services.clock, services.heartbeat, services.held)
        self.epoch = self.hub.ring.epoch
        """The ring's when the position was held against the log."""
        self.astray = False
        """Whether the log does not hold what comes next: then the position is to be held against it again."""
        self._retry_at = 0.0
        self._retry_wait = RETRY_WAIT

    @property
    def feed(self) -> Feed:
        """The feed that makes the blocks of this reader."""
        return self.live_feed.feed

    @property
    def over(self) -> bool:
        """Whether nothing more is to be sent."""
        ended = self.subscription is not None and self.subscription.ended is not None
        return ended or self.writer.over

    def is_current(self) -> bool:
        """Whether the position still means what it did: the partitions, and the log under them, are the same."""
        if self.over or self.live_feed.version != self.hub.version or self.hub.ring.epoch != self.epoch:
            return False
        return self.subscription is None or not self.retry_due(self.subscription)

    def readable(self, subscription: Subscription) -> dict[TopicPartition, int]:
        """The positions in what can be read now."""
        return subscription.readable(self.hub.discovery.existing)

    def held(self, subscription: Subscription) -> dict[TopicPartition, int]:
        """The positions in the ring, even of a topic that was deleted meanwhile."""
        held = self.hub.ring.partitions()
        return {
            partition: next_offset for partition, next_offset in subscription.next_offsets.items() if partition in held
        }

    def read_in_ring(self, subscription: Subscription) -> dict[TopicPartition, int]:
        """How far the log has been read by a client that has read all of the ring, with what holds no record."""
        ring = self.hub.ring
        return {
            partition: max(next_offset, ring.end(partition)) if partition in ring.partitions() else next_offset
            for partition, next_offset in self.readable(subscription).items()
        }

    def is_aligned(self, subscription: Subscription, number: int) -> bool:
        """Whether from this segment on the client gets just what all live clients of its feed get."""
        held = self.hub.ring.partitions()
        if self.request.finite or any(partition in held for partition in subscription.waiting):
            return False
        return self.hub.ring.aligned(number, self.held(subscription))

    def retry_due(self, subscription: Subscription) -> bool:
        """Whether something that is waited for may be had now."""
        if not subscription.waiting or not subscription.awaited(self.hub.discovery.existing, self.hub.sick):
            return False
        return self.services.clock.monotonic() >= self._retry_at

    def retry_later(self) -> None:
        """Try what the client waits for after a while, longer each time."""
        self._retry_at = self.services.clock.monotonic() + self._retry_wait
        self._retry_wait = min(2 * self._retry_wait, LONGEST_RETRY_WAIT)

    def retry_soon(self) -> None:
        """The client has what it waited for; check its next trouble soon."""
        self._retry_wait = RETRY_WAIT

    def settle(self, subscription: Subscription, number: int, interrupted: bool = False) -> None:
        """Everything before this segment was delivered."""
        ring = self.hub.ring
        held = [partition for partition in subscription.next_offsets if partition in ring.partitions()]
        subscription.settle(ring.consumed_at(number, held), interrupted)

    def settle_released(self, subscription: Subscription, number: int) -> None:
        """Everything before this segment was delivered live, a gap included."""
        ring = self.hub.ring
        interrupted, self.epoch = ring.epoch != self.epoch, ring.epoch
        self.settle(subscription, number, interrupted)

    async def repay(self, subscription: Subscription) -> None:
        """Read no further until what the filter took is paid for; the client hears that the stream lives."""
        while self.judge.owed > 0 and not self.over:
            endings: set[asyncio.Future[None]] = {self.writer.sink.gone, self.writer.stopping}
            wait = min(self.judge.owed, self.services.heartbeat)
            await asyncio.wait(endings, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            await self.writer.beat(subscription.identifier)
            self.judge.pay(0)

    async def wait_for_change(self, subscription: Subscription, longest: float = 3600.0) -> None:
        """Wait for news, this many seconds at most. The client receives heartbeats meanwhile."""
        now = self.services.clock.monotonic()
        wait = min(longest, self.services.heartbeat - (now - self.writer.written))
        if subscription.waiting and subscription.awaited(self.hub.discovery.existing, self.hub.sick):
            wait = min(wait, self._retry_at - now)
        if self.request.until is not None:
            wait = min(wait, max(RETRY_WAIT / 5, (self.request.until - self.services.clock.now()) / 1000))
        await self.writer.pause(wait)
        await self.writer.beat(subscription.identifier)

    async def finish_until(self, subscription: Subscription, read: Mapping[TopicPartition, int]) -> bool:
        """Whether the clock has passed `until` and the log, asked itself, holds nothing beyond what has been read;
        then the end is sent."""
        until = self.request.until
        if until is None or self.services.clock.now() < until:
            return False
        if any(
            partition in self.hub.sick or partition.topic in self.hub.discovery.existing
            for partition in subscription.waiting
        ):
            return False
        if not await range_end.is_read(self.hub, self.request, read) or not self.is_current():
            return False
        frames: list[bytes] = []
        subscription.finish_partitions(subscription.open_partitions(), frames)
        await self.writer.write(b"".join(frames))
        return True
