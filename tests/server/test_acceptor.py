"""Connections are taken while there is room, and none is lost at the end."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from gateway.server.acceptor import SPARE_FILES, Acceptor, most_connections, raise_file_limit
from gateway.server.server import listen

PATIENCE = 60.0


class Greeting(asyncio.Protocol):
    """Says something, so that a client sees that it was taken."""

    def __init__(self, connection: socket.socket) -> None:
        assert connection.fileno() >= 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"welcome")
        transport.close()


class Exhausted:
    """A listening socket for which the system has no files for some time."""

    def __init__(self, listener: socket.socket, failures: int) -> None:
        self._listener = listener
        self.left = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def accept(self) -> Any:
        if self.left:
            self.left -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listener.accept()


async def greeted(port: int) -> bytes:
    """What a client hears; nothing where it is refused."""
    async with asyncio.timeout(PATIENCE):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            said = await reader.read()
            writer.close()
        except ConnectionError:
            return b""
        return said


async def test_connections_beyond_the_room_are_closed() -> None:
    room = [True]
    listener = listen("127.0.0.1", 0, shared=False)
    port = listener.getsockname()[1]
    acceptor = Acceptor(listener, Greeting, lambda: room[0])
    assert await greeted(port) == b"welcome"
    room[0] = False
    assert await greeted(port) == b""
    room[0] = True
    assert await greeted(port) == b"welcome"
    acceptor.close()
    await acceptor.settle()


async def test_a_system_without_files_is_asked_again_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.acceptor.REST_SECONDS", 0.01)
    listener = listen("127.0.0.1", 0, shared=False)
    port = listener.getsockname()[1]
    poor: Any = Exhausted(listener, 3)
    acceptor = Acceptor(poor, Greeting, lambda: True)
    assert await greeted(port) == b"welcome"
    assert poor.left == 0
    acceptor.close()
    await acceptor.settle()


@pytest.mark.parametrize("shared", [False, True])
async def test_what_waits_in_the_listener_is_taken_before_it_is_closed(shared: bool) -> None:
    listener = listen("127.0.0.1", 0, shared=shared)
    port = listener.getsockname()[1]
    # Not a turn of the loop passes between the connections and the end.
    clients = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(200)]
    acceptor = Acceptor(listener, Greeting, lambda: True)
    acceptor.close()
    await acceptor.settle()
    for client in clients:
        assert await asyncio.to_thread(client.recv, 100) == b"welcome"
        client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE)


def test_there_are_fewer_connections_than_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: Callable[[int], tuple[int, int]] = lambda _: (1024, 1024)  # noqa: E731
    monkeypatch.setattr("resource.getrlimit", limits)
    assert raise_file_limit() == 1024
    assert most_connections(0) == 1024 - SPARE_FILES
    assert most_connections(100) == 100
    assert most_connections(5000) == 1024 - SPARE_FILES
