"""The logs under test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.sqlite.log import SqliteLog
from tests.eventlog.framed import FramedBench
from tests.eventlog.kit import ArchivedBench, Bench, ForgetfulLog, KafkaBench, MemoryBench, SqliteBench
from tests.eventlog.unhurried import unhurried


@pytest.fixture
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is given up because the machine is slow."""
    unhurried(monkeypatch)


@pytest.fixture(params=["memory", "sqlite", "archived", "framed", pytest.param("kafka", marks=pytest.mark.kafka)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path, no_haste: None) -> AsyncIterator[Bench]:
    """Each log in turn, open."""
    bench: Bench
    if request.param == "memory":
        bench = MemoryBench(MemoryLog())
    elif request.param == "sqlite":
        path = tmp_path / "log" / "events.db"
        bench = SqliteBench(SqliteLog(path), path)
    elif request.param == "archived":
        bench = ArchivedBench(ForgetfulLog(MemoryLog(), tmp_path))
    elif request.param == "framed":
        bench = FramedBench(MemoryLog())
    else:
        bootstrap: str = request.getfixturevalue("kafka")
        bench = KafkaBench(KafkaLog([bootstrap]), bootstrap)
    await bench.log.open()
    yield bench
    await bench.log.close()
