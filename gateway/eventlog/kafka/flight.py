"""Requests under way to a broker, and the connections that they take."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from struct import Struct
from typing import Any

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.cluster import FAILURES, HEDGE_SECONDS, Cluster, close_connections
from gateway.eventlog.kafka.connection import FRAME_BYTES
from gateway.eventlog.kafka.fetch import FetchPosition, FetchRequest
from gateway.model.record import TopicPartition

_LENGTH = Struct(">i")

ANSWER_SECONDS = 30.0
"""Seconds that an answer in pieces may take in all; between two pieces, the bound is that for the first."""


class Flight:
    """A request to a node for some partitions, from these positions; or, without a node, for the metadata of them.

    `outcome` is what it brought, or what went wrong, once it is finished; `on_finish` is called then. One that is not
    finished by its `deadline` (as of `time.monotonic`) is to be cancelled. After it is `late`, its node may lead no
    more.
    """

    __slots__ = ("_on_finish", "connection", "deadline", "late", "node", "outcome", "positions", "task")

    def __init__(
        self,
        node: int | None,
        positions: Mapping[TopicPartition, FetchPosition],
        on_finish: Callable[[], None] = lambda: None,
    ) -> None:
        self.node = node
        self.positions = positions
        self.outcome: Any = None
        self.deadline = math.inf
        self.late = math.inf
        self.task: asyncio.Task[Any] | None = None
        self.connection: FetchConnection | None = None
        self._on_finish = on_finish

    def finish(self, outcome: object) -> None:
        """The first outcome counts."""
        if self.outcome is None:
            self.outcome = outcome
            self._on_finish()

    @property
    def in_flight(self) -> bool:
        """Whether it holds a connection, or is about to."""
        return self.task is not None or self.connection is not None

    def abandon(self) -> None:
        """Drop the answer: nobody needs it any more. The connection is free once the answer has arrived."""
        if self.outcome is None:
            self.outcome = ()

    def run(self, call: Coroutine[Any, Any, object]) -> None:
        """Do this in the background; what it returns or raises is the outcome, None where it only begins."""
        self.task = asyncio.create_task(call)
        self.task.add_done_callback(self._take_result)

    def cancel(self) -> None:
        """Wait for it no longer."""
        self.finish(LogUnavailable(f"Kafka: fetch from broker {self.node}: no answer in time"))
        if self.connection is not None:
            self.connection.close()
        if self.task is not None:
            self.task.cancel()

    def _take_result(self, task: asyncio.Task[Any]) -> None:
        self.task = None
        if task.cancelled():
            return
        outcome = task.exception() or task.result()
        if outcome is not None:
            self.finish(outcome)


class FetchConnection:
    """A connection for one request at a time. A broker answers in turn, so a request that waits for records would delay
    the others.

    aiokafka opens and closes it (TLS, SASL, versions). The answers come from the transport itself. aiokafka's reading
    task, its futures and its two time-outs a request need three more turns of the loop for each lone event.
    """

    def __init__(self, node: int) -> None:
        self.node = node
        self._cluster: Cluster
        self._address: tuple[str, int]
        self._connection: Any = None
        self._client = b""
        self._request: tuple[FetchRequest, int]
        self._flight: Flight | None = None
        self._received = bytearray()
        self._patience = self._last = 0.0

    async def open(self, cluster: Cluster) -> None:
        """Raises LogUnavailable."""
        self._cluster, self._address = cluster, cluster.address(self.node)
        self._connection = await cluster.connect(self._address, self._on_close)
        self._client = self._connection._client_id.encode()
        # From now on; whatever else happens to the transport stays with aiokafka.
        self._connection._protocol.data_received = self._receive

    @property
    def free(self) -> bool:
        """Whether a request can be sent."""
        return self._flight is None and self.connected

    @property
    def connected(self) -> bool:
        """False once it is of no use any more."""
        return self._connection is not None and bool(self._connection.connected())

    def send(self, request: FetchRequest, flight: Flight, wait: float, patience: float) -> None:
        """Send a request. The broker may wait for `wait` seconds before it answers. The flight is overdue if nothing
        arrives for `patience` seconds after that, or after the last piece of an answer."""
        flight.connection = self
        now = time.monotonic()
        flight.late = now + wait + HEDGE_SECONDS
        flight.deadline = now + wait + patience
        self._patience = patience
        self._last = flight.deadline + ANSWER_SECONDS
        self._flight = flight
        correlation = self._connection._next_correlation_id()
        self._request = request, correlation
        try:
            self._connection._writer.write(request.encode(self._connection._versions, correlation, self._client))
        except FAILURES as error:
            self.close(repr(error))

    def close(self, reason: str = "the connection is closed") -> Any:
        """The future of its end, None where it never began; a flight finishes with this reason."""
        self._end(reason)
        return None if self._connection is None else self._connection.close()

    def _receive(self, data: bytes) -> None:
        if self._received or len(data) < _LENGTH.size:
            self._received += data
            if len(self._received) < _LENGTH.size:
                return
        received = self._received or data
        (size,) = _LENGTH.unpack_from(received)
        missing = size + _LENGTH.size - len(received)
        if self._flight is None or not 0 <= size <= FRAME_BYTES or missing < 0:
            self.close("it sent an unexpected answer")
        elif missing == 0:
            frame = bytes(memoryview(received)[_LENGTH.size :])
            self._received = bytearray()
            self._take(frame)
        else:
            if received is data:
                self._received += data
            now = time.monotonic()
            self._flight.deadline = min(max(self._flight.deadline, now + self._patience), self._last)
            self._flight.late = max(self._flight.late, now + HEDGE_SECONDS)

    def _take(self, frame: bytes) -> None:
        assert self._flight is not None
        (request, correlation), flight = self._request, self._flight
        try:
            found = request.read(frame, correlation)
        except LogUnavailable as error:
            flight.finish(error)
            self.close()
            return
        self._flight = None
        flight.connection = None
        self._cluster.throttle(self._address, request.throttled)
        # The same that aiokafka does, which closes what is idle for too long.
        self._connection._last_action = time.monotonic()
        flight.finish(found)

    def _on_close(self, connection: object, reason: object) -> None:
        self._end(f"the connection is closed: {reason}")

    def _end(self, reason: str) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.connection = None
            flight.finish(LogUnavailable(f"Kafka: fetch from broker {self.node}: {reason}"))


class FetchConnections:
    """The connections of one reader."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._all: list[FetchConnection] = []

    def send(self, node: int, request: FetchRequest, flight: Flight, wait: float, patience: float) -> None:
        """Send a request to a node, now or when it wants to be asked again; the flight brings the answer, or why there
        is none."""
        connection = self._take(node)
        if connection is not None and not self._paused(node):
            connection.send(request, flight, wait, patience)
        else:
            flight.run(self._send_later(node, request, flight, wait, patience))

    async def close(self) -> None:
        """Close all; bounded in time, and never raises."""
        connections, self._all = self._all, []
        with suppress(Exception):
            await close_connections(connections)

    def _take(self, node: int) -> FetchConnection | None:
        return next((each for each in self._all if each.node == node and each.free), None)

    def _paused(self, node: int) -> bool:
        try:
            return self._cluster.paused(self._cluster.address(node)) > 0
        except LogUnavailable:
            return False

    async def _send_later(self, node: int, request: FetchRequest, flight: Flight, wait: float, patience: float) -> None:
        await self._cluster.pause(self._cluster.address(node))
        connection = self._take(node)
        if connection is None:
            connection = FetchConnection(node)
            await connection.open(self._cluster)
            self._all = [*(old for old in self._all if old.connected), connection]
        connection.send(request, flight, wait, patience)
