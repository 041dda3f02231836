"""Keeps a derived stream going: what cannot continue is restarted after a pause, and never reaches another stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.derive.lanes import Work
from gateway.derive.operator import DeriveBounds
from gateway.derive.run import Runner
from gateway.derive.sources import Sources
from gateway.errors import GatewayError, WriterFenced
from gateway.eventlog.port import EventLog
from gateway.observability import telemetry

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a stream that could not go on is begun anew; each is twice the one before, until it reads again."""


async def keep_deriving(
    work: Work,
    definitions: Definitions,
    log: EventLog,
    bounds: DeriveBounds,
    clock: Clock,
    stop: asyncio.Event,
    sources: Sources | None = None,
) -> None:
    """Derive a stream until `stop` is set. `log` is open, and `sources` are those that the process shares. Raises
    WriterFenced where another process has taken over."""
    pause = FIRST_PAUSE
    name = work.stream.name
    telemetry.derive_begins(name)
    telemetry.derive_lag(name, 0.0, work.lane)
    try:
        while not stop.is_set():
            runner = Runner(work, definitions, log, clock, telemetry.derive_says, bounds, sources)
            try:
                await runner.run(stop)
            except WriterFenced as error:
                telemetry.derive_taken_over(name, str(error))
                raise
            except Exception as error:
                if not isinstance(error, GatewayError):
                    telemetry.mistake("derive", error)
                if runner.read:
                    pause = FIRST_PAUSE
                telemetry.derive_halted(name, str(error) or type(error).__name__, pause)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()
                pause = min(2 * pause, LONGEST_PAUSE)
    finally:
        telemetry.derive_ends(name, work.lane)
