"""Keeps a derived stream going: what cannot continue is restarted after a pause, and never reaches another stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.derive.operator import DeriveBounds
from gateway.derive.run import Runner
from gateway.errors import GatewayError, WriterFenced
from gateway.eventlog.port import EventLog
from gateway.observability import telemetry

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a stream that could not go on is begun anew; each is twice the one before, until it reads again."""


async def keep_deriving(
    stream: Stream,
    definitions: Definitions,
    log: EventLog,
    bounds: DeriveBounds,
    clock: Clock,
    stop: asyncio.Event,
) -> bool:
    """Derive a stream until `stop` is set; returns whether another process has taken it over. `log` is open."""
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
                return True
            except Exception as error:
                if not isinstance(error, GatewayError):
                    telemetry.mistake("derive", error)
                if runner.read:
                    pause = FIRST_PAUSE
                telemetry.derive_halted(stream.name, str(error) or type(error).__name__, pause)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()
                pause = min(2 * pause, LONGEST_PAUSE)
        return False
    finally:
        telemetry.derive_ends(stream.name)
