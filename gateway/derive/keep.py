"""Keeps a derived stream going: what cannot continue is restarted after a pause, and never reaches another stream.

Of several processes the newest derives a stream. The others stand by: one takes over when the stream has not grown for
a while although its sources have, since the newest may be gone for ever. Where it is not, nothing is lost by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.derive.operator import DeriveBounds
from gateway.derive.run import Runner
from gateway.errors import GatewayError, LogError, WriterFenced
from gateway.eventlog.port import EventLog, TopicState
from gateway.eventlog.trouble import demand
from gateway.model.record import TopicPartition
from gateway.observability import telemetry

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a stream that could not go on is begun anew; each is twice the one before, until it reads again."""

STANDBY_SECONDS = 300.0
"""Seconds between two looks at a stream that another process derives, at the least. Twice the horizon is looked at: by
then a window that was open has ended."""


async def keep_deriving(
    stream: Stream,
    definitions: Definitions,
    log: EventLog,
    bounds: DeriveBounds,
    clock: Clock,
    stop: asyncio.Event,
) -> None:
    """Derive a stream until `stop` is set. `log` is open."""
    assert stream.derive is not None
    pause = FIRST_PAUSE
    telemetry.derive_begins(stream.name)
    telemetry.derive_lag(stream.name, 0.0)
    try:
        while not stop.is_set():
            runner = Runner(stream, stream.derive, definitions, log, clock, telemetry.derive_says, bounds)
            try:
                await runner.run(stop)
            except WriterFenced as error:
                telemetry.derive_taken_over(stream.name, str(error))
                telemetry.derive_ends(stream.name)
                await _stand_by(stream, definitions, log, stop)
                telemetry.derive_lag(stream.name, 0.0)
            except Exception as error:
                if not isinstance(error, GatewayError):
                    telemetry.mistake("derive", error)
                if runner.read:
                    pause = FIRST_PAUSE
                telemetry.derive_halted(stream.name, str(error) or type(error).__name__, pause)
                await _rest(stop, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
    finally:
        telemetry.derive_ends(stream.name)


async def _stand_by(stream: Stream, definitions: Definitions, log: EventLog, stop: asyncio.Event) -> None:
    """Wait until nobody seems to derive the stream."""
    assert stream.derive is not None
    streams = definitions.catalog.streams
    sources = [topic for name in stream.derive.sources for topic in streams[name].topics]
    seconds = max(STANDBY_SECONDS, 2 * stream.derive.horizon / 1000)
    own, read = await _length(log, stream.topics), await _length(log, sources)
    while not stop.is_set():
        await _rest(stop, seconds)
        own_now, read_now = await _length(log, stream.topics), await _length(log, sources)
        if -1 not in (own, own_now, read, read_now) and own_now == own and read_now > read:
            return
        own, read = own_now, read_now


async def _length(log: EventLog, topics: Sequence[str]) -> int:
    """How far these topics reach, all partitions added up; -1 where the log does not tell."""
    try:
        states = await log.describe(topics)
        places = [
            TopicPartition(topic, number)
            for topic, state in states.items()
            if isinstance(state, TopicState)
            for number in range(state.partitions)
        ]
        return sum(at.end for at in demand(await log.bounds(places)).values()) if places else -1
    except LogError:
        return -1


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
