"""Blocks to many connections at once: each gets all bytes in order, whatever its socket takes of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feed import live_clients
from gateway.feed.live_clients import Coding, LiveClient, LiveClients
from gateway.feed.packer import Plain


class Socket:
    """Takes of each block so many bytes as it was told, None standing for all; then its transport holds the rest."""

    def __init__(self, takes: Sequence[int | None] = ()) -> None:
        self._takes = list(takes)
        self.received = b""
        self.held = b""
        self.calls = 0

    def send(self, data: bytes) -> int:
        assert not self.held, "past what waits"
        self.calls += 1
        taken = self._takes.pop(0) if self._takes else None
        if taken == 0:
            raise BlockingIOError
        count = len(data) if taken is None else min(taken, len(data))
        self.received += data[:count]
        return count

    def write(self, data: bytes) -> None:
        self.held += data

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def drain(self) -> None:
        self.received, self.held = self.received + self.held, b""


class Gone(Socket):
    """One whose connection is no more."""

    def send(self, data: bytes) -> int:
        raise ConnectionResetError


def connect(group: LiveClients, *sockets: Socket) -> list[LiveClient]:
    clients = [LiveClient(one, Plain(), one.send) for one in sockets]
    for client in clients:
        group.add(client)
    return clients


def write(group: LiveClients, data: bytes) -> list[LiveClient]:
    return group.write(lambda coding: {Coding.PLAIN: data}[coding])


TAKES = st.lists(st.one_of(st.none(), st.integers(0, 12)), max_size=8)


@given(st.lists(st.tuples(TAKES, st.sets(st.integers(0, 7))), min_size=1, max_size=6))
def test_every_client_gets_every_byte_once_and_in_order(scripts: list[tuple[list[int | None], set[int]]]) -> None:
    group = LiveClients()
    sockets = [Socket(takes) for takes, _ in scripts]
    connect(group, *sockets)
    blocks = [b"<block %d>" % number for number in range(8)]
    for number, block in enumerate(blocks):
        for one, (_, drained) in zip(sockets, scripts, strict=True):
            if number in drained:
                one.drain()
        assert write(group, block) == []
    for one in sockets:
        one.drain()
        assert one.received == b"".join(blocks)
    assert len(group) == len(list(group)) == len(sockets)


def test_one_that_waits_is_asked_at_once_again_when_it_has_caught_up() -> None:
    group, slow = LiveClients(), Socket([3])
    connect(group, slow)
    for block in (b"first", b"second", b"third"):
        write(group, block)
        assert slow.calls == 1
    slow.drain()
    write(group, b"4")  # by the transport, which is empty then, and left with it
    slow.drain()
    write(group, b"5")
    slow.drain()
    assert slow.received == b"firstsecondthird45"


def test_a_connection_that_is_gone_keeps_nothing_from_the_others() -> None:
    group = LiveClients()
    sockets = [Socket(), Gone(), Socket(), Gone(), Socket()]
    connect(group, *sockets)
    write(group, b"event")
    assert [one.received for one in sockets if not isinstance(one, Gone)] == [b"event"] * 3
    assert [one.held for one in sockets if isinstance(one, Gone)] == [b"event"] * 2


def test_who_does_not_keep_up_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_clients, "BUFFER_LIMIT", 8)
    group, prompt, slow = LiveClients(), Socket(), Socket([2])
    connect(group, prompt)
    [behind] = connect(group, slow)
    assert write(group, b"ten bytes.") == []
    assert write(group, b"!") == [behind]
    group.remove(behind)
    assert behind not in group
    assert len(group) == 1


async def test_the_socket_of_a_transport_may_be_asked_after_it_was_closed() -> None:
    """What is sent past a transport that has closed its socket reaches nobody, least of all a connection which has got
    the same number since."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    closed = asyncio.Event()

    class Closed(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            closed.set()

    transport, _ = await loop.connect_accepted_socket(Closed, ours)
    send = ours.send
    assert send(b"alive") == 5
    number = ours.fileno()
    transport.abort()
    await closed.wait()
    await asyncio.sleep(0)
    assert ours.fileno() < 0
    left, right = socket.socketpair()
    assert number in (left.fileno(), right.fileno())
    group = LiveClients()
    [client] = connect(group, Socket())
    group.remove(client)
    gone = LiveClient(transport, Plain(), send)
    group.add(gone)
    write(group, b"for nobody")
    for one in (left, right):
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(100)
    for one in (left, right, theirs):
        one.close()
