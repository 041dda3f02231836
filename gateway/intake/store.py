"""Hands events to the log, each once: events that were stored lately or are on their way are not handed over again."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from gateway.catalog.stream import Stream
from gateway.claims.port import Claims
from gateway.clock import Clock
from gateway.errors import LogError, LogUnavailable
from gateway.eventlog.offer import REPEATED, Fate
from gateway.eventlog.port import EventLog
from gateway.eventlog.trouble import Trouble
from gateway.intake.batch import WITHDRAWN, Batcher, Waiting
from gateway.intake.claiming import Claiming, Key, Verdict, Wanted
from gateway.intake.deadlines import Deadlines
from gateway.intake.validate import Accepted
from gateway.intake.window import Window
from gateway.model.record import NewRecord
from gateway.observability import telemetry
from gateway.observability.tracing import NO_SPAN, Attributes, Span

UNKNOWN = LogUnavailable("the log did not answer in time")
"""The fate of an event that the log did not acknowledge; it may be stored."""
ELSEWHERE = LogUnavailable(
    "the same event came to another gateway, which has not said yet whether it is stored; sent again with the same "
    "meta.id, it is stored once"
)
"""The fate of an event that another gateway claims, and that is not known to be stored."""
NOTE_BYTES = 96
"""A longer name is noted as a hash. Its first byte occurs in no text, so it cannot be mistaken for one."""


class Candidate(NamedTuple):
    """A valid event of a request, and its index in there, from 0. `key`, its stream and id, is what it is known by
    where it may be sent again."""

    number: int
    accepted: Accepted
    key: Key | None


class Group:
    """Events of one request for one stream. `span` is the part of the request in which they are appended."""

    __slots__ = ("candidates", "claims", "failed", "fates", "left", "repeated", "sent", "span", "waiters")

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.span: Span = NO_SPAN
        self.fates: list[Fate | None] = []
        """Of each, once it is known."""
        self.left = 0
        """Those of which it is not."""
        self.failed = False
        """Whether one is not stored, so far."""
        self.repeated = 0
        """Those that the log had already."""
        self.waiters: list[Callable[[], None]] = []
        """Called once it is known of all."""
        self.sent: list[tuple[Waiting, Sequence[int]]] = []
        """The events that are on their way into the log, and the candidates among them."""
        self.claims: dict[int, bytes] = {}
        """The claims that are held for them."""


_Location = tuple[Group, int]
"""The group that an event was handed over in, and where in it."""


@dataclass(slots=True)
class Handed:
    """The events of one request after they were handed over."""

    groups: list[Group] = field(default_factory=list)
    """Those that are on their way."""
    repeats: list[tuple[Candidate, _Location]] = field(default_factory=list)
    """Those that others, or the same request, have handed over."""
    stored: int = 0
    """Those that are stored already."""


class Settled(NamedTuple):
    """The events of one request: how many the log has, how many of these it had before, and which are not stored."""

    stored: int
    repeated: int
    failures: list[tuple[Candidate, LogError]]


class Store:
    """One for a process. It remembers an event for `seconds`, and at most `maximum` of them. It calls `created` when
    it has created a topic. `claims` are shared with other gateways, if there are any and the log keeps none itself.
    `look` reads a topic to its end."""

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        seconds: float,
        maximum: int,
        created: Callable[[], None],
        look: Callable[[str], Awaitable[None]],
        claims: Claims | None = None,
    ) -> None:
        self._batcher = Batcher(log, created)
        self._clock = clock
        self._window = Window(seconds, maximum)
        self._doubtful = Window(seconds, maximum)
        """Events of which the log has not told what became of them."""
        self._pending: dict[Key, _Location] = {}
        self._deadlines: Deadlines | None = None
        self._log_claims = log.keeps_claims
        self.claiming: Claiming | None = None
        if claims is not None and not self._log_claims:
            self.claiming = Claiming(claims, self._knows, look, log.settle, clock)

    @property
    def failing(self) -> dict[str, Trouble]:
        """See Batcher."""
        return self._batcher.failing

    @property
    def size(self) -> int:
        """Bytes on their way into the log."""
        return self._batcher.size

    def observe(self, stream: str, given_id: str) -> None:
        """This event is in the log, no matter which process stored it."""
        self._window.add((stream, given_id), self._clock.monotonic())

    def doubtful(self, candidates: Sequence[Candidate], is_unread: Callable[[str], bool]) -> set[str]:
        """The topics that must be read to their end before these events are known to be stored or not. These are
        unread topics, and those of events that the log has not answered."""
        unread = {topic for topic in {one.accepted.topic for one in candidates} if is_unread(topic)}
        if not unread and not self._doubtful:
            return unread
        now = self._clock.monotonic()
        return {
            one.accepted.topic
            for one in candidates
            if one.key is not None
            and (one.accepted.topic in unread or self._doubtful.has(one.key, now))
            and one.key not in self._pending
            and not self._window.has(one.key, now)
        }

    def hand(self, candidates: Sequence[Candidate], span: Span = NO_SPAN) -> Handed:
        """Hand over what is new, without waiting for the log. `span` is that of the request."""
        handed = Handed()
        groups: dict[str, Group] = {}
        window, pending, now = self._window, self._pending, self._clock.monotonic()
        for one in candidates:
            key = one.key
            if key is not None:
                if window.has(key, now):
                    handed.stored += 1
                    continue
                if (location := pending.get(key)) is not None:
                    handed.repeats.append((one, location))
                    continue
            name = one.accepted.stream.name
            group = groups.get(name)
            if group is None:
                group = groups[name] = Group()
            if key is not None:
                pending[key] = group, len(group.candidates)
            group.candidates.append(one)
        for group in groups.values():
            self._start(group, span)
            handed.groups.append(group)
        if repeated := handed.stored + len(handed.repeats):
            telemetry.intake_events("", "repeated", repeated)
        return handed

    def put(self, accepted: Accepted, tell: Callable[[list[Fate]], None]) -> None:
        """Hand an event over that nobody sends twice. `tell` learns what became of it."""
        self._batcher.put(accepted.stream, [accepted.record], tell)

    async def wait(self, handed: Handed, seconds: float) -> None:
        """Return when the fates of all of them are known, or after this many seconds."""
        unknown = {group for group in handed.groups if group.left}
        if handed.repeats:
            unknown |= {group for _, (group, _) in handed.repeats if group.left}
        if not unknown:
            return
        if self._deadlines is None or self._deadlines.seconds != seconds:
            self._deadlines = Deadlines(seconds)
        deadlines, left = self._deadlines, len(unknown)
        waiter = deadlines.begin()

        def known() -> None:
            nonlocal left
            left -= 1
            if not left and not waiter.done():
                waiter.set_result(None)

        for group in unknown:
            group.waiters.append(known)
        try:
            await waiter
        finally:
            deadlines.end(waiter)
            for group in unknown:
                if group.left:
                    group.waiters.remove(known)

    def settled(self, handed: Handed) -> Settled:
        """What has become of those that were not stored before. Events that the log has not received by now will not be
        handed to it."""
        failures: list[tuple[Candidate, LogError]] = []
        stored = repeated = 0
        for group in handed.groups:
            if group.left:
                self._withdraw(group)
            if group.failed or group.left:
                for one, fate in zip(group.candidates, group.fates, strict=True):
                    if fate is None or isinstance(fate, LogError):
                        failures.append((one, fate or UNKNOWN))
            stored += len(group.candidates)
            repeated += group.repeated
        stored -= len(failures)
        for one, (group, index) in handed.repeats:
            fate = group.fates[index]
            if fate is None or isinstance(fate, LogError):
                failures.append((one, fate or UNKNOWN))
            else:
                stored += 1
                repeated += 1
        return Settled(stored, repeated, failures)

    async def drain(self) -> None:
        """Return when nothing is on its way any more."""
        if self.claiming is not None:
            await self.claiming.drain()
        await self._batcher.drain()
        if self.claiming is not None:
            await self.claiming.drain()

    def _knows(self, key: Key) -> bool:
        return self._window.has(key, self._clock.monotonic())

    # On its way.

    def _start(self, group: Group, span: Span) -> None:
        candidates = group.candidates
        stream = candidates[0].accepted.stream
        group.left = len(candidates)
        group.fates = [None] * group.left
        if span is not NO_SPAN:
            group.span = span.sending(f"append {stream.name}", _described(stream, group.left))
        if self.claiming is None:
            self._append(group, range(group.left))
            return
        topic = candidates[0].accepted.topic
        events = {
            index: (one.key, known_by(topic, one.key)) for index, one in enumerate(candidates) if one.key is not None
        }
        first = [index for index, one in enumerate(candidates) if one.key is None]

        def decide(verdicts: Mapping[int, Verdict]) -> None:
            """At first with those that have no id, so that they keep their order."""
            self._decide(group, events, verdicts, first)
            first.clear()

        self.claiming.put(Wanted(topic, events, decide))

    def _decide(
        self,
        group: Group,
        events: Mapping[int, tuple[Key, bytes]],
        verdicts: Mapping[int, Verdict],
        others: Sequence[int],
    ) -> None:
        """Do with events of a group what was settled with other gateways, and append the others, too."""
        assert self.claiming is not None
        wanted = [index for index in others if group.fates[index] is None]
        for index, verdict in verdicts.items():
            key, claim = events[index]
            if group.fates[index] is not None:
                # Nobody waits for it any more, unless it was sent again meanwhile.
                if verdict is Verdict.OWN and key not in self._pending:
                    self.claiming.settle([], [claim])
            elif verdict is Verdict.STORED:
                self._settle(group, [index], [REPEATED])
            elif verdict in (Verdict.OWN, Verdict.FREE):
                wanted.append(index)
                if verdict is Verdict.OWN:
                    group.claims[index] = claim
            else:
                self._settle(group, [index], [ELSEWHERE if verdict is Verdict.HELD else UNKNOWN])
        if wanted:
            self._append(group, sorted(wanted))

    def _append(self, group: Group, indices: Sequence[int]) -> None:
        """Hand these of a group to the log."""
        candidates = (
            group.candidates if len(indices) == len(group.candidates) else [group.candidates[each] for each in indices]
        )
        accepted = candidates[0].accepted
        records = [one.accepted.record for one in candidates]
        headers = group.span.headers
        if self._log_claims:
            records = [
                NewRecord(
                    record.value, record.key, record.timestamp, None, (*record.headers, *headers), note_of(one.key)
                )
                if one.key is not None
                else record._replace(headers=(*record.headers, *headers))
                for record, one in zip(records, candidates, strict=True)
            ]
        elif headers:
            records = [record._replace(headers=(*record.headers, *headers)) for record in records]
        tell = partial(self._settle, group, indices)
        may_go = self._check(group, indices) if group.claims else None
        group.sent.append((self._batcher.put(accepted.stream, records, tell, may_go), indices))

    def _check(self, group: Group, indices: Sequence[int]) -> Callable[[], bool]:
        """A check at the beginning of the append: whether it may still begin."""
        claiming = self.claiming
        assert claiming is not None
        ids = [group.claims[index] for index in indices if index in group.claims]
        return lambda: claiming.may_append(ids)

    def _withdraw(self, group: Group) -> None:
        """Nobody waits for it any more: what is not on its way into the log stays out of it."""
        for waiting, indices in group.sent:
            if not waiting.answered and self._batcher.withdraw(waiting):
                self._settle(group, indices, [WITHDRAWN] * len(indices))
        sent = {index for _, indices in group.sent for index in indices}
        if undecided := [index for index, fate in enumerate(group.fates) if fate is None and index not in sent]:
            self._settle(group, undecided, [ELSEWHERE] * len(undecided))

    def _settle(self, group: Group, indices: Sequence[int], fates: Sequence[Fate]) -> None:
        """Remember what the log answered, whether or not anybody still waits for it."""
        now = self._clock.monotonic()
        failed = repeated = 0
        candidates, known, pending, window = group.candidates, group.fates, self._pending, self._window
        for index, fate in zip(indices, fates, strict=True):
            known[index] = fate
            key = candidates[index].key
            if isinstance(fate, LogError):
                failed += 1
                if key is not None and isinstance(fate, LogUnavailable) and fate not in (WITHDRAWN, ELSEWHERE):
                    self._doubtful.add(key, now)
            else:
                repeated += fate is REPEATED
                if key is not None:
                    window.add(key, now)
            if key is not None:
                del pending[key]
        group.left -= len(indices)
        group.failed = group.failed or failed > 0
        if group.claims:
            self._settle_claims(group, indices)
        stream = group.candidates[0].accepted.stream.name
        telemetry.intake_events(stream, "stored", len(indices) - failed - repeated)
        if failed:
            telemetry.intake_events(stream, "failed", failed)
        if repeated:
            group.repeated += repeated
            telemetry.intake_events("", "repeated", repeated)
        if not group.left:
            errors = [fate for fate in group.fates if isinstance(fate, LogError)] if group.failed else []
            group.span.note({"gateway.events.failed": len(errors)})
            group.span.end(type(errors[0]).__name__ if errors else None)
            for tell_known in group.waiters:
                tell_known()

    def _settle_claims(self, group: Group, indices: Sequence[int]) -> None:
        """Tell other gateways what became of those that were claimed."""
        assert self.claiming is not None
        told: tuple[list[bytes], list[bytes]] = [], []
        for index in indices:
            if (claim := group.claims.pop(index, None)) is None:
                continue
            fate = group.fates[index]
            key = group.candidates[index].key
            if isinstance(fate, LogUnavailable) and fate is not WITHDRAWN and key is not None:
                self.claiming.doubt(claim, group.candidates[index].accepted.topic, key)
            else:
                told[isinstance(fate, LogError)].append(claim)
        self.claiming.settle(*told)


def known_by(topic: str, key: Key) -> bytes:
    """The name of an event for other gateways: its stream and id cannot be read out of it."""
    stream, given_id = key
    parts = f"{len(topic)}:{topic}{len(stream)}:{stream}{given_id}"
    return hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=16).digest()


def note_of(key: Key) -> bytes:
    """The name of an event for a log that keeps claims: the text of its stream and id, or a hash of it if it is
    long."""
    note = "\0".join(key).encode(errors="surrogatepass")
    return note if len(note) <= NOTE_BYTES else b"\xfe" + hashlib.blake2b(note, digest_size=32).hexdigest().encode()


def _described(stream: Stream, count: int) -> Attributes:
    """The attributes of an append in a trace."""
    return {
        "messaging.operation.type": "send",
        "messaging.destination.name": stream.topics[0],
        "messaging.batch.message_count": count,
        "gateway.stream": stream.name,
    }
