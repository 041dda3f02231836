"""A subscription against servers that break off, refuse and answer nonsense."""

from __future__ import annotations

import asyncio
import json
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.client import (
    ClientError,
    Duplicates,
    NotAnEventStream,
    Query,
    Refused,
    StreamFailed,
    Subscription,
)
from gateway.client.subscription import idle_seconds
from tests.client.server import (
    ALL,
    Answer,
    Pieces,
    Server,
    answer,
    collect,
    message,
    never,
    numbers,
    position,
    stream,
    subscribe,
)
from tests.kit.clock import HandClock

END = b'event: end\nid: %b\ndata: {"reason":"limit"}\n\n'


async def test_it_goes_on_after_the_last_id_whatever_ends_a_connection() -> None:
    server = Server(
        stream(b": welcome\nretry: 100\nid: " + position(0).encode() + b"\n\n", message(1), message(2)[:-1]),
        stream(message(2), message(3), httpx.ReadError("reset")),
        httpx.ConnectError("refused"),
        stream(b": waiting\nid: " + position(7).encode() + b"\n\n", httpx.ReadTimeout("")),
        stream(message(8), END % position(9).encode()),
    )
    subscription, waits = subscribe(server)
    assert numbers(await collect(subscription, never)) == [1, 2, 3, 8]
    assert [server.position(number) for number in range(5)] == [None, *map(position, [1, 3, 3, 7])]
    assert subscription.last_event_id == position(9)
    assert waits.reasons == [
        "the server ended the response",
        "the connection broke: reset",
        "no connection: refused",
        "nothing came for 45 s",
    ]
    assert all(0.25 <= wait <= 2.0 for wait in waits.slept)


GREETING = b": welcome\nretry: 0\nid: " + position(0).encode() + b"\n\n"


@pytest.mark.parametrize(
    "again",
    [
        lambda: stream(GREETING),
        lambda: stream(GREETING, GREETING, b": beat\nid: " + position(0).encode() + b"\n\n"),
        lambda: stream(GREETING, message(0)),
        lambda: stream(GREETING, b'event: gap\nid: x\ndata: {"reason":"expired"}\n\n'),
        lambda: stream(GREETING, b'event: end\ndata: {"reason":"limit"}\n\n'),
        lambda: answer(503, retry_after="0"),
        lambda: httpx.ConnectError("refused"),
    ],
    ids=["greets", "beats", "repeats an event", "tells a gap", "says it is the end", "is busy", "refuses"],
)
async def test_no_server_makes_a_client_flood_it(again: Callable[[], Answer]) -> None:
    server = Server(stream(GREETING, message(0)), *(again() for _ in range(12)), stream(message(1)), answer(204))
    subscription, waits = subscribe(server, Query(limit=9), duplicates=Duplicates())
    events = await collect(subscription, never)
    assert numbers([event for event in events if event.event == "message"]) == [0, 1]
    for failures, wait in enumerate(waits.slept[:12]):
        whole = min(60.0, 0.5 * 2**failures)
        assert whole / 2 <= wait <= whole
    assert 0.25 <= waits.slept[-1] <= 0.5, "an event is real"


async def test_one_event_again_and_again_is_none_that_is_new() -> None:
    subscription, waits = subscribe(Server(*(stream(GREETING, message(0)) for _ in range(10)), answer(204)))
    await collect(subscription, never)
    assert waits.slept[-1] >= 30


async def test_what_each_connection_brings_is_asked_for_soon_again() -> None:
    server = Server(*(stream(GREETING, message(number)) for number in range(20)), answer(204))
    subscription, waits = subscribe(server)
    assert numbers(await collect(subscription, never)) == list(range(20))
    assert all(0.25 <= wait <= 0.5 for wait in waits.slept)


async def test_a_connection_that_stood_for_long_is_made_again_soon() -> None:
    clock = HandClock()

    class Standing(Pieces):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in super().__aiter__():
                yield piece
                clock.advance(31)

    def quiet() -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Standing([GREETING, GREETING]))

    server = Server(*(quiet() for _ in range(12)), answer(204))
    subscription, waits = subscribe(server, clock=clock)
    await collect(subscription, never)
    assert all(0.25 <= wait <= 0.5 for wait in waits.slept)


@pytest.mark.parametrize(
    ("heartbeat", "seconds"),
    [("15", 45), ("60", 180), ("3600", 10_800), ("0.05", 10), ("9e99", 10_800), ("0", 45), ("-1", 45), ("nan", 45),
     ("inf", 10_800), ("soon", 45), ("", 45)],
)  # fmt: skip
def test_a_server_may_be_silent_for_three_of_its_heartbeats(heartbeat: str, seconds: float) -> None:
    assert idle_seconds(heartbeat) == seconds


@pytest.mark.parametrize(("given", "expected"), [(None, 180.0), (7.0, 7.0)])
async def test_silence_is_waited_for_as_the_server_says_where_nobody_else_does(
    given: float | None, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[float] = []

    @asynccontextmanager
    async def timeout(seconds: float) -> AsyncIterator[None]:
        counted.append(seconds)
        yield
        if len(counted) == 4:
            raise TimeoutError

    monkeypatch.setattr(asyncio, "timeout", timeout)
    beating = stream(GREETING, GREETING, GREETING, headers=ALL | {"event-gateway-heartbeat": "60"})
    subscription, waits = subscribe(Server(beating, answer(204)), idle_seconds=given)
    await collect(subscription, never)
    assert counted == [given or 45.0, expected, expected, expected, given or 45.0]
    assert waits.reasons == [f"nothing came for {expected:g} s"]


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    class Dumb(Server):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if not self.requests:
                self.requests.append(request)
                await asyncio.Event().wait()
            return await super().handle_async_request(request)

    subscription, waits = subscribe(Dumb(answer(204)), idle_seconds=0.01)
    assert await collect(subscription, never) == []
    assert waits.reasons == ["nothing came for 0.01 s"]


async def test_what_is_asked_for_is_sent_and_a_position_goes_before_since() -> None:
    server = Server(stream(message(1)), stream(message(2)))
    query = Query(since=1_500, until=99_000, limit=2, filter="event.n > 0", fields="n", canary=True)
    subscription, _ = subscribe(server, query)
    assert numbers(await collect(subscription, never)) == [1, 2]
    assert server.parameters(0) == {
        "since": "1970-01-01T00:00:01.500Z",
        "until": "1970-01-01T00:01:39.000Z",
        "filter": "event.n > 0",
        "fields": "n",
        "canary": "true",
        "limit": "2",
    }
    again = server.parameters(1)
    assert "since" not in again
    assert again["limit"] == "1"


async def test_the_beginning_of_time_is_a_time() -> None:
    server = Server(stream(message(1)))
    subscription, _ = subscribe(server, Query(since=0, limit=1))
    await collect(subscription, never)
    assert server.parameters(0)["since"] == "1970-01-01T00:00:00.000Z"


async def test_a_position_can_be_given_and_204_is_the_end() -> None:
    server = Server(answer(204))
    subscription, _ = subscribe(server, Query(since=5), last_event_id="[é]")
    assert await collect(subscription, never) == []
    assert server.requests[0].headers.raw[-1] == (b"last-event-id", "[é]".encode())
    assert server.parameters(0) == {}


async def test_a_server_without_ids_is_resumed_by_time() -> None:
    server = Server(stream(b'data: {"n":1}\n\n', headers={}), stream(b'data: {"n":2}\n\n', headers={}))
    subscription, _ = subscribe(server)
    assert numbers(await collect(subscription, lambda events: len(events) == 2)) == [1, 2]
    assert server.parameters(0) == {}
    assert list(server.parameters(1)) == ["since"]


async def test_what_another_kind_of_server_does_not_know_is_done_here() -> None:
    frames = [
        message(1, kind="a", text="x"),
        message(2, kind="b", text="x"),
        message(3, kind="a", meta={"domain": "canary"}),
        b"id: " + position(4).encode() + b"\ndata: no event\n\n",
        message(5, kind="a", text="x"),
        message(6, kind="a", text="x"),
        message(7, kind="a", text="x"),
    ]
    server = Server(stream(b"".join(frames), headers={}))
    query = Query(filter='event.kind == "a" && topic == "t" && offset < 7', fields="n", until=6_000)
    subscription, _ = subscribe(server, query)
    events = await collect(subscription, never)
    assert [json.loads(event.data) for event in events] == [{"n": 1}, {"n": 5}]
    assert subscription.last_event_id == position(5)


async def test_a_limit_ends_within_a_batch_and_the_position_is_that_of_the_last_event() -> None:
    server = Server(stream(message(1) + message(2) + message(3), headers={}))
    subscription, _ = subscribe(server, Query(limit=2))
    assert numbers(await collect(subscription, never)) == [1, 2]
    assert subscription.last_event_id == position(2)


async def test_a_gap_is_one_of_the_events() -> None:
    gap = b'event: gap\nid: x\ndata: {"reason":"expired"}\n\n'
    subscription, _ = subscribe(Server(stream(message(1), gap + message(9), END % b"x")))
    assert [event.event for event in await collect(subscription, never)] == ["message", "gap", "message"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 522])
async def test_an_answer_that_passes_is_asked_again(status: int) -> None:
    problem = json.dumps({"title": "Busy", "detail": "come \x1b[1mback\nlater"})
    server = Server(answer(status, problem, retry_after="7"), stream(message(1)))
    subscription, waits = subscribe(server)
    assert numbers(await collect(subscription, bool)) == [1]
    assert waits.slept == [7]
    assert waits.reasons == [f"the server answered {status}: come \\x1b[1mback\\x0alater"]


@pytest.mark.parametrize(
    ("value", "longest"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 2),
        ("soon", 2),
        ("-5", 2),
        ("9" * 30, 600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 600),
        ("Mon, 01 Jan 2024 00:00:00 +9999999999999", 2),
    ],
)
async def test_a_retry_after_is_read_within_reason(value: str, longest: float) -> None:
    subscription, waits = subscribe(Server(answer(503, retry_after=value), stream(message(1))))
    await collect(subscription, bool)
    assert 0 < waits.slept[0] <= longest


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (answer(404, '{"detail":"there is no stream t"}'), Refused, "answered 404: there is no stream t"),
        (answer(400, b"<html>\xff\0 " + b"x" * 500), Refused, "answered 400: <html>�\\x00 xxx"),
        (answer(401), Refused, "answered 401: Unauthorized"),
        (answer(200, "<!doctype html>\n<p>Hello", content_type="text/html"), NotAnEventStream, "begins '<!doctype"),
        (answer(200, "{}"), NotAnEventStream, "an answer without a content type, which begins '{}'"),
        (stream(b"event: error\ndata: broken\n\n"), StreamFailed, "ended the stream with an error: broken"),
        (httpx.LocalProtocolError("illegal"), ClientError, "the position '17' cannot be sent"),
        (httpx.TooManyRedirects("loop"), ClientError, "redirects for ever"),
    ],
)  # fmt: skip
async def test_what_will_not_heal_is_said(given: Answer, kind: type[ClientError], said: str) -> None:
    subscription, waits = subscribe(Server(given), last_event_id="17", maximum_event_bytes=1000)
    with pytest.raises(kind) as raised:
        await collect(subscription, never)
    assert said in str(raised.value)
    assert "http://feed.test/v2/stream/t" in str(raised.value)
    assert waits.slept == []


def large(number: int) -> bytes:
    return f"event: message\nid: {position(number)}\ndata: {'x' * 2000}\n\n".encode()


async def test_an_event_that_is_too_large_is_a_gap_and_the_stream_goes_on_behind_it() -> None:
    server = Server(stream(message(1) + large(2) + message(3)), answer(204))
    subscription, waits = subscribe(server, maximum_event_bytes=1000, duplicates=Duplicates())
    first, gap, last = await collect(subscription, never)
    assert numbers([first, last]) == [1, 3]
    assert (gap.event, gap.id) == ("gap", position(2))
    assert json.loads(gap.data) == {
        "reason": "too_large",
        "maximum_bytes": 1000,
        "topic": "t",
        "partition": 0,
        "requested": 2,
        "resumed": 3,
    }
    assert waits.reasons == ["the server ended the response"]


async def test_an_event_that_is_too_large_is_met_once_wherever_connections_break() -> None:
    server = Server(
        stream(message(1), large(2)[:1500], httpx.ReadError("reset")),
        stream(large(2), large(3), httpx.ReadError("reset")),
        stream(large(3) + message(4)),
        answer(204),
    )
    subscription, _ = subscribe(server, maximum_event_bytes=1000, duplicates=Duplicates())
    events = await collect(subscription, never)
    assert [(event.event, event.id) for event in events] == [
        ("message", position(1)),
        ("gap", position(2)),
        ("gap", position(3)),
        ("message", position(4)),
    ]
    assert [server.position(number) for number in range(4)] == [None, *map(position, [2, 3, 4])]


async def test_an_event_that_is_too_large_counts_for_no_limit_and_no_filter() -> None:
    server = Server(stream(large(1), message(2), message(3), headers={}))
    subscription, _ = subscribe(server, Query(limit=2, filter="event.n > 0"), maximum_event_bytes=1000)
    events = await collect(subscription, never)
    assert [event.event for event in events] == ["gap", "message", "message"]


@pytest.mark.parametrize(("kind", "error"), [("error", StreamFailed), ("end", None)])
async def test_the_end_of_a_stream_may_be_too_large(kind: str, error: type[ClientError] | None) -> None:
    subscription, _ = subscribe(Server(stream(large(1).replace(b"message", kind.encode()))), maximum_event_bytes=1000)
    if error is None:
        assert await collect(subscription, never) == []
    else:
        with pytest.raises(error):
            await collect(subscription, never)


async def test_what_came_before_an_error_is_given_first() -> None:
    subscription, _ = subscribe(Server(stream(message(1) + b"event: error\nid: 9\ndata: {}\n\n")))
    batches = subscription.batches()
    assert numbers(await anext(batches)) == [1]
    assert subscription.last_event_id == position(1)
    with pytest.raises(StreamFailed):
        await anext(batches)


async def test_an_endless_answer_of_another_type_is_read_in_part() -> None:
    taken: list[int] = []

    class Endless(Pieces):
        async def __aiter__(self):  # type: ignore[no-untyped-def]
            while True:
                taken.append(1)
                yield b"x" * 10_000

    html = httpx.Response(200, headers={"content-type": "text/html"}, stream=Endless([]))
    subscription, _ = subscribe(Server(html))
    with pytest.raises(NotAnEventStream):
        await collect(subscription, never)
    assert len(taken) < 10


async def test_a_certificate_that_is_wrong_stays_wrong() -> None:
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError(1, "self-signed certificate")
    subscription, _ = subscribe(Server(error))
    with pytest.raises(ClientError, match="the certificate is refused: self-signed certificate"):
        await collect(subscription, never)


async def test_gzip_is_read_as_it_comes_and_garbage_is_asked_for_again() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(message(1)) + packer.flush(zlib.Z_SYNC_FLUSH)
    packed = stream(first, httpx.ReadError("reset"), headers={"content-encoding": "gzip"})
    garbage = stream(b"no gzip at all", headers={"content-encoding": "gzip"})
    subscription, waits = subscribe(Server(packed, garbage, stream(message(2))))
    assert numbers(await collect(subscription, lambda events: len(events) == 2)) == [1, 2]
    assert waits.reasons[1].startswith("what came cannot be decompressed")


@pytest.mark.parametrize("address", ["feed.test/v2/stream/t", "ftp://feed.test/", "http://[::1/", "http://a:b/"])
async def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ClientError, match="write it like http://"):
        await anext(Subscription(address).batches())


async def test_a_password_in_an_address_is_not_told() -> None:
    transport = Server(answer(404))
    subscription = Subscription("http://me:secret@feed.test/v2/stream/t?token=secret", transport=transport)
    with pytest.raises(Refused) as raised:
        await anext(subscription.batches())
    assert "secret" not in str(raised.value)
    assert transport.parameters(0) == {"token": "secret"}
