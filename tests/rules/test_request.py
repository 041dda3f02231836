"""Requests of rules, to servers that behave badly: on real sockets."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.limits.networks import Networks
from gateway.outbound.environment import Proxies
from gateway.rules import request as module
from gateway.rules.attempt import Answer, Prepared
from gateway.rules.request import ANSWER_BYTES, Egress, is_public
from tests.kit.loopback import Serve, serving

LOOPBACK = Networks(["127.0.0.0/8"])
NO_PROXIES = Proxies({}, {})


def prepared(port: int, host: str = "127.0.0.1", timeout: int = 30_000, **more: Any) -> Prepared:
    """A request."""
    usual: dict[str, Any] = {
        "method": "POST", "scheme": "http", "host": host, "port": port, "authority": f"{host}:{port}",
        "target": "/purge/%2E%2E/x?a=%2F", "headers": ((b"idempotency-key", b"k"),), "body": b"{}", "timeout": timeout,
    }  # fmt: skip
    return Prepared(**usual | more)


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(LOOPBACK, NO_PROXIES)
    yield egress
    await egress.close()


def answering(*parts: bytes, seconds: float = 0.0, endless: bool = False) -> Serve:
    """Reads a request's head, then sends these parts, each after so long; over and over where `endless`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(parts[0])
        while True:
            for part in parts[1:]:
                await asyncio.sleep(seconds)
                writer.write(part)
                await writer.drain()
            if not endless:
                return

    return serve


async def test_a_request_is_sent_as_it_is_written(egress: Egress) -> None:
    heads: list[bytes] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            assert await reader.readexactly(2) == b"{}"
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 5\r\nretry-after: 7\r\n\r\nlater")

    async with serving(serve) as port:
        for _ in range(3):
            assert await egress.send(prepared(port)) == Answer(503, "", "7", b"later")
        assert connections == 1
        head = heads[0].decode().lower()
        assert head.startswith("post /purge/%2e%2e/x?a=%2f http/1.1\r\n")
        assert f"host: 127.0.0.1:{port}\r\n" in head
        assert "idempotency-key: k\r\n" in head
        assert head.count("host:") == head.count("content-length:") == 1


async def test_a_redirect_is_not_followed(egress: Egress) -> None:
    async with serving(
        answering(b"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
    ) as port:
        assert (await egress.send(prepared(port))).status == 302


async def test_a_refused_connection_is_told(egress: Egress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = await egress.send(prepared(port))
    assert answer.status is None
    assert "refused" in answer.failure


@pytest.mark.long
@pytest.mark.parametrize(
    ("serve", "told"),
    [
        (answering(b""), "what it answers is no HTTP"),
        (answering(b"garbage\r\n\r\n"), "what it answers is no HTTP"),
        (answering(b"HTTP/1.1 99999 x\r\n\r\n"), "what it answers is no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2_000_000), "what it answers is no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 1000, endless=True), "what it answers is no HTTP"),
        (answering(b"", b"", seconds=60), "no answer within 0.5 s"),
        (answering(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", seconds=0.05, endless=True), "no answer within 0.5 s"),
        (answering(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10, endless=True), "no answer within 0.5 s"),
    ],
)  # fmt: skip
async def test_a_bad_server_costs_a_bounded_time(serve: Serve, told: str) -> None:
    egress = Egress(LOOPBACK, NO_PROXIES)
    async with serving(serve) as port:
        begun = asyncio.get_running_loop().time()
        # Where the time is not what ends it, it is no matter how slow this machine is.
        answer = await egress.send(prepared(port, timeout=500 if "0.5 s" in told else 30_000))
        assert asyncio.get_running_loop().time() - begun < 20
        assert answer.status is None
        assert told in answer.failure or "reset" in answer.failure
        await egress.close()


@pytest.mark.parametrize("seconds", [0.0, 60.0])
async def test_the_status_counts_whatever_becomes_of_the_body(
    egress: Egress, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS", 0.3)
    async with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", b"x", seconds=seconds)) as port:
        begun = asyncio.get_running_loop().time()
        answer = await egress.send(prepared(port, timeout=60_000))
        assert asyncio.get_running_loop().time() - begun < 30
    assert answer.status == 200
    assert answer.body == b"x" * len(answer.body)
    assert answer.body


@pytest.mark.parametrize("coding", [b"", b"content-encoding: gzip\r\n"])
async def test_an_endless_body_is_not_read_beyond_a_bound(
    egress: Egress, coding: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS", 20.0)  # the bytes end it, and not the time
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + coding + b"\r\n")
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()
            sent += 4096

    async with serving(serve) as port:
        answer = await egress.send(prepared(port))
        assert answer.status == 200
        assert answer.body == b"x" * 1000
        assert sent < 100 * ANSWER_BYTES


PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_private_address_is_asked_only_where_it_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_public(ipaddress.ip_address(address))

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 1))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    egress = Egress(Networks([]), NO_PROXIES)
    for host in ("harmless.example", address):
        answer = await egress.send(prepared(1, host))
        assert "which no rule_networks names" in answer.failure


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_asked(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_a_name_that_changes_its_meaning_is_checked_again(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked is what is asked: the name is not looked up a second time for the connection."""
    answers = ["127.0.0.1", "10.0.0.1"]
    asked = 0

    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        nonlocal asked
        asked += host == "rebinding.example"
        address = answers[min(asked, len(answers)) - 1] if host == "rebinding.example" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with serving(answering(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n")) as port:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        for _ in range(3):
            assert (await egress.send(prepared(port, "rebinding.example"))).status == 204
        assert asked == 1
        monkeypatch.setattr(module, "LOOKUP_SECONDS", -1.0)
        egress._found.clear()
        answer = await egress.send(prepared(port, "rebinding.example"))
        assert answer.failure.startswith("rebinding.example is 10.0.0.1")


async def test_another_address_of_a_host_is_tried(egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        found = ["127.0.0.2", "10.1.1.1", "127.0.0.1"] if host == "two.example" else [host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    async with serving(answering(b"HTTP/1.1 204 x\r\n\r\n")) as port:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        assert (await egress.send(prepared(port, "two.example"))).status == 204


async def test_a_look_up_that_hangs_or_fails_is_told(egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    async def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
    assert (await egress.send(prepared(1, "a.example", timeout=200))).failure == "no answer within 0.2 s"
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    assert (await egress.send(prepared(1, "a.example"))).failure == "a.example cannot be looked up: no such name"


async def test_a_proxy_of_the_environment_is_asked() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n")

    async with serving(serve) as port:
        egress = Egress(Networks([]), Proxies({"http": f"http://127.0.0.1:{port}"}, {}))
        assert (await egress.send(prepared(80, "cache.example", authority="cache.example"))).status == 204
        await egress.close()
    assert heads[0].startswith(b"POST http://cache.example/purge/%2E%2E/x?a=%2F HTTP/1.1\r\n")
