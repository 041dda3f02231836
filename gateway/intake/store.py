"""Hands events to the log, each once: what was stored lately, or is on its way, is not handed over again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway import telemetry
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import EventLog
from gateway.intake.accept import Accepted
from gateway.intake.batch import Batcher, Waiting
from gateway.intake.window import Window
from gateway.tracing.port import NO_SPAN, Attributes, Span

WITHDRAWN = LogUnavailable("the log does not answer; the event is not stored")
FORBIDDEN = "the gateway may not write to the stream's topic; sent again, it fails again until its operator allows it"
"""What is told of an event that the log will not take before somebody lets it."""
UNKNOWN = LogUnavailable(
    "the log did not answer in time, and may have stored it or not; sent again with the same meta.id, it is stored once"
)
"""What is told of an event that the log did not acknowledge; what the adapters say is for the operator."""


class Claim(NamedTuple):
    """A valid event of a request, and its place in there, from 0. `key`, its stream and id, is what it is known by
    where it may be sent again."""

    number: int
    accepted: Accepted
    key: tuple[str, str] | None


class Group:
    """Events of one request for one stream. `span` is the part of the request in which they are appended."""

    __slots__ = ("claims", "span", "waiting")

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.span: Span = NO_SPAN
        self.waiting: Waiting

    @property
    def fates(self) -> asyncio.Future[list[Fate]]:
        """Done when it is known what became of them."""
        return self.waiting.fates


_Place = tuple[Group, int]
"""The group that an event was handed over in, and where in it."""


@dataclass(slots=True)
class Handed:
    """The events of one request after they were handed over."""

    groups: list[Group] = field(default_factory=list)
    """Those that are on their way."""
    repeats: list[tuple[Claim, _Place]] = field(default_factory=list)
    """Those that others, or the same request, have handed over."""
    stored: int = 0
    """Those that are stored already."""


class Store:
    """One for a process. An event is remembered for `seconds`, and among so many; `created` is called when a topic
    was created."""

    def __init__(self, log: EventLog, clock: Clock, seconds: float, maximum: int, created: Callable[[], None]) -> None:
        self._batcher = Batcher(log, created)
        self._clock = clock
        self._window = Window(seconds, maximum)
        self._doubtful = Window(seconds, maximum)
        """Events of which the log has not told what became of them."""
        self._pending: dict[tuple[str, str], _Place] = {}

    @property
    def failing(self) -> dict[str, str]:
        """See Batcher."""
        return self._batcher.failing

    @property
    def size(self) -> int:
        """Bytes on their way into the log."""
        return self._batcher.size

    def observe(self, stream: str, given_id: str) -> None:
        """This event is in the log, whoever has put it there."""
        self._window.add((stream, given_id), self._clock.monotonic())

    def doubtful(self, claims: Sequence[Claim], is_unread: Callable[[str], bool]) -> set[str]:
        """The topics that have to be read to their end before it is known whether these events are stored: those that
        are unread yet, and those of events without an answer of the log."""
        now = self._clock.monotonic()
        unread = {topic for topic in {claim.accepted.topic for claim in claims} if is_unread(topic)}
        return {
            claim.accepted.topic
            for claim in claims
            if claim.key is not None
            and (claim.accepted.topic in unread or self._doubtful.has(claim.key, now))
            and claim.key not in self._pending
            and not self._window.has(claim.key, now)
        }

    def hand(self, claims: Sequence[Claim], span: Span = NO_SPAN) -> Handed:
        """Hand over what is new, without waiting for the log. `span` is that of the request."""
        handed = Handed()
        groups: dict[str, Group] = {}
        window, pending, now = self._window, self._pending, self._clock.monotonic()
        for claim in claims:
            key = claim.key
            if key is not None:
                if window.has(key, now):
                    handed.stored += 1
                    continue
                if (place := pending.get(key)) is not None:
                    handed.repeats.append((claim, place))
                    continue
            name = claim.accepted.stream.name
            group = groups.get(name)
            if group is None:
                group = groups[name] = Group()
            if key is not None:
                pending[key] = group, len(group.claims)
            group.claims.append(claim)
        for group in groups.values():
            self._start(group, span)
            handed.groups.append(group)
        telemetry.intake_events("", "repeated", handed.stored + len(handed.repeats))
        return handed

    def put(self, accepted: Accepted) -> asyncio.Future[list[Fate]]:
        """Hand an event over that nobody sends twice."""
        return self._batcher.put(accepted.stream, [accepted.record]).fates

    async def wait(self, handed: Handed, seconds: float) -> None:
        """Return when it is known what became of all of them, or after so long."""
        groups = handed.groups + [group for _, (group, _) in handed.repeats]
        fates = {group.fates for group in groups if not group.fates.done()}
        if len(fates) == 1:
            await _done(fates.pop(), seconds)
        elif fates:
            await asyncio.wait(fates, timeout=seconds)

    def fates(self, handed: Handed) -> Iterator[tuple[Claim, Fate]]:
        """What became of those that were not stored before. What the log has not been given by now it will not get."""
        for group in handed.groups:
            if not group.fates.done() and self._batcher.withdraw(group.waiting):
                group.fates.set_result([WITHDRAWN] * len(group.claims))
            fates = group.fates.result() if group.fates.done() else [UNKNOWN] * len(group.claims)
            yield from zip(group.claims, fates, strict=True)
        for claim, (group, position) in handed.repeats:
            yield claim, group.fates.result()[position] if group.fates.done() else UNKNOWN

    async def drain(self) -> None:
        """Return when nothing is on its way any more."""
        await self._batcher.drain()

    def _start(self, group: Group, span: Span) -> None:
        stream = group.claims[0].accepted.stream
        group.span = span.sending(f"append {stream.name}", _described(stream, len(group.claims)))
        records = [claim.accepted.record for claim in group.claims]
        if headers := group.span.headers:
            records = [record._replace(headers=headers) for record in records]
        group.waiting = self._batcher.put(stream, records)
        group.fates.add_done_callback(lambda answered: self._settle(group, answered.result()))

    def _settle(self, group: Group, fates: Sequence[Fate]) -> None:
        """Remember what the log answered, whether or not anybody still waits for it."""
        claims = group.claims
        now = self._clock.monotonic()
        failed = 0
        for claim, fate in zip(claims, fates, strict=True):
            stored = not isinstance(fate, LogError)
            failed += not stored
            if claim.key is not None:
                if stored:
                    self._window.add(claim.key, now)
                elif isinstance(fate, LogUnavailable) and fate is not WITHDRAWN:
                    self._doubtful.add(claim.key, now)
                del self._pending[claim.key]
        stream = claims[0].accepted.stream.name
        telemetry.intake_events(stream, "stored", len(claims) - failed)
        telemetry.intake_events(stream, "failed", failed)
        group.span.note({"gateway.events.failed": failed})
        group.span.end(next((type(fate).__name__ for fate in fates if isinstance(fate, LogError)), None))


def _described(stream: Stream, count: int) -> Attributes:
    """What a trace tells of an append."""
    return {
        "messaging.operation.type": "send",
        "messaging.destination.name": stream.topics[0],
        "messaging.batch.message_count": count,
        "gateway.stream": stream.name,
    }


async def _done(awaited: asyncio.Future[list[Fate]], seconds: float) -> None:
    """`asyncio.wait` for one future, at a third of the price."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(seconds, wake)
    awaited.add_done_callback(wake)
    try:
        await waiter
    finally:
        timer.cancel()
        awaited.remove_done_callback(wake)
