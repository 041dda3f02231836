"""The client against servers that other people have written, byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import ClientError, Producer, State, Subscription
from gateway.client.answer import bare, beginning
from gateway.client.coding import check_coding
from gateway.client.fetch import fetch, load
from gateway.wire.members import PART_BYTES, Gzip, Members
from tests.client.raw import STREAM, RawServer, head, serve

FRAMES = b'retry: 1\n\nid: 1\ndata: {"n":1}\n\nid: 2\ndata: {"n":2}\n\n'
BODY = FRAMES + b'event: end\ndata: {"reason":"until"}\n\n'
EVENTS = [b'{"n":1}', b'{"n":2}']
CLOSE = "connection: close"


class Enough(Exception):
    """Ends a subscription that would try again."""


async def read(url: str, **options: object) -> list[bytes]:
    """The events of a stream; the first wait ends it, by Enough with its reason."""

    def stop(state: State) -> None:
        if state.name == "waiting":
            raise Enough(state.reason)

    subscription = Subscription(url, on_state=stop, **options)  # type: ignore[arg-type]
    return [event.data async for batch in subscription.batches() for event in batch]


async def _redirect_without_end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(head("location: /there", "transfer-encoding: chunked", status="302 Found"))
    while not writer.is_closing():
        writer.write(b"10000\r\n%b\r\n" % bytes(0x10000))
        await writer.drain()


async def test_a_redirect_whose_body_has_no_end_is_followed() -> None:
    async with serve(_redirect_without_end, head(STREAM, CLOSE) + BODY) as server, asyncio.timeout(60):
        assert await read(f"{server.address}/s") == EVENTS
        assert server.heads[1].startswith(b"GET /there ")


async def read_answer(*answers: bytes) -> list[bytes]:
    async with serve(*answers) as server:
        return await read(f"{server.address}/s")


def chunked(body: bytes, size: int) -> bytes:
    """A body of chunks of so many bytes."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        head(STREAM, CLOSE) + BODY,
        head(STREAM, CLOSE) + BODY.replace(b"\n", b"\r\n"),
        head(STREAM, CLOSE) + BODY.replace(b"\n", b"\r"),
        head(STREAM, CLOSE) + b"\xef\xbb\xbf" + BODY,
        head("Content-Type: Text/Event-Stream ; charset=latin-1", CLOSE) + BODY,
        head(STREAM, version="1.0") + BODY,
        head(STREAM, "transfer-encoding: chunked") + chunked(BODY, 1),
        head(STREAM, "transfer-encoding: chunked", "content-length: 5") + chunked(BODY, 7),
        head(STREAM, "content-encoding: gzip", CLOSE) + gzip.compress(BODY),
        head(STREAM, "content-encoding: X-GZip", CLOSE) + gzip.compress(BODY),
        head(STREAM, "content-encoding: gzip", CLOSE) + b"".join(gzip.compress(bytes([one])) for one in BODY),
        head(STREAM, "content-encoding: gzip", CLOSE) + gzip.compress(b"") + gzip.compress(BODY) + b"\0\0",
        head(STREAM, "content-encoding: gzip", "transfer-encoding: chunked") + chunked(gzip.compress(BODY), 1),
        head(STREAM, "content-encoding: deflate", CLOSE) + zlib.compress(BODY),
        head(STREAM, "content-encoding: identity", CLOSE) + BODY,
        head(STREAM, "content-encoding: ", CLOSE) + BODY,
        head(status="100 Continue") + head("link: </a>", status="103 Early Hints") + head(STREAM, CLOSE) + BODY,
    ],
)
async def test_the_stream_is_read(answer: bytes) -> None:
    assert await read_answer(answer) == EVENTS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the connection broke: Server disconnected"),
        (head(STREAM)[:10], "the connection broke: "),
        (BODY, "the connection broke: illegal status line"),
        (head(STREAM, CLOSE) + BODY[:40], "the server ended the response"),
        (head(STREAM, "content-length: 500") + BODY[:40], "the connection broke: peer closed connection"),
        (head(STREAM, "transfer-encoding: chunked") + chunked(BODY, 3)[:50], "the connection broke: peer "),
        (head(STREAM, "transfer-encoding: chunked") + b"zz\r\n" + BODY, "the connection broke: illegal chunk header"),
        (head(STREAM, "transfer-encoding: gzip, chunked") + BODY, "the connection broke: Only Transfer-Encoding"),
        (head(STREAM, "content-length: 5", "content-length: 6") + BODY, "the connection broke: conflicting"),
        (head(STREAM, "content-encoding: gzip", CLOSE) + BODY, "what came cannot be decompressed: "),
        (head(STREAM, "content-encoding: gzip", CLOSE) + gzip.compress(b"") + BODY, "what came cannot be decompressed"),
        (head(STREAM, f"x: {'a' * 200_000}") + BODY, "the connection broke: Receive buffer too long"),
        (head("location: http://[::", "content-length: 0", status="302 Found"), "the connection broke: Invalid URL"),
    ],
)
async def test_what_may_pass_is_tried_again(answer: bytes, reason: str) -> None:
    with pytest.raises(Enough) as waited:
        await read_answer(answer)
    assert str(waited.value).startswith(reason)


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        ((), "302 Found", "/s answered 302: Found"),
        ((), "304 Not Modified", "/s answered 304: Not Modified"),
        ((), "205 Reset Content", "/s answered 205: Reset Content"),
        (("location: /s",), "302 Found", "/s redirects for ever"),
        (
            ("location: ftp://me:secret@h/s",),
            "302 Found",
            "/s redirects to 'ftp://h/s', which is not an HTTP address",
        ),
        ((STREAM, "content-encoding: gzip, compress"), "200 OK", "/s compresses with 'compress', which was not asked"),
    ],
)
async def test_what_will_not_pass_is_told(lines: tuple[str, ...], status: str, said: str) -> None:
    with pytest.raises(ClientError) as told:
        await read_answer(head(*lines, "content-length: 0", status=status))
    assert said in str(told.value)


@contextmanager
def little_memory() -> Iterator[None]:
    """What is done within needs no more than a few parts that are expanded."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 20 * PART_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codings", ["gzip, gzip", "X-GZIP,gzip", "gzip, identity, gzip"])
async def test_what_is_compressed_twice_is_never_expanded(codings: str) -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    response = httpx.Response(200, headers={"content-encoding": codings}, stream=httpx.ByteStream(bomb))
    with pytest.raises(ClientError, match="/s compresses more than once, which was not asked for"):
        check_coding("/s", response, "gzip")
    with little_memory(), pytest.raises(httpx.DecodingError, match="more than once"):
        await beginning(response)
    with little_memory():
        async with serve(head(f"content-encoding: {codings}", CLOSE) + bomb) as server:
            assert await fetch(f"{server.address}/s", 1000, 10.0) is None


async def test_a_document_that_expands_a_thousandfold_is_left_at_its_bound() -> None:
    small, large = (head("content-encoding: gzip", CLOSE) + gzip.compress(bytes(size)) for size in (900, 50_000_000))
    async with serve(small, large, large) as server:
        assert await load(f"{server.address}/s", 1000, 10.0) == bytes(900)
        assert server.header(0, "accept-encoding") == "gzip"
        with little_memory():
            with pytest.raises(ClientError, match="gives more than 1,000 bytes"):
                await load(f"{server.address}/s", 1000, 10.0)
            assert await fetch(f"{server.address}/s", 1000, 10.0) is None


async def test_the_event_that_a_close_cuts_comes_whole_the_next_time() -> None:
    cut = head(STREAM, CLOSE) + FRAMES[:-3]
    rest = head(STREAM, CLOSE) + b'id: 2\ndata: {"n":2}\n\nevent: end\ndata: {"reason":"until"}\n\n'
    async with serve(cut, rest) as server:
        subscription = Subscription(f"{server.address}/s", on_state=lambda state: None)
        assert [event.data async for batch in subscription.batches() for event in batch] == EVENTS
    assert server.header(1, "last-event-id") == "1"


def redirect(server: RawServer, host: str = "127.0.0.1") -> bytes:
    """An answer that leads there."""
    return head(f"location: http://{host}:{server.port}/s", "content-length: 0", status="307 Temporary Redirect")


async def test_secrets_do_not_go_along_to_another_server() -> None:
    async with serve(head(STREAM, CLOSE) + BODY) as other, serve(redirect(other)) as first:
        own = {"X-Api-Key": "k", "cookie": "c=1", "user-agent": "example/1.0"}
        assert await read(f"{first.address}/s", token="t", headers=own, last_event_id="7") == EVENTS
        assert await read(first.address.replace("//", "//me:password@") + "/s") == EVENTS
    assert first.header(0, "authorization") == "Bearer t"
    assert first.header(0, "x-api-key") == "k"
    assert first.header(1, "authorization") is not None
    assert [other.header(number, "authorization") for number in range(2)] == [None, None]
    assert [other.header(0, name) for name in ("x-api-key", "cookie")] == [None, None]
    assert [other.header(0, name) for name in ("user-agent", "last-event-id")] == ["example/1.0", "7"]


async def test_a_redirect_on_the_same_server_keeps_them() -> None:
    async with serve(head("location: /t", "content-length: 0", status="302 Found"), head(STREAM, CLOSE) + BODY) as one:
        assert await read(f"{one.address}/s", token="t", headers={"x-api-key": "k"}) == EVENTS
    assert [one.header(1, name) for name in ("authorization", "x-api-key")] == ["Bearer t", "k"]


async def test_a_cookie_holds_for_one_try() -> None:
    asks = head("location: /t", "set-cookie: a=1", "content-length: 0", status="302 Found")
    breaks = head(STREAM, CLOSE, "set-cookie: b=2") + b"retry: 1\n\n"
    async with serve(asks, breaks, head(STREAM, CLOSE) + BODY) as server:
        subscription = Subscription(f"{server.address}/s", on_state=lambda state: None)
        assert [event.data async for batch in subscription.batches() for event in batch] == EVENTS
    assert [server.header(number, "cookie") for number in range(3)] == [None, "a=1", None]


async def test_who_asks_is_taken_from_the_address_unless_it_is_said() -> None:
    async with serve(head(STREAM, CLOSE) + BODY) as server:
        url = server.address.replace("//", "//me:p%40ss@") + "/s"
        await read(url)
        await read(url, token="t")
        await read(url, headers={"Authorization": "Own 1"})
    assert [server.header(number, "authorization") for number in range(3)] == [
        "Basic bWU6cEBzcw==",
        "Bearer t",
        "Own 1",
    ]


async def test_so_does_the_producer() -> None:
    async with serve(head("content-length: 0", CLOSE, status="201 Created")) as server:
        url = server.address.replace("//", "//me:p%40ss@")
        for headers in ({}, {"authorization": "Bearer t"}):
            async with Producer(url, headers=headers) as producer:
                await producer.send({"n": 1})
    assert [server.header(number, "authorization") for number in range(2)] == ["Basic bWU6cEBzcw==", "Bearer t"]


async def test_an_address_of_ipv6_is_reached() -> None:
    async with serve(head(STREAM, CLOSE) + BODY) as server:
        try:
            listening = await asyncio.start_server(server._answer, "::1", 0)
        except OSError:
            pytest.skip("no IPv6 here")
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            assert await read(f"http://[::1]:{port}/s") == EVENTS
    assert server.header(0, "host") == f"[::1]:{port}"


async def test_a_name_in_other_letters_is_sent_as_the_resolver_knows_it() -> None:
    async with serve(head("content-length: 0", status="404 Not Found")) as server:
        with pytest.raises(Enough, match="no connection"):
            await read(f"http://bücher.invalid:{server.port}/s")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:pass@h:1/a@b?q=1", "http://h:1/a@b"),
        ("http://me:p#ass@h/s", "http://h…"),
        ("http://me:pa/ss@h/s", "http://h…"),
        ("http://[::1/s", "http://…"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert bare(address) == shown


@given(st.lists(st.binary(max_size=50)), st.integers(1, 40))
def test_members_are_expanded_wherever_they_are_cut(parts: list[bytes], size: int) -> None:
    body = b"".join(gzip.compress(part) for part in parts)
    members = Members(Gzip)
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    assert b"".join(piece for chunk in cut for piece in members.feed(chunk)) == b"".join(parts)


def test_what_expands_a_thousandfold_comes_in_pieces() -> None:
    length = 10 * PART_BYTES + 1
    pieces = [len(piece) for piece in Members(Gzip).feed(gzip.compress(bytes(length)))]
    assert sum(pieces) == length
    assert max(pieces) == PART_BYTES
