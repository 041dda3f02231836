"""A log that nobody reads: the process goes on without it."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.attacks.conftest import SETTINGS, STREAMS, TOPICS
from tests.attacks.force import Options
from tests.attacks.plain import STREAM
from tests.attacks.siege import SECONDS, Line, besieged
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import configuration, eventually

pytestmark = pytest.mark.end_to_end

ATTACKS = {"records": "flood", "requests": "refused"}


@pytest.mark.parametrize("module", ATTACKS)
async def test_nobody_reads_what_it_writes(
    gateways: Launch, log: SqliteLog, lines: list[Line], tmp_path: Path, module: str
) -> None:
    """Standard error is a pipe that somebody holds open and does not read. Bad records and requests fill it."""
    for topic, partitions in TOPICS.items():
        await log.create(topic, partitions)

    async def put(value: bytes) -> None:
        await log.append(STREAM, [NewRecord(value, partition=0)])

    path = tmp_path / "events.db"
    config = configuration(tmp_path, STREAMS, **SETTINGS, access_log=True, log_level="debug")
    gateway = gateways("--config", str(config), "--log", f"sqlite:///{path}")
    pipe = gateway.error_path
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    try:
        await gateway.start()
        options = Options(port=gateway.port, log=str(path), count=1000)
        name = f"standard error is not read, and {module} fill it"
        async with besieged(name, gateway, put, lines, (module, ATTACKS[module], options)) as siege:
            await siege.monitor.endure(SECONDS)

            async def full() -> bool:
                return _is_full(held)

            await eventually(full, "a pipe that is full")
    finally:
        os.close(held)
        pipe.unlink()


def _is_full(pipe: int) -> bool:
    """Whether nobody can write to it. Its bytes do not tell: pages that a line did not fit into are not filled."""
    _, writable, _ = select.select([], [pipe], [], 0)
    return not writable
