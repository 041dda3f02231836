"""Brokers that take a connection and hang in its handshake (TLS, SASL, versions): each call ends in time."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka import calls as kafka_calls
from gateway.eventlog.kafka import cluster as kafka_cluster
from gateway.eventlog.kafka import connections as kafka_connections
from gateway.eventlog.kafka import log as kafka
from gateway.eventlog.kafka import producer as kafka_producer
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from tests.eventlog.kafka.test_cluster import CALL, CALLS, NOISE
from tests.kit.stopwatch import stopwatch

ATTEMPT = 0.5
"""The bound of an attempt to connect here, in seconds."""
VERSIONS = {2: 2, 3: 12, 17: 1, 18: 0, 22: 0, 36: 0}
SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 17, 18, 36

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kafka, kafka_calls, kafka_cluster):
        monkeypatch.setattr(module, "CALL_SECONDS", CALL)
    monkeypatch.setattr(kafka_producer, "SEND_SECONDS", CALL)
    monkeypatch.setattr(kafka_connections, "ATTEMPT_SECONDS", ATTEMPT)
    monkeypatch.setattr(kafka_connections, "BACKOFF_SECONDS", 0.1)


async def silent(stream: Stream) -> None:
    """Reads and says nothing."""
    await stream[0].read(-1)


async def dripping(stream: Stream) -> None:
    """Begins with a TLS record of 16 KB, a byte at a time."""
    drops = iter(b"\x16\x03\x03\x40\x00\x02" + bytes(200))
    while not stream[1].is_closing() and not stream[0].at_eof():
        stream[1].write(bytes([next(drops)]))
        await asyncio.sleep(0.02)


def deaf_to(kind: int) -> Callable[[Stream], Awaitable[None]]:
    """Speaks Kafka in plain text up to the first request of this kind."""

    async def serve(stream: Stream) -> None:
        reader, writer = stream
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            request = await reader.readexactly(size)
            asked, _, correlation = struct.unpack_from(">hhi", request)
            if asked == kind:
                await silent(stream)
                return
            ranges = b"".join(struct.pack(">hhh", key, version, version) for key, version in VERSIONS.items())
            mechanism = b"SCRAM-SHA-256"
            body = {
                API_VERSIONS: struct.pack(">hi", 0, len(VERSIONS)) + ranges,
                SASL_HANDSHAKE: struct.pack(">hih", 0, 1, len(mechanism)) + mechanism,
            }[asked]
            writer.write(struct.pack(">ii", 4 + len(body), correlation) + body)

    return serve


@asynccontextmanager
async def serving(serve: Callable[[Stream], Awaitable[None]]) -> AsyncIterator[tuple[int, set[asyncio.StreamWriter]]]:
    """The port, and the connections that are open."""
    connected: set[asyncio.StreamWriter] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(writer)
        try:
            await serve((reader, writer))
        except (OSError, EOFError):
            pass
        finally:
            connected.discard(writer)
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connected
    finally:
        server.close()
        for writer in list(connected):
            writer.transport.abort()


SASL = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_plain_username": "u", "sasl_plain_password": "p"}
HANGING = {
    "TLS, nothing": (silent, {"security_protocol": "SSL"}),
    "TLS, drop by drop": (dripping, {"security_protocol": "SSL"}),
    "TLS before SASL": (silent, {"security_protocol": "SASL_SSL", **SASL}),
    "SASL, versions": (deaf_to(API_VERSIONS), {"security_protocol": "SASL_PLAINTEXT", **SASL}),
    "SASL, mechanism": (deaf_to(SASL_HANDSHAKE), {"security_protocol": "SASL_PLAINTEXT", **SASL}),
    "SASL, proof": (deaf_to(SASL_AUTHENTICATE), {"security_protocol": "SASL_PLAINTEXT", **SASL}),
}


@pytest.mark.long
@pytest.mark.parametrize("hanging", HANGING)
async def test_a_handshake_that_hangs_ends_with_its_deadline(hanging: str) -> None:
    """For all who wait for it together, by one attempt at a time; nothing of it is left over."""
    serve, options = HANGING[hanging]
    async with serving(serve) as (port, connected):
        log = KafkaLog([f"127.0.0.1:{port}"], options)
        await log.open()

        async def ends(call: Callable[[EventLog], Coroutine[Any, Any, object]]) -> None:
            with pytest.raises(LogUnavailable):
                await call(log)
            assert len(connected) <= 1

        async with stopwatch() as watch:
            await asyncio.gather(*(ends(call) for call in CALLS.values() for _ in range(5)))
            assert watch.seconds < CALL + NOISE
        async with stopwatch() as watch:
            await log.close()
            assert watch.seconds < ATTEMPT + NOISE
        async with asyncio.timeout(30):
            while connected:  # noqa: ASYNC110  # closed by the other side
                await asyncio.sleep(0.01)
