"""The logs under test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.eventlog.kafka import KafkaLog
from gateway.eventlog.memory import MemoryLog
from gateway.eventlog.sqlite import SqliteLog
from tests.eventlog.kit import Bench, KafkaBench, MemoryBench, SqliteBench
from tests.services.kafka import JARS_VARIABLE, KafkaBroker, jars, running_broker


@pytest.fixture(scope="session")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker that a test may stop, and starts again before it ends."""
    found = jars()
    if found is None:
        pytest.skip(f"{JARS_VARIABLE} names no directory with Kafka's jars")
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), found)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> str:
    """The address of a broker that runs throughout."""
    running = running_broker()
    if running is not None:
        return running
    broker: KafkaBroker = request.getfixturevalue("own_broker")
    return broker.bootstrap


@pytest.fixture(params=["memory", "sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Each log in turn, open."""
    bench: Bench
    if request.param == "memory":
        bench = MemoryBench(MemoryLog())
    elif request.param == "sqlite":
        path = tmp_path / "log" / "events.db"
        bench = SqliteBench(SqliteLog(path), path)
    else:
        bootstrap: str = request.getfixturevalue("kafka")
        bench = KafkaBench(KafkaLog([bootstrap]), bootstrap)
    await bench.log.open()
    yield bench
    await bench.log.close()


@pytest.fixture
def topic() -> str:
    """A name that no other test uses."""
    return f"test.{uuid.uuid4().hex}"
