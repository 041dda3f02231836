"""Connections that a reader fetches over: what comes in pieces, and what should not come at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.cluster import Cluster
from gateway.eventlog.kafka.connection import FRAME_BYTES
from gateway.eventlog.kafka.flight import ANSWER_SECONDS, FetchConnections, Flight
from tests.eventlog.kafka.test_fetch import CORRELATION, NEW, POSITIONS, answer, request

NODE = 1


class Broker:
    """A cluster of one broker, and the connection to it, as far as a reader knows of them."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.opened = 0
        self.open = True
        self.pausing = 0.0
        self._client_id = "me"
        self._versions = NEW
        self._protocol = SimpleNamespace(data_received=None)
        self._writer = SimpleNamespace(write=self.sent.append)
        self._on_close: Callable[..., None]

    def address(self, node: int) -> tuple[str, int]:
        return "broker", node

    def paused(self, _: object) -> float:
        return max(0.0, self.pausing)

    async def pause(self, _: object) -> None:
        self.pausing = 0.0

    def throttle(self, _: object, milliseconds: int) -> None:
        self.pausing = milliseconds / 1000

    async def connect(self, _: object, on_close: Callable[..., None]) -> Any:
        self.opened += 1
        self.open, self._on_close = True, on_close
        return self

    def connected(self) -> bool:
        return self.open

    def close(self) -> None:
        if self.open:
            self.open = False
            self._on_close(self, "closed")

    def _next_correlation_id(self) -> int:
        return CORRELATION

    def answer(self, data: bytes) -> None:
        """Send bytes to the reader."""
        cast(Any, self._protocol).data_received(data)


async def ask(connections: FetchConnections) -> Flight:
    """A request that is on its way."""
    flight = Flight(NODE, POSITIONS)
    connections.send(NODE, request()[0], flight, 0.5, 60.0)
    if flight.task is not None:
        await flight.task
    return flight


def framed(answer: bytes) -> bytes:
    return len(answer).to_bytes(4, "big") + answer


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def connections(broker: Broker) -> FetchConnections:
    return FetchConnections(cast(Cluster, broker))


@pytest.mark.parametrize("piece", [1, 3, 4, 50, 10_000])
async def test_an_answer_comes_in_pieces(broker: Broker, connections: FetchConnections, piece: int) -> None:
    for count in (1, 2):
        flight = await ask(connections)
        data = framed(answer())
        for start in range(0, len(data), piece):
            assert flight.outcome is None
            broker.answer(data[start : start + piece])
        assert [fetched.error for fetched in flight.outcome] == [0, 6, 0]
        assert (broker.opened, len(broker.sent)) == (1, count)


@pytest.mark.parametrize(
    "data",
    [framed(answer()[:-1]), framed(answer(correlation=9)), framed(answer()) + b"more", b"\xff" * 4],
    ids=["cut off", "of another request", "too much", "negative size"],
)
async def test_what_is_no_answer_ends_the_connection(
    broker: Broker, connections: FetchConnections, data: bytes
) -> None:
    flight = await ask(connections)
    broker.answer(data)
    assert isinstance(flight.outcome, LogUnavailable)
    assert not broker.open
    again = await ask(connections)
    broker.answer(framed(answer()))
    assert isinstance(again.outcome, list)
    assert broker.opened == 2


async def test_what_nobody_asked_for_ends_the_connection(broker: Broker, connections: FetchConnections) -> None:
    await ask(connections)
    broker.answer(framed(answer()))
    broker.answer(framed(answer()))
    assert not broker.open


async def test_a_connection_that_ends_tells_its_flight(broker: Broker, connections: FetchConnections) -> None:
    flight = await ask(connections)
    broker.close()
    assert isinstance(flight.outcome, LogUnavailable)


async def test_a_flight_that_is_cancelled_gives_up_its_connection(
    broker: Broker, connections: FetchConnections
) -> None:
    flight = await ask(connections)
    assert asyncio.get_running_loop().time() < flight.deadline
    flight.cancel()
    assert isinstance(flight.outcome, LogUnavailable)
    assert not broker.open


async def test_a_request_that_waits_does_not_hold_up_another(broker: Broker, connections: FetchConnections) -> None:
    await ask(connections)
    await ask(connections)
    assert broker.opened == 2


async def test_what_an_abandoned_flight_brings_is_not_kept(broker: Broker, connections: FetchConnections) -> None:
    flight = await ask(connections)
    flight.abandon()
    held = flight.in_flight
    broker.answer(framed(answer()))
    assert (held, flight.in_flight) == (True, False)
    assert not flight.outcome
    await ask(connections)
    assert broker.opened == 1


async def test_an_answer_that_comes_piece_by_piece_is_waited_for(broker: Broker, connections: FetchConnections) -> None:
    flight = await ask(connections)
    data = framed(answer())
    flight.deadline = before = time.monotonic() + 0.1
    broker.answer(data[:10])
    assert before < flight.deadline < time.monotonic() + 60.5 + ANSWER_SECONDS + 0.5
    broker.answer(data[10:])
    assert isinstance(flight.outcome, list)


async def test_an_answer_that_is_announced_too_large_ends_the_connection(
    broker: Broker, connections: FetchConnections
) -> None:
    flight = await ask(connections)
    broker.answer((FRAME_BYTES + 1).to_bytes(4, "big"))
    assert isinstance(flight.outcome, LogUnavailable)
    assert not broker.open


async def test_a_broker_that_asks_for_a_pause_is_not_asked_meanwhile(
    broker: Broker, connections: FetchConnections
) -> None:
    await ask(connections)
    broker.pausing = 5.0
    flight = Flight(NODE, POSITIONS)
    connections.send(NODE, request()[0], flight, 0.5, 60.0)
    assert len(broker.sent) == 1
    assert flight.task is not None
    await flight.task
    assert len(broker.sent) == 2
