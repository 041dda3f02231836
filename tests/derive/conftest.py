"""Logs, and short waits, for the tests that run a derived stream over a log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAIT", "POLL", "FIRST_DELAY"):
        monkeypatch.setattr(f"gateway.derive.run.{name}", 0.02)


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.derive.run.LOOK", 0.02)


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    made: EventLog = MemoryLog() if request.param == "memory" else SqliteLog(str(tmp_path / "events.db"))
    await made.open()
    yield made
    await made.close()
