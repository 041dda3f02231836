"""Takes events in: validates them, stores each once, and reports what became of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from types import TracebackType

from gateway.catalog.catalog import Catalog
from gateway.claims.port import Claims, Keys
from gateway.clock import Clock
from gateway.cooperative import Yielder
from gateway.definitions import Current
from gateway.errors import LogError, Problem, Refused
from gateway.eventlog.trouble import Kind, Trouble, trouble_with
from gateway.hub.hub import Hub
from gateway.hub.reach import reach_end
from gateway.intake.batch import FAILURES, WITHDRAWN
from gateway.intake.body import CLOUDEVENTS, REPORTS
from gateway.intake.cloudevent import stream_of, validate_cloudevent
from gateway.intake.error_stream import ErrorStreams
from gateway.intake.idempotency import IdempotencyKeys, log_unavailable
from gateway.intake.looks import Looks
from gateway.intake.options import IntakeOptions
from gateway.intake.outcome import Outcome, Rejected, SplitBody, Submission
from gateway.intake.report import as_event, is_report
from gateway.intake.split import BadBody, Piece, TooManyEvents, split_plainly, split_slowly
from gateway.intake.store import Candidate, Store
from gateway.intake.telling import is_forbidden, told_of
from gateway.intake.validate import Accepted, InvalidEvent, SchemaAway, Targets, validate
from gateway.observability import telemetry
from gateway.schemas.repository import SchemaRepository

LOG_SECONDS = 4.8
"""Seconds that an answer waits for the log: 503 is due within five seconds."""
HINTS = 10
"""Events of a request for which a guess is made what a wrong name means."""
NO_REPORTS = "it is a browser report, and no stream takes these (report_stream)"
LARGE_BYTES = 262_144
"""A larger body is split beside the event loop, one at a time: no single step of it is slow, but their sum is."""
LOOK_EVENTS = 16
"""Events that are judged between two looks at the clock."""

_NAMESPACE = uuid.UUID("5f0b4c0e-6c1b-5d3a-9f57-6d6f7a5f3f0e")
"""Of the ids that follow from an Idempotency-Key (RFC 9562 section 5.5)."""


class Intake:
    """One for a process. The body of a request is split, and then its events are taken; many requests may be under way
    at once. `claims` are shared with other gateways over the same log, and so are `keys`, the bodies of
    Idempotency-Keys. Without them, this process and the log decide.

    The hub calls `observe`.
    """

    def __init__(
        self,
        hub: Hub,
        current: Current,
        clock: Clock,
        options: IntakeOptions,
        claims: Claims | None = None,
        keys: Keys | None = None,
    ) -> None:
        self.options = options
        self._ahead_ms = round(1000 * options.timestamp_ahead_max)
        self._hub = hub
        self._current = current
        self._clock = clock
        self._looks = Looks(self._look)
        self._store = Store(
            hub.log,
            clock,
            options.idempotency_window,
            options.idempotency_events,
            hub.look_again,
            self._looks.look,
            claims,
        )
        self._errors = ErrorStreams(self._store, current, clock)
        self._one_large = asyncio.Lock()
        """Of bodies of more than LARGE_BYTES: what one takes once it is parsed is not there many times."""
        self._keys = IdempotencyKeys(clock, options.idempotency_window, options.idempotency_events, keys)
        self._observed = current.definitions
        self._takers = takers(current.catalog)
        self._cloudevents = cloudevent_takers(current.catalog)
        self._targets: tuple[Catalog, SchemaRepository, Targets] = (
            current.catalog,
            current.definitions.schemas,
            {},
        )
        """What events were for, by the catalogue and the schemas of the last request."""
        self._reading = 0
        self._running = 0
        self._idle: asyncio.Event | None = None
        """Set at the end of the last request, once the process stops."""
        self._draining = False

    @property
    def failing(self) -> dict[str, Trouble]:
        """The topics whose last append failed, and why."""
        return self._store.failing

    @property
    def held(self) -> int:
        """Bytes of bodies that are being read or judged."""
        return self._reading

    def hold(self, size: int) -> None:
        """Count bytes of a body that is being read; `release` is called for them. Raises Problem(503) where what is
        held already is all that may be."""
        if self._reading + self._store.size + size > self.options.intake_queue_bytes:
            telemetry.intake_full()
            detail = "events arrive faster than the log stores them (intake_queue_bytes); send it again in a moment"
            raise Problem(503, "Overloaded", detail, headers={"retry-after": "1"})
        self._reading += size

    def release(self, size: int) -> None:
        """Forget bytes that were held."""
        self._reading -= size

    def observe(self, topic: str, stream: str | None, given_id: str) -> None:
        """An event of this stream and id was read from the log, where this process or another one has put it.

        A CloudEvent names no stream: there is one for its topic."""
        definitions = self._current.definitions
        if definitions is not self._observed:
            self._observed = definitions
            self._takers = takers(definitions.catalog)
            self._cloudevents = cloudevent_takers(definitions.catalog)
        if stream is None:
            stream = self._cloudevents.get(topic)
        elif stream not in self._takers.get(topic, ()):
            stream = None
        if stream is not None:
            self._store.observe(stream, given_id)

    async def close(self) -> None:
        """Take nothing more, and return when what was taken is stored, or has failed."""
        self._draining = True
        if self._running:
            self._idle = asyncio.Event()
            await self._idle.wait()
        await self._errors.drain()
        await self._store.drain()
        await self._looks.close()

    async def run(self) -> None:
        """Keep what is shared with other gateways, for as long as the process serves."""
        if self._store.claiming is not None:
            await self._store.claiming.run()

    def split(self, submission: Submission) -> Splitting:
        """Split the body into its events, for `take` within the block: `async with` it. Raises Problem for what is
        wrong with the body as a whole, and while the process stops."""
        return Splitting(self, submission)

    async def begin(self, submission: Submission) -> SplitBody:
        """See `split`; `end` follows."""
        if self._draining:
            raise Problem(503, "Stopping", "the server is stopping; send it again", headers={"retry-after": "1"})
        self._running += 1
        split = None
        try:
            large = self._one_large if len(submission.body) > LARGE_BYTES else None
            if large is not None:
                await large.acquire()
            split = SplitBody(submission, submission.span.child("validate", {}), large)
            split.pieces = await self._pieces(submission.body)
        except BaseException as error:
            self.end(split, error)
            raise
        return split

    def end(self, split: SplitBody | None, error: BaseException | None) -> None:
        """The work on a body that was begun is over."""
        if split is not None:
            split.release(error)
        self._running -= 1
        if not self._running and self._idle is not None:
            self._idle.set()

    async def take(self, split: SplitBody) -> Outcome:
        """Judge the events and store them, once. Raises Problem for what is wrong with the request as a whole."""
        submission = split.submission
        outcome = Outcome(hasty=submission.hasty)
        digest = self._keys.digest(submission)
        candidates = await self._judge(split.pieces, submission, digest, outcome)
        # Parsed events take up to 25 times the bytes of their texts: they are let go of before the log is waited for.
        texts = [piece.text for piece in split.pieces]
        split.pieces = []
        split.validation.note({"gateway.events": len(texts), "gateway.events.invalid": len(outcome.invalid)})
        split.release()
        if candidates and submission.idempotency_key is not None:
            await self._keys.bind(submission.idempotency_key, digest)
        if outcome.invalid:
            self._errors.tell(outcome.invalid)
        if topics := self._store.doubtful(candidates, self._is_unread):
            with submission.span.child("read the log to its end", {}):
                sick = await self._read_to_the_end(topics)
            outcome.failed += [
                Rejected(one.number, Piece(texts[one.number], None), str(WITHDRAWN))
                for one in candidates
                if one.accepted.topic in sick
            ]
            outcome.unavailable |= bool(sick)
            candidates = [one for one in candidates if one.accepted.topic not in sick]
        handed = self._store.hand(candidates, submission.span)
        outcome.stored = outcome.repeated = handed.stored
        if submission.hasty:
            outcome.stored = len(candidates)
            outcome.repeated += len(handed.repeats)
            return outcome
        await self._store.wait(handed, LOG_SECONDS)
        stored, repeated, failures = self._store.settled(handed)
        outcome.stored += stored
        outcome.repeated += repeated
        for one, error in failures:
            outcome.failed.append(Rejected(one.number, Piece(texts[one.number], None), told_of(error)))
            forbidden = is_forbidden(error)
            if isinstance(error, FAILURES):
                outcome.why = outcome.why or trouble_with(error).kind
            outcome.forbidden |= forbidden
            outcome.unavailable |= isinstance(error, FAILURES) and not forbidden
        outcome.failed.sort(key=lambda refused: refused.number)
        return outcome

    def _is_unread(self, topic: str) -> bool:
        """Whether it is not known yet which events are stored: the hub has not begun to read the whole topic. Topics
        that the gateway may not read are never known."""
        hub = self._hub
        if not hub.filled.is_set():
            return True
        if not hub.sick:
            return False
        held = hub.ring.partitions()
        unbegun = [
            trouble for partition, trouble in hub.sick.items() if partition.topic == topic and partition not in held
        ]
        return any(trouble.kind is not Kind.NO_RIGHT for trouble in unbegun)

    async def _read_to_the_end(self, topics: set[str]) -> set[str]:
        """Wait until the hub has read all that the log has; then all events that were stored before are known.
        Returns the topics that cannot be read. Raises Problem(503) if the log does not answer, or takes too long."""
        sick: set[str] = set()
        try:
            async with asyncio.timeout(LOG_SECONDS):
                for topic in sorted(topics):
                    try:
                        # What this process has offered before is in the log by then, or never will be.
                        await self._hub.log.settle(topic)
                        await self._looks.look(topic)
                    except Refused:
                        sick.add(topic)
        except (LogError, TimeoutError):
            raise log_unavailable() from None
        return sick

    async def _look(self, topic: str) -> None:
        await reach_end(self._hub, [topic])

    async def _pieces(self, body: bytes) -> list[Piece]:
        most = self.options.intake_max_events
        large = len(body) > LARGE_BYTES
        try:
            pieces = await asyncio.to_thread(split_plainly, body, most) if large else split_plainly(body, most)
            if pieces is not None:
                return pieces
            pieces = []
            chunks = split_slowly(body, most)
            if large:
                while chunk := await asyncio.to_thread(next, chunks, None):
                    pieces += chunk
            else:
                work = Yielder()
                for chunk in chunks:
                    pieces += chunk
                    await work.give_way()
        except BadBody as error:
            raise Problem(400, "Bad body", str(error)) from None
        except TooManyEvents:
            raise Problem(413, "Too many events", f"a request has at most {most} events (intake_max_events)") from None
        return pieces

    async def _judge(
        self, pieces: Sequence[Piece], submission: Submission, digest: str, outcome: Outcome
    ) -> list[Candidate]:
        """The valid events; the others are added to the outcome."""
        definitions = self._current.definitions
        catalog = self._current.writable(submission.grant)
        schemas = definitions.schemas
        reports = None
        if submission.media_type == REPORTS and definitions.report_stream is not None:
            # Browsers report without a token, whatever stream it is that takes them; where one is needed, it has to do.
            reporting = definitions.catalog if submission.grant.writes_public else catalog
            reports = reporting.streams.get(definitions.report_stream)
        taking = stream_of(submission.stream, catalog) if submission.media_type in CLOUDEVENTS else None
        request_id = submission.request_id or str(uuid.uuid4())
        now = self._clock.now()
        key = submission.idempotency_key
        new_id = None
        most = self.options.intake_event_max_bytes
        work = Yielder()
        candidates = []
        if self._targets[:2] != (catalog, schemas):
            self._targets = catalog, schemas, {}
        known = self._targets[2]
        for index, piece in enumerate(pieces):
            # A guess at what a wrong name means takes longer than the rest.
            if index % LOOK_EVENTS == LOOK_EVENTS - 1 or 0 < len(outcome.invalid) <= HINTS:
                await work.give_way()
            text, event, fault = piece
            hint = len(outcome.invalid) < HINTS
            stream = None
            try:
                if fault is not None:
                    raise InvalidEvent(fault)
                if len(text) > most:
                    raise InvalidEvent(
                        f"the event has {len(text)} bytes; it may have at most {most} (intake_event_max_bytes)"
                    )
                if submission.media_type == REPORTS and is_report(event):
                    if reports is None:
                        raise InvalidEvent(NO_REPORTS)
                    text, event = as_event(text, event, reports, schemas, now)
                    stream = reports
                if taking is not None:
                    accepted = validate_cloudevent(text, event, taking, schemas, now, self._ahead_ms)
                    candidates.append(_candidate(index, accepted, accepted.given_id))
                    continue
                if key is not None:
                    new_id = str(uuid.uuid5(_NAMESPACE, f"{key}/{digest}/{index}"))
                accepted = validate(text, event, catalog, schemas, now, stream=stream, new_id=new_id,
                                  request_id=request_id, hint=hint, ahead_ms=self._ahead_ms, known=known)  # fmt: skip
            except InvalidEvent as error:
                outcome.invalid.append(Rejected(index, piece, error.detail, submission.stream))
                continue
            except SchemaAway as error:
                outcome.failed.append(Rejected(index, piece, str(error)))
                outcome.unavailable, outcome.why = True, outcome.why or Kind.NO_SCHEMA
                continue
            candidates.append(_candidate(index, accepted, accepted.given_id or new_id))
        return candidates


class Splitting:
    """See `Intake.split`: a class, since a generator for each request costs as much as to split some events."""

    __slots__ = ("_intake", "_split", "_submission")

    def __init__(self, intake: Intake, submission: Submission) -> None:
        self._intake = intake
        self._submission = submission
        self._split: SplitBody | None = None

    async def __aenter__(self) -> SplitBody:
        self._split = await self._intake.begin(self._submission)
        return self._split

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._intake.end(self._split, error)


def _candidate(index: int, accepted: Accepted, known: str | None) -> Candidate:
    return Candidate(index, accepted, None if known is None else (accepted.stream.name, known))


def cloudevent_takers(catalog: Catalog) -> dict[str, str]:
    """By topic, the stream that stores CloudEvents in it."""
    return {
        stream.topics[0]: stream.name
        for stream in catalog.streams.values()
        if stream.form == "cloudevents" and stream.schema_title is not None
    }


def takers(catalog: Catalog) -> dict[str, set[str]]:
    """By topic, the names of the streams that it holds and that take events."""
    found: dict[str, set[str]] = {}
    for stream in catalog.streams.values():
        for topic in stream.topics if stream.schema_title is not None else ():
            found.setdefault(topic, set()).add(stream.name)
    return found
