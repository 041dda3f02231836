"""A session: the async side of one subscription. It waits, reads from the log, and writes to the client."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple

import orjson

from gateway.cooperative import give_way
from gateway.errors import (
    MISTAKE,
    FilterExhausted,
    LogUnavailable,
    OffsetOutOfRange,
    Problem,
    Refused,
    TopicAbsent,
)
from gateway.feed.judge import Charge
from gateway.feed.live import Waiting
from gateway.model.position import NOTHING_READ, PositionEncoder, RequestedPosition
from gateway.observability import telemetry
from gateway.subscription import aligned, alone, range_end
from gateway.subscription.origin import Origin, Start
from gateway.subscription.reader import RETRY_WAIT, Reader
from gateway.subscription.refusal import id_too_long
from gateway.subscription.replay import Pace, read_past
from gateway.subscription.resolve import Resolver
from gateway.subscription.response_writer import Sink
from gateway.subscription.services import Services
from gateway.subscription.subscription import Request, Subscription
from gateway.subscription.succession import succeed
from gateway.wire.sse import SSE

OPEN_WAIT = 1.0
"""Seconds that the first bytes wait for an answer of the log; after that the stream is opened and waits."""
RETRY_SPREAD = (0.5, 1.5)
"""Clients whose stream is ended return after a multiple of `retry`, each after another time."""
AGE_SPREAD = (0.75, 1.0)
"""A response lasts for this share of the longest time, each for another share: those that began together end apart."""


class Visitor(NamedTuple):
    """The client, for the operator only. These are personal data, which no log line and no metric contains."""

    address: str
    agent: str


UNKNOWN = Visitor("", "")


class Session(Reader):
    """Carries one subscription from its first byte to its last."""

    __slots__ = ("_asked", "_start", "ends_at", "exhausted", "pace", "visitor", "whole")

    def __init__(
        self,
        services: Services,
        request: Request,
        pace: Pace | None = None,
        charge: Charge | None = None,
        visitor: Visitor = UNKNOWN,
    ) -> None:
        super().__init__(services, request, charge)
        self.exhausted: FilterExhausted | None = None
        """Why the response was ended, where the filter had too few steps again and again."""
        self.visitor = visitor
        self.whole = False
        """Whether caches may keep the response. Then it is broken off where a partition has to wait, since what comes
        of it later would not be in the order of time."""
        self.pace = pace
        self.ends_at = inf
        """When the client has been here for long enough, on the clock for durations."""
        if services.longest:
            self.ends_at = services.clock.monotonic() + services.longest * services.random.uniform(*AGE_SPREAD)
        self._asked = services.clock.now()
        self._start: Start | None = None

    @property
    def since(self) -> int:
        """When the client asked, in milliseconds."""
        return self._asked

    def close(self) -> None:
        """Give back what is shared. Call it once, whatever happened."""
        self.services.broadcast.leave(self.live_feed)
        self.writer.close()

    @property
    def start(self) -> Start | None:
        """Where it starts, from when it is prepared and the log has answered until it runs."""
        return self._start

    @property
    def complete(self) -> bool:
        """Whether all of its range has been sent."""
        return self.subscription is not None and self.subscription.ended is not None

    def stop(self) -> None:
        """End the response soon."""
        self.writer.stop()

    async def prepare(self) -> bool:
        """Hold the request against the log; False where its range is finished already.

        While the log is away nothing is decided, and the stream waits once it is open. Raises Problem where its ids
        could not come back.
        """
        self._check_ids()
        if self.request.until is None:
            self._start = self._remembered()
            if self._start is not None:
                return True
        try:
            async with asyncio.timeout(OPEN_WAIT):
                self._start = await self._resolve(self.request.origin)
                return not await range_end.is_over_before(self.hub, self.request, self._start, self.services.clock)
        except (LogUnavailable, Refused, OffsetOutOfRange, TopicAbsent, TimeoutError):
            return True

    async def run(self, sink: Sink) -> None:
        """Serve until the client leaves, the range ends or the process stops."""
        self.writer.begin(sink)
        telemetry.stream_opened()
        try:
            await self._open()
            while self.subscription is not None and not self.over:
                await self._serve(self.subscription)
                if self.whole and self.subscription.waiting:
                    self.stop()
                if not self.over:
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
            if not self.writer.sink.gone.done():
                await self._finish(self._farewell())
        finally:
            telemetry.stream_closed()

    async def _finish(self, last: bytes = b"") -> None:
        if not self.writer.sink.gone.done():
            await self.writer.flush()
            packer = self.writer.packer
            packed = packer.pack(last) if last else b""
            await self.writer.sink.write(packed + packer.finish())

    def _farewell(self) -> bytes:
        """If the range continues, the client learns its position, and when to return."""
        if self.subscription is not None and self.subscription.ended is not None:
            return b""
        retry = round(self.services.retry * self.services.random.uniform(*RETRY_SPREAD))
        return self.request.format.farewell(self._identifier, retry)

    @property
    def _identifier(self) -> bytes:
        subscription = self.subscription
        return self._unresolved(self._fixed_origin()) if subscription is None else subscription.identifier

    async def _tell_failure(self, problem: Problem) -> None:
        """End the response with an error that will not pass. Details of an internal error go to the log, not to the
        client."""
        document = orjson.dumps(problem.document())
        # Writing may be what failed.
        with suppress(Exception):
            await self.writer.write(self.request.format.notice(b"error", self._identifier, document))
            await self._finish()

    def _remembered(self) -> Start | None:
        """Where it starts, if that can be told without the log: with thousands who come back at once, it mostly is."""
        if self.request.origin.former or self.live_feed.version != self.hub.version:
            return None
        start = Resolver(self.hub, self.services.counting).remember(self.request.origin, self.feed.encoder.partitions)
        if start is not None:
            self.epoch, self.astray = self.hub.ring.epoch, False
        return start

    async def _resolve(self, origin: Origin) -> Start:
        async with self.services.resolving.enter():
            if self.live_feed.version != self.hub.version:
                self._change_feed()
            if origin.former:
                origin = await succeed(self.hub.log, origin, self.feed.encoder.partitions)
                self.request = replace(self.request, origin=replace(origin, live=None))
            epoch = self.hub.ring.epoch
            resolver = Resolver(self.hub, self.services.counting)
            start = await resolver.resolve(origin, list(self.feed.encoder.partitions))
        self.epoch, self.astray = epoch, False
        for partition in self.feed.encoder.partitions:
            # A topic that was created again meanwhile may have fewer; the feed changes before anything is read.
            if partition not in start.consumed:
                start.consumed[partition], start.next_offsets[partition] = NOTHING_READ, 0
        for gap in start.gaps:
            telemetry.gap_told(gap.reason)
        return start

    async def _open(self) -> None:
        form, retry = self.request.format, self.services.retry
        # It has several collections, and nobody needs them once the stream is open.
        start, self._start, waited = self._start, None, False
        if start is None:
            origin = self._fixed_origin()
            identifier = self._unresolved(origin)
            await self.writer.write(form.opening(identifier, retry))
            start, waited = await self._wait_for_start(origin, identifier), True
            if start is None:
                return
        self._check_gaps(start)
        encoder = self.feed.encoder
        if start.waiting:
            encoder = encoder.waiting_for(start.waiting, start.consumed)
        subscription = self.subscription = Subscription(self.request, encoder, start)
        requested = self.request.origin.requested
        opening = b"" if waited else form.opening(subscription.before(start.gaps, requested), retry)
        first = opening + b"".join(subscription.gaps(start.gaps, requested))
        if first:
            self.writer.write_with_next(first)

    def _fixed_origin(self) -> Origin:
        """The request of the client. If it asked for live events, it gets those from the moment it asked."""
        return replace(self.request.origin, live=self._asked)

    def _unresolved(self, origin: Origin) -> bytes:
        """The position of a stream that the log has not answered: what the client asked for."""
        if origin.former:
            # What it asked for it keeps, until the present version is that far.
            return PositionEncoder(dict.fromkeys(origin.former, False), ids=self.request.ids).identifier(origin.former)
        # A position may name partitions that another process knows of, and this one not yet.
        partitions = {*self.feed.encoder.partitions, *origin.requested}
        by_timestamp = {partition: self.hub.by_timestamp[partition.topic] for partition in partitions}
        encoder = PositionEncoder(by_timestamp, ids=self.request.ids)
        return encoder.identifier(
            {
                partition: origin.requested_of(partition) or RequestedPosition(None, self._asked)
                for partition in partitions
            }
        )

    async def _wait_for_start(self, origin: Origin, identifier: bytes) -> Start | None:
        """Wait for the log; None where the response is over before it answers."""
        while not self.over:
            try:
                return await self._resolve_patiently(origin, identifier)
            except (LogUnavailable, Refused, OffsetOutOfRange, TopicAbsent):
                await self.writer.pause(RETRY_WAIT)
                await self.writer.beat(identifier)
        return None

    async def _resolve_patiently(self, origin: Origin, identifier: bytes) -> Start | None:
        """Count the records of a position, which may take long; the client receives heartbeats meanwhile. None if
        the response ends."""
        resolving = asyncio.create_task(self._resolve(origin))
        ways: set[asyncio.Future[Any]] = {resolving, self.writer.sink.gone, self.writer.stopping}
        try:
            while not resolving.done() and not self.over:
                await asyncio.wait(ways, timeout=self.services.heartbeat, return_when=asyncio.FIRST_COMPLETED)
                await self.writer.beat(identifier)
            return resolving.result() if resolving.done() else None
        finally:
            resolving.cancel()

    def _change_feed(self, waiting: Waiting | None = None) -> None:
        broadcast = self.services.broadcast
        broadcast.leave(self.live_feed)
        self.live_feed = broadcast.join(self.request.selection, self.request.format, waiting, self.request.ids)
        self._check_ids()

    def _check_gaps(self, start: Start) -> None:
        """Raises Problem where events are missing, and the format cannot say so."""
        if start.gaps and not self.request.format.tells:
            raise Problem(410, "Gone", f"{len(start.gaps)} partitions have lost events that were asked for")

    def _check_ids(self) -> None:
        """Raises Problem where an id may become longer than one that is read: with it, nobody could come back."""
        longest, most = self.feed.encoder.longest, self.services.longest_id
        if self.request.format is SSE and 0 < most < longest:
            raise id_too_long(self.feed.encoder, most)

    def _share_feed(self, waiting: Waiting) -> bool:
        """Be with those who read the same partitions, and wait for the same; whether that is another feed."""
        if self.live_feed.version == self.hub.version and self.live_feed.waiting == waiting:
            return False
        self._change_feed(waiting)
        return True

    async def _serve(self, subscription: Subscription) -> None:
        """Do what the position asks for: read the ring, or the log until the ring is reached."""
        try:
            existing = self.hub.discovery.existing
            if self._share_feed(subscription.waiting):
                subscription.rejoin(self.feed.encoder, self.hub.discovery.origins, NOTHING_READ)
            if self.astray or self.hub.ring.epoch != self.epoch or self.retry_due(subscription):
                await self.writer.flush()
                await self._restart(subscription)
                return
            subscription.suspend(self.hub.ring, existing, self.hub.sick)
            if self._share_feed(subscription.waiting):
                subscription.rejoin(self.feed.encoder, self.hub.discovery.origins, NOTHING_READ)
            self.writer.lacking = subscription.waiting.keys()
            location = self.hub.ring.locate(subscription.readable(existing, self.hub.ring.partitions()))
            if location is not None and self.is_aligned(subscription, location.number):
                await aligned.follow(self, subscription, location.number)
                return
            await self.writer.flush()
            if location is None:
                await read_past(self, subscription, self.pace)
            else:
                await alone.follow(self, subscription, location.number)
        except Refused as refused:
            # The others go on without these, which come once the log gives them.
            subscription.wait_for(partition for partition in refused.troubles if partition in subscription.next_offsets)
            self.retry_later()
        except (OffsetOutOfRange, TopicAbsent):
            self.astray = True
            self.hub.look_again()
            await self.writer.pause(RETRY_WAIT)
            await self.writer.beat(subscription.identifier)
        except LogUnavailable:
            await self.writer.pause(RETRY_WAIT)
            await self.writer.beat(subscription.identifier)

    async def _restart(self, subscription: Subscription) -> None:
        overlaps, waiting = self.request.origin.overlaps, subscription.waiting
        # What is waited for has been read by the others of the process perhaps, and not by this client.
        reached = {
            partition: next_offset
            for partition, next_offset in subscription.next_offsets.items()
            if partition not in waiting
        }
        requested = subscription.requested()
        origin = Origin(requested=requested, overlaps=overlaps, reached=reached, epoch=self.epoch)
        start = await self._resolve_patiently(origin, subscription.identifier)
        if start is None:
            return
        self._check_gaps(start)
        frames = subscription.restart(start)
        if subscription.awaited(self.hub.discovery.existing, self.hub.sick):
            self.retry_later()
        else:
            self.retry_soon()
        if frames:
            await self.writer.write(frames)
