"""Requests that are taken and answered in one step each: their answers are those of ASGI's messages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from gateway.routes.sink import EXCHANGE
from gateway.server.connections import ConnectionBounds, Connections
from gateway.server.server import GatewayServer, listen
from tests.kit.waiting import becomes
from tests.routes.kit import PATIENCE

HEADERS = [(b"content-type", b"text/plain"), (b"x-mine", b"1")]


class Echo:
    """Answers with what came, through the exchange or not; `direct` is what the exchange has said each time."""

    def __init__(self, by_exchange: bool) -> None:
        self.by_exchange = by_exchange
        self.whole: list[bytes | None] = []
        self.direct: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = scope["extensions"][EXCHANGE]
        whole = exchange.take_body() if self.by_exchange else None
        self.whole.append(whole)
        body, more = whole or b"", whole is None
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        content = b"<" + body + b">"
        if self.by_exchange:
            self.direct.append(exchange.answer(201, HEADERS, content))
            if self.direct[-1]:
                assert not exchange.answer(201, HEADERS, content), "it is answered already"
                assert exchange.take_body() is None
                return
        head = [*HEADERS, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 201, "headers": head})
        await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def serving(application: Echo, access_log: bool = False) -> AsyncIterator[int]:
    server = GatewayServer(application, access_log, Connections(ConnectionBounds(), 100))
    with listen("127.0.0.1", 0, shared=False) as listener:
        task = asyncio.create_task(server.serve([listener]))
        await becomes(lambda: bool(server.server_state.default_headers))
        try:
            yield listener.getsockname()[1]
        finally:
            server.end()
            async with asyncio.timeout(PATIENCE):
                await task


async def said(port: int, *parts: bytes) -> bytes:
    """All that is answered to these parts, each sent for itself; the last request closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(PATIENCE):
        found = await reader.read()
    writer.close()
    return re.sub(rb"date: [^\r]*", b"date", found)


def post(body: bytes, more: bytes = b"", version: bytes = b"1.1") -> bytes:
    head = b"POST /x HTTP/%b\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n" % (version, more, len(body))
    return head + body


CLOSE = b"connection: close\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([post(b"abc", CLOSE)], [b"abc"]),
        ([post(b"", CLOSE)], [b""]),
        ([post(b"abc", version=b"1.0")], [b"abc"]),
        ([post(b"a") + post(b"b") + post(b"c", CLOSE)], [b"a", b"b", b"c"]),
        ([post(b"a"), post(b"b"), post(b"c", CLOSE)], [b"a", b"b", b"c"]),
        ([CHUNKED + post(b"c", CLOSE)], [b"abc", b"c"]),
        ([post(b"abcdef", CLOSE)[:-3], b"def"], [None]),
        ([post(b"a") + post(b"bc", CLOSE)[:-1], b"c"], [b"a", None]),
    ],
)
async def test_an_answer_is_the_same_in_one_step(parts: list[bytes], whole: list[bytes | None]) -> None:
    found = []
    for by_exchange in (True, False):
        application = Echo(by_exchange)
        async with serving(application) as port:
            found.append(await said(port, *parts))
        if by_exchange:
            assert application.whole == whole
            assert application.direct == [True] * len(whole)
    # The order of the headers is our own.
    assert [sorted(answer.split(b"\r\n")) for answer in found[:1]] == [sorted(found[1].split(b"\r\n"))]
    assert found[0].count(b"HTTP/1.1 201 ") == len(whole)


async def test_it_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Echo(True)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"abc"))
        async with asyncio.timeout(PATIENCE):
            found = await reader.read(65536)
        assert found.endswith(b"\r\n\r\n<abc>")
        writer.close()


async def test_requests_that_are_logged_are_answered_by_the_server(caplog: pytest.LogCaptureFixture) -> None:
    application = Echo(True)
    async with serving(application, access_log=True) as port:
        assert (await said(port, post(b"abc", CLOSE))).endswith(b"<abc>")
    assert application.direct == [False]


async def test_a_client_that_has_gone_is_not_answered() -> None:
    gone, answered = asyncio.Event(), asyncio.Event()
    told: list[bool] = []

    class Late(Echo):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            exchange = scope["extensions"][EXCHANGE]
            assert exchange.take_body() == b"abc"
            gone.set()
            assert (await receive())["type"] == "http.disconnect"
            told.append(exchange.answer(201, HEADERS, b"x"))
            told.append(exchange.take_body() is None)
            answered.set()

    async with serving(Late(True)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"abc"))
        await gone.wait()
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await answered.wait()
    assert told == [False, True]
