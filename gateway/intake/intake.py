"""Takes events in: judges them, stores each once, and tells what became of it."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway import telemetry
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.definitions import Current
from gateway.errors import LogError, LogUnavailable, Problem
from gateway.event import NewRecord
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import EventLog
from gateway.intake.accept import Accepted, InvalidEvent, accept
from gateway.intake.apart import BadBody, Piece, TooManyEvents, take_apart
from gateway.intake.batch import Batcher, Waiting
from gateway.intake.body import REPORTS
from gateway.intake.error_event import error_event, named
from gateway.intake.report import as_event
from gateway.intake.window import Window

LOG_SECONDS = 4.8
"""An answer waits so long for the log, and not longer: 503 is due within five seconds."""
TURN_SECONDS = 0.005
"""The event loop is left to others after so long."""
HINTS = 10
"""Events of a request for which a guess is made what a wrong name means."""
RETRY_SECONDS = 2
"""What a client is told to wait where the log is away."""

_WITHDRAWN = LogUnavailable("the log does not answer; the event is not stored")
_UNKNOWN = LogUnavailable(
    "the log did not answer in time, and may have stored it or not; sent again with the same meta.id, it is stored once"
)

_NAMESPACE = uuid.UUID("5f0b4c0e-6c1b-5d3a-9f57-6d6f7a5f3f0e")
"""Of the ids that follow from an Idempotency-Key (RFC 9562 section 5.5)."""


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """Bytes, seconds and numbers; see the settings of the same names."""

    max_bytes: int = 4_194_304
    max_events: int = 1000
    event_max_bytes: int = 1_000_000
    queue_bytes: int = 67_108_864
    window_seconds: float = 600.0
    window_events: int = 500_000
    error_stream: str | None = None
    report_stream: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A body and what is said of it. `public`: only public streams exist for its sender."""

    body: bytes
    media_type: str
    public: bool = True
    hasty: bool = False
    request_id: str | None = None
    idempotency_key: str | None = None


class Refused(NamedTuple):
    """An event that is not stored, and why."""

    index: int
    piece: Piece
    detail: str


@dataclass(slots=True)
class Outcome:
    """What became of the events of a request. `stored` counts those `repeated` too; of a hasty request, it counts what
    was handed to the log."""

    hasty: bool = False
    stored: int = 0
    repeated: int = 0
    invalid: list[Refused] = field(default_factory=list)
    failed: list[Refused] = field(default_factory=list)
    unavailable: bool = False
    """Whether any failed since the log did not answer."""


class _Claim(NamedTuple):
    """An event of a request on its way to the log. `key` is what it is known by, where it may be sent again."""

    index: int
    accepted: Accepted
    key: tuple[str, str] | None


class Intake:
    """One for a process. `take` may be called by many at once."""

    def __init__(self, log: EventLog, current: Current, clock: Clock, options: IntakeOptions) -> None:
        self.options = options
        self._current = current
        self._clock = clock
        self._batcher = Batcher(log)
        self._stored = Window(options.window_seconds, options.window_events)
        self._keys = Window(options.window_seconds, options.window_events)
        self._pending: dict[tuple[str, str], asyncio.Future[Fate]] = {}
        self._reading = 0
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._reports: set[asyncio.Task[None]] = set()
        self.draining = False

    def hold(self, size: int) -> None:
        """Count bytes of a body that is being read; `release` is called for them. Raises Problem(503) where what is
        held already is all that may be."""
        if self._reading + self._batcher.size + size > self.options.queue_bytes:
            telemetry.intake_full()
            detail = "more comes in than the log takes (intake_queue_bytes); send it again in a moment"
            raise Problem(503, "Overloaded", detail, headers={"retry-after": "1"})
        self._reading += size

    def release(self, size: int) -> None:
        """Forget bytes that were held."""
        self._reading -= size

    def observe(self, topic: str, event: Mapping[str, Any]) -> None:
        """An event was read from the log, where this process or another one has put it."""
        meta = event.get("meta")
        if type(meta) is not dict:
            return
        name, given_id = meta.get("stream"), meta.get("id")
        if type(name) is str and type(given_id) is str:
            stream = self._current.catalog.streams.get(name)
            if stream is not None and topic in stream.topics and stream.schema_title is not None:
                self._stored.add((name, given_id), self._clock.monotonic())

    async def close(self) -> None:
        """Take nothing more, and return when what was taken is stored, or has failed."""
        self.draining = True
        await self._idle.wait()
        await self._batcher.drain()
        if self._reports:
            await asyncio.wait(self._reports)
            await self._batcher.drain()

    async def take(self, submission: Submission) -> Outcome:
        """Judge and store. Raises Problem for what is wrong with the request as a whole."""
        self._running += 1
        self._idle.clear()
        try:
            return await self._take(submission)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _take(self, submission: Submission) -> Outcome:
        outcome = Outcome(hasty=submission.hasty)
        turn = _Turn()
        pieces = await self._pieces(submission.body, turn)
        digest = self._checked_key(submission)
        judged = await self._judge(pieces, submission, digest, outcome, turn)
        if outcome.invalid:
            self._tell_invalid(outcome.invalid)
        waiting, repeats = self._put(judged, pieces, outcome)
        if waiting and submission.idempotency_key is not None:
            now = self._clock.monotonic()
            self._keys.add(submission.idempotency_key, now)
            self._keys.add((submission.idempotency_key, digest), now)
        if submission.hasty:
            outcome.stored += len(judged) - outcome.stored
            outcome.repeated += len(repeats)
            return outcome
        await self._wait([one.fates for one, _ in waiting] + [fate for _, fate in repeats])
        for one, claims in waiting:
            self._learn(one, claims, pieces, outcome)
        for claim, fate in repeats:
            known = fate.result() if fate.done() else _UNKNOWN
            outcome.repeated += not isinstance(known, LogError)
            _count(outcome, claim.index, pieces, known)
        outcome.failed.sort(key=lambda refused: refused.index)
        return outcome

    async def _pieces(self, body: bytes, turn: _Turn) -> list[Piece]:
        pieces: list[Piece] = []
        try:
            for chunk in take_apart(body, self.options.max_events):
                pieces += chunk
                await turn.give_way()
        except BadBody as error:
            raise Problem(400, "Bad body", str(error)) from None
        except TooManyEvents:
            detail = f"a request has at most {self.options.max_events} events (intake_max_events)"
            raise Problem(413, "Too many events", detail) from None
        return pieces

    def _checked_key(self, submission: Submission) -> str:
        """What tells the body from others, where the request has an Idempotency-Key. Raises Problem(422) where the key
        came with another body."""
        key = submission.idempotency_key
        if key is None:
            return ""
        digest = hashlib.blake2b(submission.body, digest_size=16).hexdigest()
        if key in self._keys and (key, digest) not in self._keys:
            detail = "this key came with another body before; a new request takes a new key"
            raise Problem(422, "Idempotency-Key is used already", detail, "Idempotency-Key")
        return digest

    async def _judge(
        self, pieces: list[Piece], submission: Submission, digest: str, outcome: Outcome, turn: _Turn
    ) -> list[_Claim]:
        definitions = self._current.definitions
        catalog = definitions.public_catalog if submission.public else definitions.catalog
        schemas = definitions.schemas
        reports = None
        if submission.media_type == REPORTS and self.options.report_stream is not None:
            reports = definitions.catalog.streams.get(self.options.report_stream)
        request_id = submission.request_id or str(uuid.uuid4())
        now = self._clock.now()
        key = submission.idempotency_key
        claims = []
        for index, piece in enumerate(pieces):
            if index & 15 == 15:
                await turn.give_way()
            try:
                if piece.fault is not None:
                    raise InvalidEvent(piece.fault)
                text, event = piece.text, piece.event
                if len(text) > self.options.event_max_bytes:
                    raise InvalidEvent(
                        f"it has {len(text)} bytes, and may have {self.options.event_max_bytes} (intake_event_max_bytes)"
                    )
                if reports is not None:
                    text, event = as_event(text, event, reports, schemas, now)
                new_id = None if key is None else str(uuid.uuid5(_NAMESPACE, f"{key}/{digest}/{index}"))
                accepted = accept(
                    text,
                    event,
                    catalog if reports is None else definitions.catalog,
                    schemas,
                    now,
                    new_id=new_id,
                    request_id=request_id,
                    hint=len(outcome.invalid) < HINTS,
                )
            except InvalidEvent as error:
                outcome.invalid.append(Refused(index, piece, error.detail))
                continue
            known_by = accepted.given_id or new_id
            claims.append(_Claim(index, accepted, None if known_by is None else (accepted.stream.name, known_by)))
        return claims

    def _put(
        self, claims: list[_Claim], pieces: list[Piece], outcome: Outcome
    ) -> tuple[list[tuple[Waiting, list[_Claim]]], list[tuple[_Claim, asyncio.Future[Fate]]]]:
        """Hand what is new to the log. Those that are stored already are counted; those that others have handed over
        are given back with the future that tells what became of them."""
        fresh: dict[str, list[_Claim]] = {}
        repeats = []
        loop = asyncio.get_running_loop()
        for claim in claims:
            key = claim.key
            if key is not None:
                if key in self._stored:
                    outcome.stored += 1
                    outcome.repeated += 1
                    continue
                pending = self._pending.get(key)
                if pending is not None:
                    repeats.append((claim, pending))
                    continue
                self._pending[key] = loop.create_future()
            fresh.setdefault(claim.accepted.stream.name, []).append(claim)
        if outcome.repeated:
            telemetry.intake_events("", "repeated", outcome.repeated)
        waiting = []
        for group in fresh.values():
            stream = group[0].accepted.stream
            records = [NewRecord(claim.accepted.value, claim.accepted.key, claim.accepted.timestamp) for claim in group]
            one = self._batcher.put(stream, records)
            one.fates.add_done_callback(self._settler(stream, group))
            waiting.append((one, group))
        return waiting, repeats

    def _settler(self, stream: Stream, claims: list[_Claim]) -> Callable[[asyncio.Future[list[Fate]]], None]:
        """What is remembered once the log has answered, whether or not anybody still waits for it."""

        def settle(answered: asyncio.Future[list[Fate]]) -> None:
            now = self._clock.monotonic()
            failed = 0
            for claim, fate in zip(claims, answered.result(), strict=True):
                failed += isinstance(fate, LogError)
                if claim.key is None:
                    continue
                if not isinstance(fate, LogError):
                    self._stored.add(claim.key, now)
                self._pending.pop(claim.key).set_result(fate)
            telemetry.intake_events(stream.name, "stored", len(claims) - failed)
            telemetry.intake_events(stream.name, "failed", failed)

        return settle

    async def _wait(self, fates: list[asyncio.Future[Any]]) -> None:
        if fates:
            await asyncio.wait(fates, timeout=LOG_SECONDS)

    def _learn(self, one: Waiting, claims: list[_Claim], pieces: list[Piece], outcome: Outcome) -> None:
        """What the log said of each, or that it has said nothing in time."""
        if not one.fates.done() and self._batcher.withdraw(one):
            one.fates.set_result([_WITHDRAWN] * len(claims))
        fates: list[Fate]
        if one.fates.done():
            fates = one.fates.result()
        else:
            fates = [_UNKNOWN] * len(claims)
        for claim, fate in zip(claims, fates, strict=True):
            _count(outcome, claim.index, pieces, fate)

    def _tell_invalid(self, invalid: list[Refused]) -> None:
        """Count what was refused, and make it events of the error streams, which nobody waits for."""
        definitions = self._current.definitions
        targets: list[tuple[Refused, Stream]] = []
        for refused in invalid:
            name, _ = named(refused.piece.event)
            stream = None if name is None else definitions.catalog.streams.get(name)
            telemetry.intake_events("" if stream is None else stream.name, "invalid", 1)
            wanted = (stream.error_stream if stream is not None else None) or self.options.error_stream
            target = definitions.catalog.streams.get(wanted) if wanted is not None else None
            # What is wrong with an error event is not told by another one.
            if target is not None and stream is not target:
                targets.append((refused, target))
        if targets:
            task = asyncio.create_task(self._report(targets))
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)

    async def _report(self, targets: list[tuple[Refused, Stream]]) -> None:
        definitions = self._current.definitions
        turn = _Turn()
        for refused, target in targets:
            piece = refused.piece
            await turn.give_way()
            try:
                made = error_event(
                    piece.text,
                    piece.event,
                    refused.detail,
                    target,
                    definitions.catalog,
                    definitions.schemas,
                    self._clock.now(),
                )
                self.hold(len(made.value))
                self.release(len(made.value))
            except (InvalidEvent, Problem) as error:
                telemetry.error_event_lost(target.name, str(error))
                continue
            put = self._batcher.put(target, [NewRecord(made.value, made.key, made.timestamp)])
            put.fates.add_done_callback(_tell_lost(target.name))


class _Turn:
    """Leaves the event loop to others where it was kept for long."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()

    async def give_way(self) -> None:
        if self._loop.time() - self._begun > TURN_SECONDS:
            await asyncio.sleep(0)
            self._begun = self._loop.time()


def _count(outcome: Outcome, index: int, pieces: list[Piece], fate: Fate) -> None:
    if not isinstance(fate, LogError):
        outcome.stored += 1
        return
    if isinstance(fate, LogUnavailable):
        outcome.unavailable = True
        # What the adapter says is for the operator.
        fate = fate if fate is _WITHDRAWN else _UNKNOWN
    outcome.failed.append(Refused(index, pieces[index], str(fate)))


def _tell_lost(stream: str) -> Callable[[asyncio.Future[list[Fate]]], None]:
    def tell(answered: asyncio.Future[list[Fate]]) -> None:
        for fate in answered.result():
            if isinstance(fate, LogError):
                telemetry.error_event_lost(stream, str(fate))

    return tell
