"""A session: the async side of one subscription. It waits, reads from the log, and writes to the client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from random import Random
from typing import NamedTuple

import orjson

from gateway import telemetry
from gateway.clock import Clock
from gateway.cooperative import Gate, give_way
from gateway.errors import (
    MISTAKE,
    FilterExhausted,
    LogUnavailable,
    OffsetOutOfRange,
    Problem,
    Refused,
    TopicAbsent,
)
from gateway.event import TopicPartition
from gateway.hub.hub import Hub
from gateway.hub.past import Past
from gateway.position import NOTHING_READ, PositionEncoder, Wish
from gateway.subscription import range_end
from gateway.subscription.feed import Block
from gateway.subscription.held import Held
from gateway.subscription.judge import Charge, Judge
from gateway.subscription.live import Broadcast, LiveFeed, Waiting
from gateway.subscription.recipients import LiveClient
from gateway.subscription.refusal import id_too_long
from gateway.subscription.replay import Pace, Replay
from gateway.subscription.resolve import Origin, Resolver, Start
from gateway.subscription.responder import WRITE_BYTES, Outlet, Responder
from gateway.subscription.subscription import Request, Subscription
from gateway.wire.sse import SSE

STEP_SEGMENTS = 16
"""Segments of the ring after which others get their turn, though nothing in them is to be sent."""
OPEN_WAIT = 1.0
"""Seconds that the first bytes wait for an answer of the log; after that the stream is opened and waits."""
RETRY_WAIT = 0.5
"""Seconds between tries of the log."""
LONGEST_RETRY_WAIT = 5.0
"""The same for one partition that the hub can read, and this client cannot: each wait is twice as long, up to this."""
RETRY_SPREAD = (0.5, 1.5)
"""Those whose stream is ended come back after so many times `retry`, each after another time."""
AGE_SPREAD = (0.75, 1.0)
"""A response lasts so much of the longest time, each another part of it: those that began together end apart."""
RESOLVED_AT_ONCE = 16
"""Positions that are held against the log at the same time: a storm of clients that open streams makes no turn of the
loop long."""
RESOLVE_SECONDS = 0.2
"""Who takes longer waits for a topic that does not answer, and keeps nobody out."""
NO_EPOCH = -1
"""No epoch of the ring: the position is to be held against the log again."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions of the process share."""

    hub: Hub
    broadcast: Broadcast
    past: Past
    clock: Clock
    heartbeat: float
    retry: int
    longest: float = 0.0
    """The longest that a response may last, in seconds; 0 is for ever."""
    random: Random = field(default_factory=Random)
    resolving: Gate = field(default_factory=lambda: Gate(RESOLVED_AT_ONCE, RESOLVE_SECONDS))
    held: Held = field(default_factory=Held)
    """What all sessions hold for their clients."""
    longest_id: int = 0
    """Bytes of the longest id that is taken back; 0 is any."""


class Visitor(NamedTuple):
    """Who is at the other end, for the operator alone: personal data, which no log line and no metric has."""

    address: str
    agent: str


class Session:
    """Carries one subscription from its first byte to its last."""

    __slots__ = (
        "_asked",
        "_epoch",
        "_retry_at",
        "_retry_wait",
        "_start",
        "ends_at",
        "exhausted",
        "feed",
        "hub",
        "judge",
        "pace",
        "request",
        "responder",
        "services",
        "subscription",
        "visitor",
    )

    def __init__(
        self, services: Services, request: Request, pace: Pace | None = None, charge: Charge | None = None
    ) -> None:
        self.judge = Judge(request.selection, services.past.turn, charge)
        self.exhausted: FilterExhausted | None = None
        """Why the response was ended, where the filter had too few steps again and again."""
        self.visitor = Visitor("", "")
        self.services = services
        self.hub = services.hub
        self.request = request
        self.feed: LiveFeed = services.broadcast.feed(request.selection, request.format, ids=request.ids)
        self.subscription: Subscription | None = None
        self.pace = pace
        self.responder = Responder(request, self.hub, services.clock, services.heartbeat)
        self.ends_at = inf
        """When the client has been here for long enough, on the clock for durations."""
        if services.longest:
            self.ends_at = services.clock.monotonic() + services.longest * services.random.uniform(*AGE_SPREAD)
        self._asked = services.clock.now()
        self._start: Start | None = None
        self._retry_at = 0.0
        self._retry_wait = RETRY_WAIT
        self._epoch = self.hub.ring.epoch

    @property
    def since(self) -> int:
        """When the client asked, in milliseconds."""
        return self._asked

    def close(self) -> None:
        """Give back what is shared. Call it once, whatever happened."""
        self.services.broadcast.leave(self.feed)

    def stop(self) -> None:
        """End the response soon."""
        self.responder.stop()

    async def prepare(self) -> bool:
        """Hold the request against the log; False where its range is finished already.

        While the log is away nothing is decided, and the stream waits once it is open. Raises Problem where its ids
        could not come back.
        """
        self._check_ids()
        try:
            async with asyncio.timeout(OPEN_WAIT):
                self._start = await self._resolve(self.request.origin)
                return not await range_end.is_over_before(self.hub, self.request, self._start, self.services.clock)
        except (LogUnavailable, Refused, OffsetOutOfRange, TopicAbsent, TimeoutError):
            return True

    async def run(self, outlet: Outlet) -> None:
        """Serve until the client leaves, the range ends or the process stops."""
        self.responder.outlet = outlet
        telemetry.stream_opened()
        try:
            await self._open()
            while self.subscription is not None and not self._over:
                await self._serve(self.subscription)
                await give_way()
        except FilterExhausted as error:
            self.exhausted = error
            await self._tell_failure(error.problem)
        except Problem as problem:
            await self._tell_failure(problem)
        except Exception as error:
            telemetry.stream_failed(error)
            await self._tell_failure(Problem(500, "Internal error", MISTAKE))
        else:
            await self._finish(self._farewell())
        finally:
            telemetry.stream_closed()

    async def _finish(self, last: bytes = b"") -> None:
        if not self.responder.outlet.gone.done():
            packer = self.responder.packer
            packed = packer.pack(last) if last else b""
            await self.responder.outlet.write(packed + packer.finish())

    def _farewell(self) -> bytes:
        """Where the range goes on, the client gets to know where it stands, and when to come back."""
        if self.subscription is not None and self.subscription.ended is not None:
            return b""
        retry = round(self.services.retry * self.services.random.uniform(*RETRY_SPREAD))
        return self.request.format.farewell(self._identifier, retry)

    @property
    def _identifier(self) -> bytes:
        subscription = self.subscription
        return self._unresolved(self._fixed_origin()) if subscription is None else subscription.identifier

    async def _tell_failure(self, problem: Problem) -> None:
        """End the response with what will not heal. What a mistake of our own is goes to the log, not to the client."""
        document = orjson.dumps(problem.document())
        # Writing may be what failed.
        with suppress(Exception):
            await self.responder.write(self.request.format.notice(b"error", self._identifier, document))
            await self._finish()

    @property
    def _over(self) -> bool:
        ended = self.subscription is not None and self.subscription.ended is not None
        return ended or self.responder.over

    async def _resolve(self, origin: Origin) -> Start:
        async with self.services.resolving.enter():
            if self.feed.version != self.hub.version:
                self._change_feed()
            epoch = self.hub.ring.epoch
            start = await Resolver(self.hub).resolve(origin, list(self.feed.feed.encoder.partitions))
        self._epoch = epoch
        for place in self.feed.feed.encoder.partitions:
            # A topic that was created again meanwhile may have fewer; the feed changes before anything is read.
            if place not in start.marks:
                start.marks[place], start.positions[place] = NOTHING_READ, 0
        for gap in start.gaps:
            telemetry.gap_told(gap.reason)
        return start

    async def _open(self) -> None:
        form, retry = self.request.format, self.services.retry
        start, waited = self._start, False
        if start is None:
            origin = self._fixed_origin()
            identifier = self._unresolved(origin)
            await self.responder.write(form.opening(identifier, retry))
            start, waited = await self._wait_for_start(origin, identifier), True
            if start is None:
                return
        encoder = self.feed.feed.encoder
        if start.waiting:
            encoder = encoder.waiting_for(start.waiting, start.marks)
        subscription = self.subscription = Subscription(self.request, encoder, start)
        wishes = self.request.origin.wishes
        opening = b"" if waited else form.opening(subscription.before(start.gaps, wishes), retry)
        first = opening + b"".join(subscription.gaps(start.gaps, wishes))
        if first:
            await self.responder.write(first)

    def _fixed_origin(self) -> Origin:
        """What the client asked for. Where that was live events, it gets those from the moment it asked."""
        return replace(self.request.origin, live=self._asked)

    def _unresolved(self, origin: Origin) -> bytes:
        """The position of a stream that the log has not answered: what the client asked for."""
        # A position may name partitions that another process knows of, and this one not yet.
        places = {*self.feed.feed.encoder.partitions, *origin.wishes}
        by_timestamp = {place: self.hub.by_timestamp[place.topic] for place in places}
        encoder = PositionEncoder(by_timestamp, ids=self.request.ids)
        return encoder.identifier({place: origin.wish(place) or Wish(None, self._asked) for place in places})

    async def _wait_for_start(self, origin: Origin, identifier: bytes) -> Start | None:
        """Wait for the log; None where the response is over before it answers."""
        while not self._over:
            try:
                return await self._resolve(origin)
            except (LogUnavailable, Refused, OffsetOutOfRange, TopicAbsent):
                await self.responder.pause(RETRY_WAIT)
                await self.responder.beat(identifier)
        return None

    def _change_feed(self, waiting: Waiting | None = None) -> None:
        broadcast = self.services.broadcast
        broadcast.leave(self.feed)
        self.feed = broadcast.feed(self.request.selection, self.request.format, waiting, self.request.ids)
        self._check_ids()

    def _check_ids(self) -> None:
        """Raises Problem where an id may become longer than one that is read: with it, nobody could come back."""
        longest, most = self.feed.feed.encoder.longest, self.services.longest_id
        if self.request.format is SSE and 0 < most < longest:
            raise id_too_long(self.feed.feed.encoder, most)

    def _share_feed(self, waiting: Waiting) -> bool:
        """Be with those who read the same partitions, and wait for the same; whether that is another feed."""
        if self.feed.version == self.hub.version and self.feed.waiting == waiting:
            return False
        self._change_feed(waiting)
        return True

    async def _serve(self, subscription: Subscription) -> None:
        """Do what the position asks for: read the ring, or the log until the ring is reached."""
        try:
            existing = self.hub.discovery.existing
            if self._share_feed(subscription.waiting):
                subscription.rejoin(self.feed.feed.encoder, self.hub.discovery.origins, NOTHING_READ)
            if self.hub.ring.epoch != self._epoch or self._retry_due(subscription):
                await self._restart(subscription)
                return
            subscription.suspend(self.hub.ring, existing, self.hub.sick)
            if self._share_feed(subscription.waiting):
                subscription.rejoin(self.feed.feed.encoder, self.hub.discovery.origins, NOTHING_READ)
            placement = self.hub.ring.place(subscription.readable(existing, self.hub.ring.partitions()))
            if placement is None:
                await self._replay(subscription)
            elif self._is_aligned(subscription, placement.number):
                await self._follow(subscription, placement.number)
            else:
                await self._follow_alone(subscription, placement.number)
        except Refused as refused:
            # The others go on without these, which come once the log gives them.
            subscription.wait_for(place for place in refused.troubles if place in subscription.positions)
            self._retry_later()
        except (OffsetOutOfRange, TopicAbsent):
            self._epoch = NO_EPOCH
            self.hub.look_again()
            await self.responder.pause(RETRY_WAIT)
            await self.responder.beat(subscription.identifier)
        except LogUnavailable:
            await self.responder.pause(RETRY_WAIT)
            await self.responder.beat(subscription.identifier)

    def _readable(self, subscription: Subscription) -> dict[TopicPartition, int]:
        return subscription.readable(self.hub.discovery.existing)

    def _held(self, subscription: Subscription) -> dict[TopicPartition, int]:
        """The positions in what the ring holds, be it of a topic that was deleted meanwhile."""
        held = self.hub.ring.partitions()
        return {place: position for place, position in subscription.positions.items() if place in held}

    def _is_aligned(self, subscription: Subscription, number: int) -> bool:
        """Whether from this segment on the client gets just what all live clients of its feed get."""
        held = self.hub.ring.partitions()
        if self.request.finite or any(place in held for place in subscription.waiting):
            return False
        return self.hub.ring.aligned(number, self._held(subscription))

    def _retry_due(self, subscription: Subscription) -> bool:
        """Whether something that is waited for may be had now."""
        if not subscription.waiting or not subscription.awaited(self.hub.discovery.existing, self.hub.sick):
            return False
        return self.services.clock.monotonic() >= self._retry_at

    def _retry_later(self) -> None:
        self._retry_at = self.services.clock.monotonic() + self._retry_wait
        self._retry_wait = min(2 * self._retry_wait, LONGEST_RETRY_WAIT)

    async def _restart(self, subscription: Subscription) -> None:
        overlaps = self.request.origin.overlaps
        start = await self._resolve(Origin(wishes=subscription.wishes(), overlaps=overlaps))
        frames = subscription.restart(start)
        if subscription.awaited(self.hub.discovery.existing, self.hub.sick):
            self._retry_later()
        else:
            self._retry_wait = RETRY_WAIT
        if frames:
            await self.responder.write(frames)

    async def _follow(self, subscription: Subscription, number: int) -> None:
        """Take the blocks that all clients of the feed take, up to the newest, and then be written to live."""
        ring = self.hub.ring
        while self._is_current():
            pieces: list[bytes] = []
            size = 0
            while size < WRITE_BYTES and len(pieces) < STEP_SEGMENTS and number < ring.open.number:
                segment = ring.segment(number)
                if pieces and segment is not None and self.judge.must_ask(self.feed.feed, segment):
                    break  # What is packed is written before anybody else runs.
                block = await self._block(number)
                if block is None:
                    return
                telemetry.tally.events += block.events
                telemetry.tally.bytes += len(block.data)
                pieces.append(self.responder.packer.pack_block(block))
                size += len(block.data)
                number += 1
            self._settle(subscription, number)
            if pieces:
                if size:
                    await self.responder.write_packed(b"".join(pieces))
                else:
                    await self.responder.beat(subscription.identifier)
            elif number == ring.open.number:
                number = await self._be_live(subscription, number)
            await self._repay(subscription)
            await give_way()
            if number < ring.oldest:
                return

    async def _block(self, number: int) -> Block | None:
        """The block of a segment, judged in steps; None where the ring does not hold the segment, or not any more."""
        feed, ring = self.feed.feed, self.hub.ring
        segment = ring.segment(number)
        judged = None if segment is None else await self.judge.segment(feed, segment)
        if segment is None or judged is None:
            return feed.block(number)
        if ring.segment(number) is not segment or not self._is_current():
            return None
        return feed.block_from(segment, judged.chosen)

    async def _repay(self, subscription: Subscription) -> None:
        """Read no further until what the filter took is paid for; the client hears that the stream lives."""
        while self.judge.owed > 0 and not self._over:
            endings: set[asyncio.Future[None]] = {self.responder.outlet.gone, self.responder.stopping}
            await asyncio.wait(endings, timeout=min(self.judge.owed, self.services.heartbeat))
            await self.responder.beat(subscription.identifier)
            self.judge.pay(0)

    def _settle(self, subscription: Subscription, number: int, interrupted: bool = False) -> None:
        ring = self.hub.ring
        held = [place for place in subscription.positions if place in ring.partitions()]
        subscription.settle(ring.marks_at(number, held), interrupted)

    def _settle_released(self, subscription: Subscription, number: int) -> None:
        """Everything before this segment was delivered live, a gap included."""
        ring = self.hub.ring
        interrupted, self._epoch = ring.epoch != self._epoch, ring.epoch
        self._settle(subscription, number, interrupted)

    async def _be_live(self, subscription: Subscription, number: int) -> int:
        outlet, feed = self.responder.outlet, self.feed
        pipe = outlet.pipe
        if pipe is None or feed.alone_until > self.services.clock.monotonic():
            await self._wait_for_change(subscription)
            return number
        client = LiveClient(pipe, self.responder.packer, outlet.send)
        if not client.keeps_up:
            # Live delivery does not wait for the client, so that one which does not read must not come back to it.
            await outlet.write(b"")
            return number
        client.charge = self.judge.pay
        client.released = asyncio.get_running_loop().create_future()
        client.on_release = partial(self._settle_released, subscription)
        leave = partial(feed.leave, client)
        for ending in (outlet.gone, self.responder.stopping):
            ending.add_done_callback(leave)
        feed.add(client, self.responder.written)
        try:
            number = await client.released
        finally:
            feed.remove(client)
            for ending in (outlet.gone, self.responder.stopping):
                ending.remove_done_callback(leave)
        self.responder.written = client.quiet_since
        return number

    async def _follow_alone(self, subscription: Subscription, number: int) -> None:
        """Read the ring with frames of one's own: the range ends, or begins in the middle of what others get."""
        ring, feed = self.hub.ring, self.feed.feed
        while self._is_current():
            segment = ring.segment(number)
            if segment is None:
                if number < ring.oldest:
                    return
                if not ring.open.items and await self._finish_until(subscription, self._read_in_ring(subscription)):
                    return
                if number >= ring.open.number:
                    await self._wait_for_change(subscription)
                await give_way()
                continue
            frames: list[bytes] = []
            judged = await self.judge.segment(feed, segment)
            if not self._is_current():
                return
            for item, data in feed.matches(segment, None if judged is None else judged.chosen):
                subscription.offer(item.partition, item.mark, data, frames)
            number += 1
            telemetry.tally.events += len(frames)
            telemetry.tally.bytes += sum(map(len, frames))
            if frames:
                await self.responder.write(b"".join(frames))
            else:
                await self.responder.beat(subscription.identifier)
            await self._repay(subscription)
            await give_way()
            if self._is_aligned(subscription, number):
                return

    async def _replay(self, subscription: Subscription) -> None:
        """Read the past until the ring holds what comes next."""
        services = self.services
        replay = Replay(services.past, self.hub, self.responder, services.heartbeat, self.judge, services.held)
        while self._is_current():
            positions = self._readable(subscription)
            if self.hub.ring.place(positions) is not None:
                return
            stretch = await replay.fetch(subscription, positions)
            if stretch is None or not self._is_current():
                return
            if stretch.positions != positions:
                await replay.send(subscription, stretch, self.feed.feed, self.pace)
            elif not await self._finish_until(subscription, positions):
                # The end of the log, and the ring is not there yet.
                self.hub.look_again()
                await self._wait_for_change(subscription, RETRY_WAIT)
            await self.responder.beat(subscription.identifier)

    def _is_current(self) -> bool:
        """Whether the position still means what it did: the partitions, and the log under them, are the same."""
        if self._over or self.feed.version != self.hub.version or self.hub.ring.epoch != self._epoch:
            return False
        return self.subscription is None or not self._retry_due(self.subscription)

    async def _finish_until(self, subscription: Subscription, read: Mapping[TopicPartition, int]) -> bool:
        """Whether the clock has passed `until` and the log, asked itself, holds nothing beyond what has been read;
        then the end is sent."""
        until = self.request.until
        if until is None or self.services.clock.now() < until:
            return False
        if any(place in self.hub.sick or place.topic in self.hub.discovery.existing for place in subscription.waiting):
            return False
        if not await range_end.is_read(self.hub, self.request, read):
            return False
        frames: list[bytes] = []
        subscription.finish_partitions(subscription.open_partitions(), frames)
        await self.responder.write(b"".join(frames))
        return True

    def _read_in_ring(self, subscription: Subscription) -> dict[TopicPartition, int]:
        """How far the log has been read by a client that has read all of the ring, with what holds no record."""
        ring = self.hub.ring
        return {
            place: max(position, ring.end(place)) if place in ring.partitions() else position
            for place, position in self._readable(subscription).items()
        }

    async def _wait_for_change(self, subscription: Subscription, longest: float = 3600.0) -> None:
        now = self.services.clock.monotonic()
        wait = min(longest, self.services.heartbeat - (now - self.responder.written))
        if subscription.waiting and subscription.awaited(self.hub.discovery.existing, self.hub.sick):
            wait = min(wait, self._retry_at - now)
        if self.request.until is not None:
            wait = min(wait, max(RETRY_WAIT / 5, (self.request.until - self.services.clock.now()) / 1000))
        await self.responder.pause(wait)
        await self.responder.beat(subscription.identifier)
