"""The listening socket."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.observability.logs import TextFormatter
from gateway.server.connections import ConnectionBounds, Connections
from gateway.server.protocol import StreamProtocol
from gateway.server.server import GatewayServer, listen
from tests.kit.waiting import becomes
from tests.routes.kit import PATIENCE, running


def known() -> Connections:
    return Connections(ConnectionBounds(), 100)


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0, shared=False) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}: Address already in use; .*--port"):
            listen("127.0.0.1", port, shared=False)


async def nothing(scope: object, receive: object, send: object) -> None:
    """An application that answers nothing."""


async def test_a_server_ends_when_it_is_told_and_not_at_its_next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.server.TICK_SECONDS", 3600.0)
    server = GatewayServer(nothing, access_log=False, known=known())
    with listen("127.0.0.1", 0, shared=False) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        await becomes(lambda: bool(server.server_state.default_headers))
        server.end()
        async with asyncio.timeout(PATIENCE):
            await serving


async def test_a_server_with_nothing_to_wait_for_ends_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.server.LOOK_SECONDS", 3600.0)
    server = GatewayServer(nothing, access_log=False, known=known())
    with listen("127.0.0.1", 0, shared=False) as listener:
        server.end()
        async with asyncio.timeout(PATIENCE):
            await server.serve([listener])


async def test_a_request_that_does_not_end_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.server.server.TASK_SECONDS", 0.05)
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def hangs(scope: object, receive: object, send: object) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    server = GatewayServer(hangs, access_log=False, known=known())
    with listen("127.0.0.1", 0, shared=False) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
            server.end()
            await serving
            await cancelled.wait()
        writer.close()
    assert "requests have not ended, and are cancelled: 1" in caplog.text


async def test_the_date_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.server.TICK_SECONDS", 0.001)
    days = iter(range(1, 1_000_000))
    monkeypatch.setattr("uvicorn.server.formatdate", lambda *_, **__: f"day {next(days)}")
    server = GatewayServer(nothing, access_log=False, known=known())
    with listen("127.0.0.1", 0, shared=False) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        await becomes(lambda: (b"date", b"day 1") not in server.server_state.default_headers)
        await becomes(lambda: next(days) > 5)
        server.end()
        async with asyncio.timeout(PATIENCE):
            await serving


def test_several_processes_share_a_port() -> None:
    with listen("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port, shared=True) as second:
            assert second.getsockname() == first.getsockname()


def test_a_port_of_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        listener = listen("::1", 0, shared=False)
    except OSError:
        pytest.skip("this machine has no IPv6 address")
    with listener:
        assert listener.family == socket.AF_INET6


def test_connections_inherit_what_streams_need() -> None:
    with listen("127.0.0.1", 0, shared=False, unsent=65536) as listener:
        assert not listener.getblocking()
        # asyncio turns Nagle's algorithm off for sockets of this protocol only.
        assert listener.proto == socket.IPPROTO_TCP
        with socket.create_connection(listener.getsockname()):
            listener.setblocking(True)
            with listener.accept()[0] as accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 65536


@pytest.mark.parametrize("host", ["256.0.0.1", "no.such.host.invalid"])
def test_an_address_that_is_none(host: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        listen(host, 0, shared=False)


@pytest.mark.parametrize("access_log", [True, False])
async def test_requests_are_logged_where_that_is_set(access_log: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(access_log=access_log) as site:
        # The admin server is always quiet, and must not silence the other.
        GatewayServer(site.gateway.admin(), access_log=False, known=known())
        await site.raw(b"GET /a%0ab%1b%e2%80%a8?x=%0d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    records: list[logging.LogRecord] = [record for record in caplog.records if record.name == "uvicorn.access"]
    assert len(records) == access_log
    for record in records:
        line = TextFormatter().format(record)
        assert line.splitlines() == [line]
        assert line.endswith("404")
        assert "/a%0Ab%1B%E2%80%A8?x=%0d" in line


async def test_a_target_in_absolute_form() -> None:
    """As clients send it to what they take for a proxy (RFC 9112 section 3.2.2)."""
    async with running() as site:
        answer = await site.raw(
            b"GET https://stream.example/v2/stream/page.edit?limit=0 HTTP/1.1\r\n"
            b"host: stream.example\r\nconnection: close\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"parameter":"limit"' in answer.replace(b": ", b":")


async def test_a_connection_ends_with_its_response_when_the_server_stops() -> None:
    """Its client would get a stream of a server that is about to end, and has no time left to end it in order."""
    request = b"GET /v2/stream/empty HTTP/1.1\r\nhost: x\r\n\r\n"

    async def ask_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(request)
        await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.write(request)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    async with asyncio.timeout(PATIENCE), running(drain_time=0.3) as site:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", site.port)
        asking = [
            asyncio.create_task(ask_twice(*await asyncio.open_connection("127.0.0.1", site.port))) for _ in range(3)
        ]
        await becomes(lambda: len(site.gateway.streams.sessions) == 3)
    assert await asyncio.gather(*asking) == [b"", b"", b""]
    assert await idle.read() == b""
    idle_writer.close()


async def test_the_head_of_a_stream_comes_with_its_first_frames(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(access_log=True) as site:
        with socket.create_connection(("127.0.0.1", site.port), PATIENCE) as client:
            client.sendall(b"GET /v2/stream/empty HTTP/1.1\r\nhost: x\r\n\r\n")
            came = await asyncio.to_thread(client.recv, 65536)
    head, _, body = came.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert {b"date", b"content-type", b"access-control-allow-origin", b"transfer-encoding"} <= {*names}
    assert names.count(b"connection") == 1
    assert b"\nid: [" in body
    assert [record.getMessage()[-3:] for record in caplog.records if record.name == "uvicorn.access"] == ["200"]


@pytest.mark.long
async def test_nothing_of_the_request_is_left_once_its_stream_is_open() -> None:
    """Neither while the stream is open nor after it, and without a collection of garbage."""

    def left() -> list[object]:
        return [one for one in gc.get_objects() if isinstance(one, StreamProtocol | RequestResponseCycle)]

    async with running() as site:
        gc.collect()
        gc.disable()
        try:
            before = len(left())
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"GET /v2/stream/empty HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                await reader.readuntil(b"\nid: ")
            await becomes(lambda: len(left()) == before)
            writer.close()
        finally:
            gc.enable()
