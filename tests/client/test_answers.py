"""What a subscription makes of redirects, statuses, types and ids: what other clients of event streams are held to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.client import ClientError, NotAnEventStream, Query, Refused, Subscription
from tests.client.server import (
    ALL,
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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_at_each_connection(status: int) -> None:
    def elsewhere() -> httpx.Response:
        return answer(status, location="http://else.test/stream?x=1")

    server = Server(elsewhere(), stream(message(1)), elsewhere(), answer(204))
    subscription, _ = subscribe(server, Query(filter="event.n > 0"), token="secret", headers={"x-me": "a"})
    assert numbers(await collect(subscription, never)) == [1]
    assert [(request.method, request.url.host) for request in server.requests] == [
        ("GET", "feed.test"),
        ("GET", "else.test"),
    ] * 2
    assert [server.position(number) for number in range(4)] == [None, None, position(1), position(1)]
    # Headers of one's own may be keys: those go to the server alone that was named.
    assert [request.headers.get("x-me") for request in server.requests] == ["a", None] * 2
    assert ["authorization" in request.headers for request in server.requests] == [True, False, True, False]


async def test_redirects_in_a_circle_end() -> None:
    server = Server(*(answer(302, location="/again") for _ in range(30)))
    subscription, waits = subscribe(server)
    with pytest.raises(ClientError, match="redirects for ever"):
        await collect(subscription, never)
    assert len(server.requests) == 21
    assert waits.slept == []


async def test_the_body_of_a_redirect_is_not_read() -> None:
    class Body(Pieces):
        is_read = is_closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            self.is_read = True
            yield b"moved"

        async def aclose(self) -> None:
            self.is_closed = True

    bodies = [Body([]), Body([])]
    moved = [httpx.Response(302, headers={"location": "/again"}, stream=body) for body in bodies]
    subscription, _ = subscribe(Server(*moved, stream(message(1))))
    assert numbers(await collect(subscription, bool)) == [1]
    assert [(body.is_read, body.is_closed) for body in bodies] == [(False, True)] * 2


async def test_a_password_in_the_place_of_a_redirect_is_not_sent() -> None:
    server = Server(answer(302, location="http://me:secret@else.test/x"), stream(message(1)))
    subscription, _ = subscribe(server)
    assert numbers(await collect(subscription, bool)) == [1]
    assert "authorization" not in server.requests[1].headers


async def test_a_password_in_the_address_is_sent_on_by_that_server_alone() -> None:
    server = Server(answer(302, location="/b"), answer(302, location="http://else.test/c"), stream(message(1)))
    subscription = Subscription("http://me:secret@feed.test/a", transport=server)
    await collect(subscription, bool)
    assert ["authorization" in request.headers for request in server.requests] == [True, True, False]


async def test_a_redirect_to_what_is_no_address_is_named() -> None:
    subscription, _ = subscribe(Server(answer(302, location="ftp://me:secret@else.test/x")))
    with pytest.raises(ClientError, match=r"stream/t redirects to 'ftp://else\.test/x', which is not an HTTP address"):
        await collect(subscription, never)


@pytest.mark.parametrize(("location", "kind"), [(None, Refused), ("", NotAnEventStream)])
async def test_a_redirect_without_a_place(location: str | None, kind: type[ClientError]) -> None:
    moved = answer(302) if location is None else answer(302, location=location)
    subscription, _ = subscribe(Server(moved, answer(200, "{}")))
    with pytest.raises(kind):
        await collect(subscription, never)


@pytest.mark.parametrize("status", [201, 205, 206, 300, 304, 400, 401, 403, 404, 405, 406, 410, 413, 501])
async def test_a_status_that_is_none_of_a_stream_ends_it(status: int) -> None:
    server = Server(httpx.Response(status, headers={"content-type": "text/event-stream"}, stream=Pieces([message(1)])))
    subscription, waits = subscribe(server)
    with pytest.raises(Refused) as raised:
        await collect(subscription, never)
    assert raised.value.status == status
    assert waits.slept == []


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream ; charset=utf-8", True),
        ("text/event-stream;charset=windows-1252", True),
        ("text/event-streams", False),
        ("text/x-event-stream", False),
        ("text/plain, text/event-stream", False),
        ("text/ event-stream", False),
    ],
)
async def test_the_type_of_a_stream(content_type: str, taken: bool) -> None:
    server = Server(stream(message(1), headers=ALL | {"content-type": content_type}), answer(204))
    subscription, _ = subscribe(server)
    if taken:
        assert numbers(await collect(subscription, never)) == [1]
    else:
        with pytest.raises(NotAnEventStream):
            await collect(subscription, never)


@pytest.mark.parametrize(
    ("given", "sent"),
    [("5", "5"), (" 5 ", "5"), ("\t", None), ("", None), ("a b", "a b"), ("5\0", "4")],
)
async def test_what_is_sent_of_an_id(given: str, sent: str | None) -> None:
    server = Server(stream(b"id:4\ndata:{}\n\n" + f"id:{given}\ndata:{{}}\n\n".encode()), answer(204))
    subscription, _ = subscribe(server)
    assert len(await collect(subscription, never)) == 2
    assert server.position(1) == sent
    assert ("since" in server.parameters(1)) is (sent is None)


async def test_events_without_data_are_events_and_frames_without_are_none() -> None:
    server = Server(stream(b"data\n\ndata:\n\nevent: x\n\nid: 3\n\n: y\n\n"), answer(204))
    subscription, _ = subscribe(server)
    assert [event.data for event in await collect(subscription, never)] == [b"", b""]
    assert server.position(1) == "3"
