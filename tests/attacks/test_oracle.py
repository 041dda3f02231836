"""What judges the attacks: it says nothing of a gateway that serves, and tells of one that stands still or forgets."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.attacks.conftest import SETTINGS
from tests.attacks.monitor import EVENT_SECONDS, PERIOD, Monitor
from tests.attacks.plain import STREAM, PlainClient
from tests.attacks.siege import Line, besieged, table
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import GatewayProcess, eventually
from tests.speed import MOST

pytestmark = pytest.mark.end_to_end

STANDS = 1.6
"""Seconds: more than the slowest machine is given for the health."""
SEVERAL = 20
"""Events."""


async def _put(log: SqliteLog, value: bytes) -> None:
    await log.append(STREAM, [NewRecord(value, partition=0)])


async def several(monitor: Monitor) -> None:
    """Wait for events, however long the log takes for each."""

    async def come() -> bool:
        return monitor.events > SEVERAL

    await eventually(come, "several events")


@pytest.fixture
async def served(serve: Serve, log: SqliteLog, tmp_path: Path) -> GatewayProcess:
    await log.create(STREAM, 1)
    return await serve({STREAM: {}}, f"sqlite:///{tmp_path / 'events.db'}", **SETTINGS)


async def test_a_gateway_that_nobody_attacks_is_held_good(served: GatewayProcess, log: SqliteLog) -> None:
    told: list[Line] = []
    async with besieged("nothing", served, lambda value: _put(log, value), told) as siege:
        await siege.monitor.endure(1)
        await several(siege.monitor)
    [line] = told
    assert line.events > SEVERAL
    assert 0 < line.delay <= EVENT_SECONDS * MOST
    assert not line.broke
    assert len(table(told)) == 3


async def test_a_gateway_that_stands_still_is_not(served: GatewayProcess, log: SqliteLog) -> None:
    told: list[Line] = []

    async def stop_it() -> None:
        async with besieged("it stops", served, lambda value: _put(log, value), told) as siege:
            monitor = siege.monitor
            served.signal_group(signal.SIGSTOP)
            begun = monitor.clock.now()
            # Not of the wall: what this loop, or the log, is late is not held against the gateway.
            while min(begun.until(monitor.clock.now()), max(monitor.delays, default=0.0)) < STANDS:  # noqa: ASYNC110
                await asyncio.sleep(PERIOD)
            served.signal_group(signal.SIGCONT)
            await monitor.endure(0.3)

    with pytest.raises(AssertionError, match="took"):
        await stop_it()
    [line] = told
    assert line.broke
    assert line.delay > 1
    assert line.health_worst > 1


async def test_the_lateness_of_the_test_itself_is_not_held_against_it(served: GatewayProcess, log: SqliteLog) -> None:
    async with Monitor(served, lambda value: _put(log, value)) as monitor:
        await monitor.endure(0.3)
        time.sleep(STANDS)  # noqa: ASYNC251
        await monitor.endure(0.3)
        await monitor.stop()
        monitor.judge()


async def test_what_is_lost_repeated_or_cut_is_told(served: GatewayProcess, log: SqliteLog) -> None:
    async with Monitor(served, lambda value: _put(log, value)) as monitor:
        await several(monitor)
        await monitor.stop()
        client: PlainClient = monitor.clients[0]
        monitor.judge()
        moment = client.came.pop(1)
        with pytest.raises(AssertionError, match="lost 1"):
            monitor.judge()
        client.came[1] = moment
        client.feed(b'data: {"plain":0}\n\n')
        with pytest.raises(AssertionError, match="again"):
            monitor.judge()
        client.disorder.clear()
        monitor.health[1].failed.append("HTTP/1.1 503")
        with pytest.raises(AssertionError, match="admin"):
            monitor.judge()
        client.cut()
        with pytest.raises(AssertionError, match="ended"):
            monitor.judge()
