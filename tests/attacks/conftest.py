"""Gateways that are attacked, and what came of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.attacks.force import Options
from tests.attacks.monitor import HEAD_TIMEOUT
from tests.attacks.plain import STREAM
from tests.attacks.siege import ABOUT, DRAIN_TIME, REPORT_VARIABLE, SECONDS, Line, Siege, besieged, table
from tests.end_to_end.account import write_report
from tests.end_to_end.conftest import Serve, client, gateways, serve
from tests.end_to_end.process import WAIT
from tests.eventlog.unhurried import unhurried
from tests.told import told

__all__ = ["client", "gateways", "serve"]

HOSTILE = "hostile"
"""The stream that the attackers write to."""
LINES, NOTES = "attacks", "notes on attacks"
"""What is told at the end of a run."""
MEGABYTE = 1 << 20
SETTINGS: dict[str, Any] = {
    # The plain client, which has another address than the attackers.
    "exempt_networks": ["127.0.0.1/32"],
    "drain_time": DRAIN_TIME,
    "ring_bytes": 4 * MEGABYTE,
    "block_cache_bytes": 4 * MEGABYTE,
    "replay_cache_bytes": 4 * MEGABYTE,
    "intake_queue_bytes": 16 * MEGABYTE,
    "head_timeout": HEAD_TIMEOUT,
    "keep_alive": 0.5,
    "write_timeout": 2,
    "waiting_connections": 300,
    "process_connections": 2000,
    "schema_repositories": ["config/schemas"],
}
STREAMS: dict[str, Any] = {
    STREAM: {},
    HOSTILE: {},
    "timed": {"resume": "timestamp"},
    "wiki.change": {"schema_title": "wiki/change", "timestamp_field": "meta.dt"},
}

TOPICS = {STREAM: 1, HOSTILE: 4, "timed": 1}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what the attacks came to."""
    lines, notes = told(config, LINES), told(config, NOTES)
    if lines or notes:
        terminalreporter.section("attacks")
        for line in table(lines):
            terminalreporter.write_line(line)
        for note in notes:
            terminalreporter.write_line(note)
        if REPORT_VARIABLE in os.environ:
            write_report(Path(os.environ[REPORT_VARIABLE]), ABOUT, table(lines), notes)


@pytest.fixture
def attack_note(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """(text): a line below the table."""
    return told(pytestconfig, NOTES).append


@pytest.fixture
def lines(pytestconfig: pytest.Config) -> list[Line]:
    """The table that is shown at the end of the run."""
    return told(pytestconfig, LINES)


@pytest.fixture
async def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteLog]:
    """The log of the gateway, written to beside it. An attacker may hold the file while it waits for a core, to which
    it lets everybody else go first."""
    unhurried(monkeypatch)
    log = SqliteLog(tmp_path / "events.db", busy_timeout=WAIT)
    yield log
    await log.close()


Assault = Callable[..., Awaitable[Siege]]
"""(name, module, attack, settings={}, streams={}, seconds=SECONDS, topics={}, **options): what came of an attack of
`tests.attacks.MODULE` on a gateway with these settings, streams, and partitions of topics; see Options."""


@pytest.fixture
def assault(serve: Serve, log: SqliteLog, lines: list[Line], tmp_path: Path) -> Assault:
    """An attack by strangers on a gateway over SQLite, judged."""

    async def put(value: bytes) -> None:
        await log.append(STREAM, [NewRecord(value, partition=0)])

    async def make(
        name: str,
        module: str,
        attack: str,
        settings: dict[str, Any] | None = None,
        streams: dict[str, Any] | None = None,
        seconds: float = SECONDS,
        topics: dict[str, int] | None = None,
        **options: Any,
    ) -> Siege:
        path = tmp_path / "events.db"
        for topic, partitions in (TOPICS | (topics or {})).items():
            await log.create(topic, partitions)
        gateway = await serve(STREAMS | (streams or {}), f"sqlite:///{path}", **SETTINGS | (settings or {}))
        given = Options(port=gateway.port, log=str(path), **options)
        async with besieged(name, gateway, put, lines, (module, attack, given)) as siege:
            await siege.monitor.endure(seconds)
        return siege

    return make
