"""A subscription to event streams over HTTP: connects, reads, and reconnects whatever ends a connection."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Set
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import httpx

from gateway import json_text
from gateway.client.advice import WARNING, QueryWarning, clock_warning, read_warnings
from gateway.client.answer import (
    CONNECT_SECONDS,
    PASSING,
    authorization,
    bare,
    beginning,
    detail,
    excerpt,
    is_origin,
    is_settled,
    reason,
    refused_by_proxy,
    retry_after,
    silence,
)
from gateway.client.backoff import Backoff
from gateway.client.coding import check_coding, expanded
from gateway.client.duplicates import Duplicates
from gateway.client.errors import (
    ClientError,
    InvalidQuery,
    NotAnEventStream,
    Refused,
    StreamFailed,
)
from gateway.client.frame import StreamEvent
from gateway.client.gap import gap_of_large
from gateway.client.parser import MAXIMUM_EVENT_BYTES, EventStreamParser
from gateway.client.query import Query
from gateway.client.redirects import send
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, InvalidEnvironment
from gateway.outbound.requests import Outbound
from gateway.text import printable
from gateway.times import iso_time

if TYPE_CHECKING:
    from gateway.client.foreign import LocalQuery

IDLE_SECONDS = 45.0
"""Silence after which a connection counts as lost: three heartbeats of a server that does not say how long they are."""
IDLE_HEARTBEATS = 3
SHORTEST_IDLE, LONGEST_IDLE = 10.0, 10_800.0
"""Seconds between which it lies, whatever a server says of its heartbeat."""
STEADY_SECONDS = 30.0
"""Seconds after which a connection counts as a success: its end is no reason to wait longer than after the first
failure."""
MOST_WARNED = 100
"""Warnings of one subscription."""
HONOURED = "event-gateway"
"""The header in which a gateway lists the parameters that it honours. Another server may know `since` alone."""
LOG = "event-gateway-log"
"""The header in which a gateway tells its log from others."""
HEARTBEAT = "event-gateway-heartbeat"
"""The header in which a gateway says after how many seconds of silence it sends a heartbeat."""

Token = str | Callable[[], str]
"""A bearer token, or what gives one for each connection: tokens expire."""
_LOG = logging.getLogger("gateway.client")


class State(NamedTuple):
    """The state of the connection: `connecting`, `open`, or `waiting` for this many seconds, for the reason given."""

    name: str
    reason: str = ""
    wait: float = 0.0


class Subscription:
    """One subscription to `url`, the address of a stream.

    `batches()` gives events as they come, those that one read from the network completed together; a batch may be
    empty, when only the position moved. `last_event_id` is the position after the batch given last. It ends where the
    range ends (`limit`, `until`), reconnects with back-off after anything that may pass, and raises ClientError for
    what will not. Events named `gap` are in the batches: the server says that events before its id are gone, or the
    event there was larger than is read.
    """

    def __init__(
        self,
        url: str,
        query: Query | None = None,
        *,
        last_event_id: str = "",
        on_state: Callable[[State], None] | None = None,
        on_warning: Callable[[QueryWarning], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        idle_seconds: float | None = None,
        maximum_event_bytes: int = MAXIMUM_EVENT_BYTES,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        duplicates: Duplicates | None = None,
    ) -> None:
        self.url = url
        self.shown = bare(url)
        """The address that may be shown: without query and password."""
        self.last_event_id = last_event_id
        self.first_event_id = last_event_id
        """The position at which it began, as soon as the server has named one."""
        self.log = ""
        """The identity of the server's log; empty if the server does not send it."""
        self.query = query or Query()
        self._tell = on_state or self._log
        self._warn = on_warning or warnings.warn
        self._warned: set[str] = set()
        self._warned_of_clock = False
        self._transport = transport
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._given_idle = idle_seconds
        self._idle = idle_seconds or IDLE_SECONDS
        """Seconds of silence after which the connection counts as lost."""
        self._maximum = maximum_event_bytes
        self._backoff = Backoff()
        self._newest = ""
        """The id of the newest event; one that comes with it again is none that is new."""
        self._began = self._clock.now()
        self._connected = False
        self._left = self.query.limit
        self._local: LocalQuery | None = None
        self._token = token
        self._given_headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.duplicates = duplicates

    def _log(self, state: State) -> None:
        if state.name == "waiting":
            _LOG.warning("%s: %s; next try in %.1f s", self.shown, state.reason, state.wait)

    async def batches(self) -> AsyncGenerator[list[StreamEvent], None]:
        """Events until the range ends, or for ever. Called again after an error, it resumes after the last of them."""
        # Silence is counted here: how long it may last, an answer says.
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        transport = self._transport or Outbound()
        async with httpx.AsyncClient(transport=transport, timeout=timeout) as client:
            client.event_hooks = {"request": [self._check_redirect]}
            while True:
                self._tell(State("connecting"))
                ending = _Ending()
                async with aclosing(self._connect(client, ending)) as batches:
                    async for batch in batches:
                        yield batch
                if ending.failure is not None:
                    raise ending.failure
                if ending.final:
                    return
                wait = self._backoff.wait(ending.retry_after)
                self._tell(State("waiting", ending.reason or "the server ended the response", wait))
                await self._sleep(wait)

    async def _connect(self, client: httpx.AsyncClient, ending: _Ending) -> AsyncGenerator[list[StreamEvent], None]:
        """One response; why it ended is in `ending`."""
        try:
            response = await self._ask(client)
            async with aclosing(response):
                check_coding(self.shown, response, client.headers["accept-encoding"])
                if response.status_code == httpx.codes.NO_CONTENT:
                    self._tell_warnings(response)
                    ending.final = True
                elif await self._is_stream(response, ending):
                    async for batch in self._read(response, ending):
                        yield batch
        except InvalidEnvironment as error:
            ending.failure = ClientError(f"{self.shown}: {error}")
        except TimeoutError:
            ending.reason = silence(self._idle)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            ending.failure = ClientError(f"{self.shown!r} is not an address; write it like http://127.0.0.1:8080")
        except (httpx.LocalProtocolError, UnicodeEncodeError):
            ending.failure = ClientError(f"{self.shown}: the position {printable(self.last_event_id)!r} cannot be sent")
        except httpx.TooManyRedirects:
            ending.failure = ClientError(f"{self.shown} redirects for ever")
        except httpx.RequestError as error:
            ending.reason = reason(error, self._idle)
            if is_settled(error):
                ending.failure = ClientError(f"{self.shown}: {ending.reason}")

    async def _check_redirect(self, request: httpx.Request) -> None:
        """Remove the caller's headers, which may be keys, from a request to another server than the named one; httpx
        handles Authorization only."""
        if is_origin(request.url, httpx.URL(self.url)):
            return
        if request.url.scheme not in ("http", "https"):
            target = printable(bare(str(request.url)))
            raise ClientError(f"{self.shown} redirects to {target!r}, which is not an HTTP address")
        for name in self._given_headers.keys() - {"user-agent", "accept", "accept-encoding"}:
            request.headers.pop(name, None)

    async def _ask(self, client: httpx.AsyncClient) -> httpx.Response:
        """The head of an answer. Raises TimeoutError."""
        self._idle = self._given_idle or IDLE_SECONDS
        # What a server wants to be reminded of holds for the redirects of one try, so that it cannot grow.
        client.cookies.clear()
        headers = self._headers()
        request = client.build_request("GET", self._address(), headers=headers)
        async with asyncio.timeout(self._idle):
            return await send(client, request, authorization(dict(headers)))

    def _address(self) -> httpx.URL:
        """The address, and what is asked for. The position goes before `since`."""
        query, since = self.query, self.query.since
        if self._position():
            since = None
        elif since is None and self._connected:
            since = self._began  # A server that names no position: what came meanwhile is found by time.
        times = (("since", since), ("until", query.until))
        given = [(name, None if time is None else iso_time(time)) for name, time in times]
        given += [("filter", query.filter), ("fields", query.fields), ("canary", "true" if query.canary else None)]
        given.append(("limit", None if self._left is None else str(self._left)))
        address = httpx.URL(self.url)
        added = [(name, value) for name, value in given if value]
        return address.copy_with(params=[*address.params.multi_items(), *added]) if added else address

    def _position(self) -> str:
        """The part of the last id that is sent: spaces around it do not belong to a header's value (RFC 9110 section
        5.5)."""
        return self.last_event_id.strip(" \t")

    def _headers(self) -> list[tuple[bytes, bytes]]:
        named = {"accept": "text/event-stream", "accept-encoding": "gzip", "cache-control": "no-store"}
        named |= self._given_headers
        if self._token is not None:
            token = self._token if isinstance(self._token, str) else self._token()
            if not (token.isascii() and token.isprintable() and token == token.strip() and token):
                raise InvalidQuery("the token cannot be sent: it is empty, or holds other characters than a header may")
            named["authorization"] = f"Bearer {token}"
        if position := self._position():
            named["last-event-id"] = position
        return [(name.encode(), value.encode()) for name, value in named.items()]

    async def _is_stream(self, response: httpx.Response, ending: _Ending) -> bool:
        """Whether this is the stream; if not, `ending` says why, and whether another try may help."""
        status = response.status_code
        content_type = response.headers.get("content-type", "")
        if status == httpx.codes.OK and content_type.partition(";")[0].strip().lower() == "text/event-stream":
            return True
        async with asyncio.timeout(self._idle):
            begin = await beginning(response)
        if status in PASSING:
            ending.reason = f"the server answered {status}: {detail(begin, response)}"
            ending.retry_after = retry_after(response.headers.get("retry-after", ""), self._clock.now())
        elif status == httpx.codes.OK:
            ending.failure = NotAnEventStream(self.shown, content_type, excerpt(begin))
        else:
            refused = Refused(self.shown, status, detail(begin, response))
            ending.failure = refused_by_proxy(self.shown, response) or refused
        return False

    async def _read(self, response: httpx.Response, ending: _Ending) -> AsyncGenerator[list[StreamEvent], None]:
        if self._local is None:
            names = {name.strip() for name in response.headers.get(HONOURED, "").split(",")}
            self._local = _local_query(self.query, names, self.last_event_id)
        if not self._connected and self.duplicates is not None:
            self.duplicates.reset(self.last_event_id)
        self._connected = True
        self.log = response.headers.get(LOG, "")
        if self._given_idle is None:
            self._idle = idle_seconds(response.headers.get(HEARTBEAT, ""))
        opened = self._clock.monotonic()
        self._tell(State("open"))
        self._tell_warnings(response)
        parser = EventStreamParser(self.last_event_id, self._maximum)
        chunks = expanded(response)
        while True:
            async with asyncio.timeout(self._idle):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            frames = parser.frames
            events = parser.feed(chunk)
            if parser.retry is not None:
                self._backoff.ask(parser.retry)
            if parser.frames > frames:
                if self.duplicates is not None:
                    events = self.duplicates.identified(events)
                selected, position = self._select(events, ending)
                if self._clock.monotonic() - opened >= STEADY_SECONDS:
                    self._backoff.succeeded()
                self.last_event_id = parser.last_event_id if position is None else position
                self.first_event_id = self.first_event_id or self.last_event_id
                yield selected
                if ending.final or ending.failure is not None:
                    return

    def _tell_warnings(self, response: httpx.Response) -> None:
        """Tell what the server says of the query, each thing once, however often it is asked again."""
        found = read_warnings(response.headers.get_list(WARNING))
        if not self._warned_of_clock and (self.query.since is not None or self.query.until is not None):
            self._warned_of_clock = True
            clock = clock_warning(response.headers.get("date", ""), self._clock.now())
            found += [clock] if clock is not None else []
        for warning in found:
            if str(warning) not in self._warned and len(self._warned) < MOST_WARNED:
                self._warned.add(str(warning))
                self._warn(warning)

    def _select(self, events: list[StreamEvent], ending: _Ending) -> tuple[list[StreamEvent], str | None]:
        """The events that were asked for, and the position after them where it is not that of the last frame."""
        selected: list[StreamEvent] = []
        position = self.last_event_id
        for event in events:
            if event.event == "end":
                # Of what the server has counted, events may have been left out that were repeated.
                ending.final = not (self._left and _reason(event.data) == "limit")
                return selected, None
            if event.event == "error":
                ending.failure = StreamFailed(self.shown, excerpt(event.data))
                return selected, position
            chosen: StreamEvent | None = event
            if event.left_out:
                chosen = gap_of_large(event, position, self._maximum)
            elif event.event == "message" and self._local is not None:
                chosen = self._local.choose(event)
                if self._local.finished:
                    ending.final = True
                    return selected, position
            position = event.id
            if chosen is not None and self._is_repeated(event):
                continue
            if event.event != "gap" and not (event.named and event.id == self._newest):
                self._newest = event.id
                self._backoff.succeeded()
            if chosen is None:
                continue
            selected.append(chosen)
            if chosen.event == "message" and self._left is not None:
                self._left -= 1
                if self._left == 0:
                    ending.final = True
                    return selected, position
        return selected, None

    def _is_repeated(self, event: StreamEvent) -> bool:
        if self.duplicates is None:
            return False
        if event.event == "gap":
            self.duplicates.reset(event.id)
        return event.event == "message" and self.duplicates.is_repeated(event)


def idle_seconds(heartbeat: str) -> float:
    """How long a server may be silent that says this of its heartbeat, in seconds."""
    try:
        seconds = IDLE_HEARTBEATS * float(heartbeat[:20])
    except ValueError:
        return IDLE_SECONDS
    # What is no number at all (nan) is below nothing, too.
    return min(max(seconds, SHORTEST_IDLE), LONGEST_IDLE) if seconds > 0 else IDLE_SECONDS


def _local_query(query: Query, honoured: Set[str], last_event_id: str) -> LocalQuery | None:
    """The work that is left here if the server does not do all of it. Raises InvalidQuery."""
    if honoured >= {"until", "filter", "fields", "canary"}:
        return None
    # The language of filters is imported where it is needed: it takes longer than all the rest.
    from gateway.client.foreign import LocalQuery

    try:
        return LocalQuery(query, honoured, last_event_id)
    except GatewayError as error:
        raise InvalidQuery(str(error)) from None


def _reason(document: bytes) -> str | None:
    """Why the server has ended the stream."""
    try:
        reason = json_text.loads(document)["reason"]
    except (ValueError, KeyError, TypeError):
        return None
    return reason if isinstance(reason, str) else None


@dataclass(slots=True)
class _Ending:
    """The reason why a response ended: the range ended (`final`), it cannot continue (`failure`), or a passing
    trouble (`reason`)."""

    final: bool = False
    failure: ClientError | None = None
    reason: str = ""
    retry_after: float = 0.0
