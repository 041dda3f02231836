"""`GET /v2/stream/{streams}`: a plain ASGI application, one for all clients."""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.parse
from collections.abc import Callable, Set
from contextlib import nullcontext
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from gateway.access.grant import Grant
from gateway.catalog.catalog import Catalog
from gateway.cooperative import FairLock
from gateway.errors import LogUnavailable, Problem
from gateway.eventlog.port import TopicState, shown_identity
from gateway.routes.access import Viewers
from gateway.routes.admission import Admission, Lease
from gateway.routes.exhausted import ExhaustedFilters
from gateway.routes.lasting import end_at, end_the_old
from gateway.routes.overview import visitor
from gateway.routes.parameters import PARAMETERS, RequestBounds, check_partitions, read_request
from gateway.routes.problems import answer
from gateway.routes.request_ids import TOLD
from gateway.routes.settled import SettleOptions, is_known, range_validator
from gateway.routes.sink import CONNECTION, EXCHANGE, HALF_CLOSED, Exchange, Response, SendSink, take_over
from gateway.schemas.repository import SchemaRepository
from gateway.subscription.services import Services
from gateway.subscription.session import OPEN_WAIT, Session
from gateway.subscription.subscription import Request
from gateway.wire import gzip
from gateway.wire.format import NOTHING

logger = logging.getLogger("gateway")

STREAM_PREFIX = "/v2/stream/"
METHODS = ("GET", "HEAD")
NO_STORE = [(b"cache-control", b"no-store")]
READ_HEADERS = (b"accept", b"accept-encoding", b"last-event-id")
WARNING_HEADER = b"gateway-warning"
"""Tells what a request names and the schemas of its streams exclude, a line each."""

HONOURED_HEADER = b"event-gateway"
"""Lists the parameters that are honoured, so that a client knows what it may leave to the server."""

LOG_HEADER = b"event-gateway-log"
"""Tells one log from another, so that a mirror knows whether it reads what it writes."""

HEARTBEAT_HEADER = b"event-gateway-heartbeat"
"""Seconds of silence after which a heartbeat comes, so that a client knows how long it may be silent."""


class _Entry(NamedTuple):
    """The facts that a stream was opened with: the streams its client may see, the expiry that ends it, and its
    count in the limits."""

    grant: Grant
    timer: asyncio.TimerHandle | None
    lease: Lease | None
    address: str


class StreamEndpoint:
    """Reads the request, answers what is wrong with it, and hands the rest to a session."""

    def __init__(
        self,
        services: Services,
        viewers: Viewers,
        bounds: RequestBounds,
        admission: Admission | None = None,
        settling: SettleOptions | None = None,
        schemas: Callable[[], SchemaRepository] | None = None,
    ) -> None:
        self._schemas = schemas
        self._settling = settling
        self._services = services
        self._viewers = viewers
        self._bounds = bounds
        self._admission = admission
        self._exhausted = ExhaustedFilters(services.clock)
        self._reading = FairLock()
        """Of requests that have a filter, which may take milliseconds to compile."""
        self.sessions: dict[Session, _Entry] = {}
        """Those that run now."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Of the responses that have taken their connection over."""
        self.draining = False
        """Whether a stream that begins ends at once, in order: a browser does not come back after an answer that
        refuses it one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _check_method(scope)
            lease = None if self._admission is None else await self._admission.enter(scope)
        except Problem as problem:
            await answer(problem)(scope, receive, send)
            return
        address = "" if self._admission is None else self._admission.address(scope)
        try:
            grant = await self._viewers.reader(scope, brief=True)
            request, named_in = await self._read_counted(scope, self._viewers.readable(grant), lease)
            self._exhausted.check(address, request.selection)
        except BaseException as error:
            if lease is not None:
                lease.release()
            if not isinstance(error, Problem):
                raise
            await answer(error)(scope, receive, send)
            return
        pace, charge = (None, None) if lease is None else (lease.pace, lease.charge)
        asking = visitor(scope, None if self._admission is None else address)
        session = Session(self._services, request, pace, charge, asking)
        timer = end_at(grant.expires, self._services.clock, session) if grant.by_token else None
        self.sessions[session] = _Entry(grant, timer, lease, address)
        if self.draining:
            session.stop()
        try:
            if request.origin.requested:
                check_partitions(request, await self._counts(request), named_in)
            finished = not await session.prepare()
            finished = finished and request.format.tells  # Of a table, the header line is sent all the same.
            if finished:
                self._close(session)
                await _answer_at_once(204, NO_STORE + _warnings(request), send)
                return
            etag = await self._validator(session)
            if etag is not None and is_known(etag, _header(scope, b"if-none-match")):
                self._close(session)
                await _answer_at_once(304, self._kept(etag, grant), send)
                return
            headers = self._headers(request) if etag is None else self._kept_headers(request, etag, grant)
            if scope["method"] == "HEAD":
                self._close(session)
                await _answer_at_once(200, headers, send)
                return
            # One that ends by itself leaves its connection to further requests.
            offered = None if request.finite else take_over(scope)
            probe = gzip.NOTHING if request.gzip else NOTHING if request.format.tells else b""
            response = None if offered is None else offered(probe)
            session.whole = etag is not None
            if response is not None:
                headers.append((b"connection", b"close"))
            exchange: Exchange | None = scope["extensions"].get(EXCHANGE) if response is not None else None
            if exchange is None or not exchange.begin(200, [*headers, *scope.get(TOLD, ())]):
                await send({"type": "http.response.start", "status": 200, "headers": headers})
        except Problem as problem:
            self._close(session)
            await answer(problem)(scope, receive, send)
            return
        except BaseException:
            self._close(session)
            raise
        if response is None:
            known = scope.get("extensions", {})
            sink = SendSink(receive, send, probe, known.get(HALF_CLOSED), known.get(CONNECTION))
            await self._carry(session, sink, whole=not request.format.tells)
        else:
            # A task of its own, so that the server's, with all that stands between here and there, ends now.
            self.tasks.add(asyncio.create_task(self._carry(session, response), name="stream"))

    def stop(self, hidden: Callable[[Grant], Set[str]]) -> int:
        """End the streams soon that hold one of the topics hidden from their client; how many."""
        ending = [
            session
            for session, entry in self.sessions.items()
            if session.request.selection.topics & hidden(entry.grant)
        ]
        for session in ending:
            session.stop()
        return len(ending)

    async def end_the_old(self, step: float) -> None:
        """End those that have lasted for long enough, for ever; looks every `step` seconds."""
        await end_the_old(self.sessions, self._services.clock, step)

    async def close(self) -> None:
        """Break off what still runs."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _validator(self, session: Session) -> str | None:
        """Of a response that caches may keep."""
        if self._settling is None:
            return None
        return await range_validator(self._settling, self._services.hub, session.request, session.start)

    def _kept_headers(self, request: Request, etag: str, grant: Grant) -> list[tuple[bytes, bytes]]:
        """Those of a response that caches may keep."""
        # What a proxy does not buffer, it does not keep either.
        changed = (b"cache-control", b"x-accel-buffering", b"vary")
        headers = [one for one in self._headers(request) if one[0] not in changed]
        return [*headers, *self._kept(etag, grant), (b"x-accel-buffering", b"yes")]

    def _kept(self, etag: str, grant: Grant) -> list[tuple[bytes, bytes]]:
        assert self._settling is not None
        scope = "private" if grant.by_token else "public"
        control = f"{scope}, max-age={self._settling.settled_max_age}"
        varies = b"accept, accept-encoding, authorization, last-event-id"
        return [(b"cache-control", control.encode()), (b"etag", etag.encode()), (b"vary", varies)]

    async def _carry(self, session: Session, response: Response, whole: bool = False) -> None:
        """`whole`: a part of the response must not be taken for all of it, since it cannot say that it is one."""
        try:
            await session.run(response)
            # Nor of what caches may keep.
            if (whole or session.whole) and not session.complete:
                await response.abort()
                return
            await response.finish()
        except Exception:
            logger.exception("a stream broke off")
            await response.abort()
        except asyncio.CancelledError:
            await response.abort()
            raise
        finally:
            self._close(session)
            # Here, since a callback would take memory for as long as the stream is open.
            self.tasks -= {asyncio.current_task()}

    def _close(self, session: Session) -> None:
        entry = self.sessions.pop(session, None)
        if entry is None:
            return
        session.close()
        if session.exhausted is not None:
            self._exhausted.remember(entry.address, session.request.selection, session.exhausted)
        if entry.timer is not None:
            entry.timer.cancel()
        if entry.lease is not None:
            entry.lease.release()

    async def _read_counted(self, scope: Scope, catalog: Catalog, lease: Lease | None) -> tuple[Request, str]:
        """`_read`, which counts by the time that it takes, whatever comes of it."""
        # A name may be written with escapes, too.
        has_filter = b"filter=" in urllib.parse.unquote_to_bytes(scope["query_string"])
        lock = self._reading if has_filter else nullcontext()
        taken = 0.0
        try:
            async with lock:
                begun = time.thread_time()
                try:
                    request, named_in = self._read(scope, catalog)
                finally:
                    taken = time.thread_time() - begun
        finally:
            if lease is not None:
                await lease.count_reading(taken)
        if lease is not None and request.selection.filter is not None:
            lease.check_filters()
        return request, named_in

    def _read(self, scope: Scope, catalog: Catalog) -> tuple[Request, str]:
        """The request, and the name of what its position came in."""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in READ_HEADERS:
                key, text = name.decode(), value.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        now, names = self._services.clock.now(), scope["path_params"]["streams"]
        schemas = None if self._schemas is None else self._schemas()
        return read_request(names, scope["query_string"], headers, catalog, self._bounds, now, schemas)

    async def _counts(self, request: Request) -> dict[str, int]:
        """The number of partitions of each existing topic. The log is asked if the position names more than are
        known, because another process may have seen them first. While the log is away, all are taken to exist."""
        hub, partitions = self._services.hub, request.origin.requested
        topics = {partition.topic for partition in partitions} & hub.discovery.existing
        states = {topic: hub.discovery.known[topic] for topic in topics}
        if any(
            partition.topic in states and partition.partition >= states[partition.topic].partitions
            for partition in partitions
        ):
            try:
                async with asyncio.timeout(OPEN_WAIT):
                    told = await hub.log.describe({partition.topic for partition in partitions})
                    states = {topic: state for topic, state in told.items() if isinstance(state, TopicState)}
            except (LogUnavailable, TimeoutError):
                return {}
        return {topic: state.partitions for topic, state in states.items()}

    def _headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        log = self._services.hub.discovery.log_identity
        usual = _usual_headers(request.format.content_type, request.gzip, log, self._services.heartbeat)
        return [*usual, *_warnings(request)]


@lru_cache(maxsize=64)
def _usual_headers(content_type: str, gzip: bool, log: str, heartbeat: float) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", content_type.encode()),
        *NO_STORE,
        (b"x-accel-buffering", b"no"),
        (b"vary", b"accept, accept-encoding"),
        (HONOURED_HEADER, ", ".join(PARAMETERS).encode()),
        (HEARTBEAT_HEADER, b"%g" % heartbeat),
    ]
    if identity := shown_identity(log):
        headers.append((LOG_HEADER, identity.encode()))
    if gzip:
        headers.append((b"content-encoding", b"gzip"))
    return headers


def _warnings(request: Request) -> list[tuple[bytes, bytes]]:
    return [(WARNING_HEADER, warning) for warning in request.warnings]


def _check_method(scope: Scope) -> None:
    if scope["method"] not in METHODS:
        allowed = ", ".join(METHODS)
        detail = f"{scope['method'][:20]} is not allowed here; allowed: {allowed}"
        raise Problem(405, "Method not allowed", detail, headers={"allow": allowed})


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for known, value in scope["headers"] if known == name), None)


async def _answer_at_once(status: int, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
