"""A server that answers as a test says, without a network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx

from gateway.client import Duplicates, EventStream, Query, State, StreamEvent, Subscription

STREAM = "text/event-stream; charset=utf-8"
ALL = {"event-gateway": "since, until, limit, filter, fields, canary"}


class Pieces(httpx.AsyncByteStream):
    """A body piece by piece; an exception among them ends it."""

    def __init__(self, pieces: Sequence[bytes | Exception]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


Answer = httpx.Response | Exception


def stream(*pieces: bytes | Exception, headers: dict[str, str] | None = None) -> httpx.Response:
    """An event stream of these pieces, from a server that honours every parameter where nothing else is said."""
    named = {"content-type": STREAM} | (ALL if headers is None else headers)
    return httpx.Response(200, headers=named, stream=Pieces(pieces))


def answer(status: int, body: bytes | str = b"", **headers: str) -> httpx.Response:
    """Another answer."""
    text = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=Pieces([text]))


def message(number: int, identifier: str | None = None, **event: Any) -> bytes:
    """A frame with an event."""
    shown = position(number) if identifier is None else identifier
    return f"event: message\nid: {shown}\ndata: {json.dumps({'n': number} | event)}\n\n".encode()


def position(number: int) -> str:
    """The position after an event: its number is its offset and, in seconds, its time."""
    return f'[{{"topic":"t","partition":0,"offset":{number},"timestamp":{number * 1000}}}]'


class Server(httpx.AsyncBaseTransport):
    """Gives its answers one after the other, and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        given = self._answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def parameters(self, number: int) -> dict[str, str]:
        """Those of a request."""
        return dict(self.requests[number].url.params)

    def position(self, number: int) -> str | None:
        """The Last-Event-ID of a request."""
        sent: str | None = self.requests[number].headers.get("last-event-id")
        return sent


class Waits:
    """Counts how long a subscription would have slept."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def reasons(self) -> list[str]:
        """Why it waited, each time."""
        return [state.reason for state in self.states if state.name == "waiting"]


def subscribe(server: Server, *arguments: Any, **options: Any) -> tuple[Subscription, Waits]:
    """A subscription to the server that does not really wait."""
    waits = Waits()
    subscription = Subscription(
        "http://feed.test/v2/stream/t",
        *arguments,
        transport=server,
        on_state=waits.states.append,
        sleep=waits.sleep,
        **options,
    )
    return subscription, waits


async def collect(subscription: Subscription, wanted: Callable[[list[StreamEvent]], bool]) -> list[StreamEvent]:
    """The events up to when there are enough of them, or to the end."""
    events: list[StreamEvent] = []
    async for batch in subscription.batches():
        events += batch
        if wanted(events):
            break
    return events


def numbers(events: list[StreamEvent]) -> list[int]:
    """Those in the events of `message`."""
    return [json.loads(event.data)["n"] for event in events]


def never(events: list[StreamEvent]) -> bool:
    """To the end."""
    return False


def events(
    server: httpx.AsyncBaseTransport, query: Query | None = None, *, last_event_id: str = "", **options: Any
) -> EventStream:
    """The events of the server, with options of an EventStream, that does not really wait between connections."""
    subscription = Subscription(
        "http://feed.test/v2/stream/t",
        query,
        last_event_id=last_event_id,
        transport=server,
        on_state=lambda state: None,
        sleep=Waits().sleep,
        duplicates=Duplicates(),
    )
    return EventStream(subscription, **options)


class Feed(httpx.AsyncBaseTransport):
    """A stream of so many events that goes on after the position of a request, or before it by as much as it repeats.
    Its responses break off after these numbers of bytes, the last comes to its end."""

    def __init__(self, count: int, cuts: Sequence[int], repeats: int = 0) -> None:
        self._count = count
        self._cuts = list(cuts)
        self._repeats = repeats

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        identifier = request.headers.get("last-event-id")
        first = 0 if identifier is None else json.loads(identifier)[0]["offset"] + 1
        frames = [b"retry: 1\nid: %b\n\n" % position(first - 1).encode()] if first else [b"retry: 1\n\n"]
        frames += [message(number) for number in range(max(0, first - self._repeats), self._count)]
        if not self._cuts:
            return stream(b"".join(frames), b'event: end\ndata: {"reason":"until"}\n\n')
        return stream(b"".join(frames)[: self._cuts.pop(0)], httpx.ReadError("reset"))
