"""Connections to Kafka's brokers, bounded in time and memory, whatever a broker does.

aiokafka opens them (TLS, SASL, versions) and numbers the requests. A broker answers the requests of one connection in
order, so there are three kinds:

- one connection to each broker is shared by the small requests (metadata, offsets), which it answers from memory;
- a request that may wait at the broker (a batch, a producer id, a new topic) has a connection of its own meanwhile;
- so has each fetch (`flight.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from gateway.cooperative import retrieve
from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.calls import bounded, joined, reason
from gateway.eventlog.kafka.connection import BrokerConnection
from gateway.eventlog.kafka.metadata import TRUST_SECONDS, Address
from gateway.outbound.lookups import look_up_apart

ATTEMPT_SECONDS = 2.0
"""A connection is open by then (name, TCP, TLS, SASL, versions), or the attempt has failed."""

BACKOFF_SECONDS = 0.25
"""An attempt that has failed is the answer to all who would make another within this."""

CLOSE_SECONDS = 1.0
"""How long connections may take to close, all together."""

IDLE_MILLISECONDS = 540_000
"""Seconds after which an unused connection is closed, a minute before a broker would do it."""


class Dialer:
    """Opens connections. While an attempt to an address is under way, other callers wait for its outcome. If it
    fails, they all receive that failure, for a while. So one attempt at a time is made to a silent broker."""

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = dict(options)
        # A producer of aiokafka calls it otherwise than its connections do.
        self._idle = self._options.pop("connections_max_idle_ms", IDLE_MILLISECONDS)
        self._first: dict[Address, asyncio.Task[Any]] = {}
        self._attempts: set[asyncio.Task[Any]] = set()
        self._failures: dict[Address, tuple[float, str]] = {}

    def close(self) -> None:
        """End the attempts; waiting callers receive an error."""
        for task in self._attempts:
            task.cancel()
        self._first = {}

    def has_failed(self, address: Address) -> bool:
        """Whether the last attempt was in vain."""
        return address in self._failures

    async def connect(self, address: Address, on_close: Callable[..., None] | None = None) -> Any:
        """A new connection, which the caller closes; `on_close` is called once when it closes. Raises LogUnavailable,
        after ATTEMPT_SECONDS, or twice that where the first attempt went well and the own one does not."""
        self._raise_failure(address)
        if address in self._first:
            await joined(self._first[address])
        task = asyncio.create_task(self._attempt(address, on_close))
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)
        task.add_done_callback(retrieve)
        self._first.setdefault(address, task)
        try:
            return await joined(task)
        except asyncio.CancelledError:
            # Others may wait for how it ends.
            task.add_done_callback(_close_unused)
            raise

    async def _attempt(self, address: Address, on_close: Callable[..., None] | None) -> Any:
        host, port = address
        look_up_apart()
        connection = BrokerConnection(
            host,
            port,
            request_timeout_ms=int(2000 * ATTEMPT_SECONDS),
            max_idle_ms=self._idle,
            on_close=on_close,
            **self._options,
        )
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await connection.connect()
        except TimeoutError:
            failure = f"no answer within {ATTEMPT_SECONDS:g} s"
        except Exception as error:  # whatever a broker's first words make aiokafka raise
            failure = reason(error)
        except BaseException:
            connection.close()
            raise
        else:
            self._failures.pop(address, None)
            return connection
        finally:
            if self._first.get(address) is asyncio.current_task():
                del self._first[address]
        connection.close()
        self._note_failure(address, failure)
        raise LogUnavailable(f"Kafka: connect to {host}:{port}: {failure}")

    def _note_failure(self, address: Address, failure: str) -> None:
        now = time.monotonic()
        self._failures = {
            other: (at, text) for other, (at, text) in self._failures.items() if now - at < TRUST_SECONDS
        } | {address: (now, failure)}

    def _raise_failure(self, address: Address) -> None:
        at, failure = self._failures.get(address, (0.0, ""))
        if failure and time.monotonic() - at < BACKOFF_SECONDS:
            raise LogUnavailable(f"Kafka: connect to {address[0]}:{address[1]}: {failure}")


class BrokerConnections:
    """Connections of which each is used for one request at a time."""

    def __init__(self, connect: Callable[[Address], Awaitable[Any]]) -> None:
        self._connect = connect
        self._free: dict[Address, list[Any]] = {}
        self._all: set[Any] = set()

    async def send(self, address: Address, request: Any, seconds: float) -> Any:
        """Send a request, and return the response. Raises LogUnavailable."""
        connection = await self._take(address)
        try:
            response = await bounded(connection.send(request), seconds, f"ask {address[0]}:{address[1]}")
        except BaseException:
            self._all.discard(connection)
            connection.close()
            raise
        self._free.setdefault(address, []).append(connection)
        return response

    async def close(self) -> None:
        """Close all; bounded in time, and never raises."""
        connections, self._all, self._free = self._all, set(), {}
        await close_connections(connections)

    async def _take(self, address: Address) -> Any:
        free = self._free.get(address, [])
        while free:
            connection = free.pop()
            if connection.connected():
                return connection
            connection.close()
        connection = await self._connect(address)
        self._all = {old for old in self._all if old.connected()} | {connection}
        self._free = {other: held for other, held in self._free.items() if held}
        return connection


async def close_connections(connections: Iterable[Any]) -> None:
    """Close connections; bounded in time, and never raises."""
    with suppress(Exception):
        closing = [closed for connection in connections if (closed := connection.close()) is not None]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)


def _close_unused(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
