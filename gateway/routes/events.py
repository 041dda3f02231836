"""`POST /v1/events`: a plain ASGI application, so that a request costs little beside its events."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from gateway.cooperative import give_way
from gateway.description.intake import PARAMETERS as DESCRIBED
from gateway.errors import MISTAKE, Problem
from gateway.intake.body import BATCHED, CLOUDEVENTS, IDENTITY, STRUCTURED, Expander, coding, media_type, too_large
from gateway.intake.cloudevent import MARK, binary_body
from gateway.intake.idempotency import RETRY_SECONDS
from gateway.intake.intake import Intake
from gateway.intake.outcome import Outcome, Rejected, Submission
from gateway.intake.telling import away, forbidden
from gateway.observability import request_id, telemetry
from gateway.observability.tracing import NO_SPAN, NO_TRACER, Attributes, Span, Tracer
from gateway.routes.access import Viewers
from gateway.routes.admission import BODY_BYTES, Admission
from gateway.routes.problems import answer
from gateway.routes.request_ids import TOLD
from gateway.routes.sink import EXCHANGE, Exchange

EVENTS_PATH = "/v1/events"
PARAMETERS = tuple(DESCRIBED)
BODY_SECONDS = 30.0
"""A body has come by then."""
UNREAD_SECONDS = 2.0
"""Seconds for which the unread rest of a body is discarded, so that the sender receives the reason."""
KEY_CHARACTERS = 255
SHOWN_EVENT_BYTES = 4096
SHOWN_BYTES = 256 * 1024
"""The longest event that an answer repeats, and all of them together; of others there is the beginning."""
EXCERPT_BYTES = 200

_PRINTABLE = re.compile(rb"[\x20-\x7e]+")


class EventsEndpoint:
    """The intake over HTTP."""

    def __init__(
        self, intake: Intake, viewers: Viewers, admission: Admission | None = None, tracer: Tracer = NO_TRACER
    ) -> None:
        self._intake = intake
        self._viewers = viewers
        self._admission = admission
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Other methods are refused, and may be any text (semantic conventions: `_OTHER`).
        method = "POST" if scope["method"] == "POST" else "_OTHER"
        described = {"http.request.method": method, "http.route": EVENTS_PATH}
        span = self._tracer.request(f"{method} {EVENTS_PATH}", scope["headers"], described)
        status = None
        try:
            status = await self._answer(scope, receive, send, span)
        finally:
            if status is not None:
                span.note({"http.response.status_code": status})
            span.end("gone" if status is None else str(status) if status >= 500 else None)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, span: Span) -> int | None:
        """Returns the status of the answer; None where the client went away."""
        headers = dict(scope["headers"])
        exchange: Exchange | None = scope.get("extensions", {}).get(EXCHANGE)
        unread = b"content-length" in headers or b"transfer-encoding" in headers
        body = _Body(self._intake, receive, unread, exchange)
        try:
            counted = _Counted(None if self._admission is None else partial(self._admission.take_events, scope))
            submission = await self._read(scope, headers, body, counted, span)
            async with self._intake.split(submission) as split:
                if len(split.pieces) > counted.count:
                    await counted.reach(len(split.pieces))
                outcome = await self._intake.take(split)
            if span is not NO_SPAN:
                span.note(_counts(outcome))
            status, document = _told(outcome)
        except _Gone:
            return None
        except Problem as problem:
            await _refuse(problem, body, scope, send)
            return problem.status
        except Exception as error:
            telemetry.intake_broken(error)
            await _refuse(Problem(500, "Internal error", MISTAKE), body, scope, send)
            return 500
        finally:
            body.release()
        content = orjson.dumps(document) + b"\n"
        head = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if outcome.unavailable:
            # Some are stored; the log may take the others later.
            head.append((b"retry-after", b"%d" % RETRY_SECONDS))
        if exchange is not None and exchange.answer(status, [*head, *scope.get(TOLD, ())], content):
            return status
        head.append((b"content-length", b"%d" % len(content)))
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": content})
        return status

    async def _read(
        self, scope: Scope, headers: dict[bytes, bytes], body: _Body, counted: _Counted, span: Span
    ) -> Submission:
        if scope["method"] != "POST":
            detail = f"{scope['method'][:20]} is not allowed here; allowed: POST"
            raise Problem(405, "Method not allowed", detail, headers={"allow": "POST"})
        await counted.reach(1)
        grant = await self._viewers.writer(scope)
        query = scope["query_string"]
        hasty, stream = _parameters(query) if query else (False, None)
        in_headers = MARK in headers and _is_binary(headers)
        kind = STRUCTURED if in_headers else media_type(_text(headers.get(b"content-type")))
        if stream is not None and kind not in CLOUDEVENTS:
            raise _bad("stream", "it is for CloudEvents; other events name theirs in `meta.stream`")
        key = _idempotency_key(headers.get(b"idempotency-key"))
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > self._intake.options.intake_max_bytes:
            raise too_large(self._intake.options.intake_max_bytes)
        await body.read(coding(_text(headers.get(b"content-encoding"))))
        name = request_id.current.get()
        if len(body.data) > BODY_BYTES:
            await counted.reach(len(body.data) // BODY_BYTES)
        content = binary_body(scope["headers"], body.data) if in_headers else body.data
        if kind in CLOUDEVENTS and (content.lstrip()[:1] == b"[") != (kind == BATCHED):
            what = f"an array of CloudEvents is {BATCHED}, and one alone is {STRUCTURED}"
            raise Problem(400, "Bad body", what, "Content-Type")
        return Submission(content, kind, grant, hasty, name, key, span, stream)


class _Counted:
    """The number of events that a request counts as so far. `take` counts more, and raises Problem."""

    def __init__(self, take: Callable[[int], Awaitable[None]] | None) -> None:
        self._take = take
        self.count = 0

    async def reach(self, count: int) -> None:
        """Count it as this many in all. Raises Problem(429)."""
        more = count - self.count
        if self._take is not None and more > 0:
            self.count = count
            await self._take(more)


class _Gone(Exception):
    """The client went away before its body was whole."""


class _Body:
    """The body of one request, counted by the intake for as long as it is held."""

    def __init__(self, intake: Intake, receive: Receive, unread: bool, exchange: Exchange | None) -> None:
        self._intake = intake
        self._receive = receive
        self._exchange = exchange
        self._held = 0
        self.data = b""
        self.unread = unread
        """Whether there is, or may be, more to be read."""

    async def read(self, coding: str) -> None:
        """Read and expand all of it. Raises Problem and _Gone."""
        most = self._intake.options.intake_max_bytes
        whole = self._exchange.take_body() if self._exchange is not None and self.unread else None
        if whole is not None:
            self.unread = False
            if coding == IDENTITY and len(whole) <= most:
                self._hold(len(whole))
                self.data = whole
                return
        expander = Expander(coding, most)
        if whole is not None:
            self._take(expander, whole)
        try:
            if self.unread:
                await self._read_parts(expander)
        except TimeoutError:
            raise Problem(408, "Request timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None
        self.data = expander.finish()

    async def _read_parts(self, expander: Expander) -> None:
        async with asyncio.timeout(BODY_SECONDS):
            while self.unread:
                self._take(expander, (await self._next()).get("body", b""))
                if self.unread:
                    await give_way()

    def _take(self, expander: Expander, part: bytes) -> None:
        expander.feed(part)
        if expander.size > self._held:
            self._hold(expander.size)

    def _hold(self, size: int) -> None:
        """Count what is held as so many bytes in all. Raises Problem(503)."""
        self._intake.hold(size - self._held)
        self._held = size

    async def discard(self) -> None:
        """Throw away what is not read yet, for a while."""
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                while self.unread:
                    await self._next()
                    await give_way()
        except (TimeoutError, _Gone):
            pass

    def release(self) -> None:
        """It is held no longer."""
        self._intake.release(self._held)
        self._held = 0

    async def _next(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        self.unread = message.get("more_body", False)
        return message


async def _refuse(problem: Problem, body: _Body, scope: Scope, send: Send) -> None:
    """Answer with a problem. A sender that is still sending gets the answer first; then the connection ends, since
    nobody would read the rest of its body."""
    if not body.unread:
        await answer(problem)(scope, _nothing, send)
        return
    response = answer(problem)
    headers = [*response.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    await body.discard()
    await send({"type": "http.response.body", "body": b""})


def _counts(outcome: Outcome) -> Attributes:
    """The outcome of the events, for a trace."""
    return {
        "gateway.hasty": outcome.hasty,
        "gateway.events.stored": outcome.stored,
        "gateway.events.repeated": outcome.repeated,
        "gateway.events.invalid": len(outcome.invalid),
        "gateway.events.failed": len(outcome.failed),
    }


async def _nothing() -> Any:
    raise AssertionError(MISTAKE)


def _told(outcome: Outcome) -> tuple[int, dict[str, Any]]:
    """The status and the body for what became of the events. Raises Problem where none is stored."""
    refused = {}
    if outcome.invalid or outcome.failed:
        budget = _Budget()
        refused = {"invalid": budget.entries(outcome.invalid), "error": budget.entries(outcome.failed)}
    if outcome.stored:
        status = 207 if refused else 202 if outcome.hasty else 201
        word = "accepted" if outcome.hasty else "stored"
        return status, {word: outcome.stored, "repeated": outcome.repeated, **refused}
    if outcome.unavailable:
        headers = {"retry-after": str(RETRY_SECONDS)}
        raise Problem(503, "Log unavailable", away(outcome.why), headers=headers, members=refused)
    if outcome.forbidden:
        # Nothing says when: sent again, it fails again until somebody acts.
        raise Problem(500, "Events cannot be stored", forbidden(outcome.why), members=refused)
    count = len(outcome.invalid) + len(outcome.failed)
    first = (outcome.invalid or outcome.failed)[0]
    detail = first.detail if count == 1 else f"none of the {count} events is stored; the first error: {first.detail}"
    raise Problem(400, "Invalid events", detail, members=refused)


class _Budget:
    """The bytes of its events that an answer may repeat."""

    def __init__(self) -> None:
        self._left = SHOWN_BYTES

    def entries(self, refused: Sequence[Rejected]) -> list[dict[str, object]]:
        """The list in the answer."""
        return [{"index": one.number, "event": self._shown(one), "detail": one.detail} for one in refused]

    def _shown(self, refused: Rejected) -> object:
        text = refused.piece.text
        if len(text) <= min(SHOWN_EVENT_BYTES, self._left):
            self._left -= len(text)
            # What orjson cannot write again is shown as text.
            return orjson.Fragment(text) if refused.piece.fault is None else text.decode(errors="replace")
        return text[:EXCERPT_BYTES].decode(errors="replace") + "…"


def _parameters(query: bytes) -> tuple[bool, str | None]:
    """Whether the request is hasty, and the stream that it names. Raises Problem(400)."""
    given: dict[str, str] = {}
    for name, value in QueryParams(query).multi_items():
        if name not in PARAMETERS:
            close = difflib.get_close_matches(name[:100], PARAMETERS, cutoff=0.5)
            hint = f"; did you mean `{close[0]}`?" if close else f"; there are {' and '.join(PARAMETERS)}"
            raise _bad(name, f"there is no such parameter{hint}")
        if name in given:
            raise _bad(name, "it is given more than once; send it once")
        given[name] = value
    hasty = given.get("hasty")
    if hasty not in (None, "true", "false"):
        raise _bad("hasty", f"it must be `true` or `false`, not {hasty[:100]!r}")
    return hasty == "true", given.get("stream")


def _is_binary(headers: dict[bytes, bytes]) -> bool:
    """Whether an event stands in the headers: structured mode may repeat its attributes there."""
    return not (headers.get(b"content-type") or b"").lower().startswith(b"application/cloudevents")


def _idempotency_key(header: bytes | None) -> str | None:
    """A key, which may stand in quotes (draft-ietf-httpapi-idempotency-key-header). Raises Problem(400)."""
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key.startswith(b'"') and key.endswith(b'"'):
        key = key[1:-1]
    if len(key) > KEY_CHARACTERS or _PRINTABLE.fullmatch(key) is None:
        raise _bad("Idempotency-Key", f"it must be 1 to {KEY_CHARACTERS} printable ASCII characters")
    return key.decode()


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def _bad(parameter: str, detail: str) -> Problem:
    return Problem(400, "Bad request", f"`{parameter[:100]}`: {detail}", parameter[:100])
