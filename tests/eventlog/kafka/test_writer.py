"""A LogWriter of Kafka ends its calls in time, whatever its producer does."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka import transactions as kafka_transactions
from gateway.eventlog.kafka import writer as kafka_writer
from gateway.eventlog.kafka.writer import KafkaWriter, Patience
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import to
from tests.kit.stopwatch import stopwatch

SECONDS = 0.2


class Hanging:
    """A producer of which one method never returns. Its stop neither, before its tasks and its client are ended."""

    def __init__(self, method: str) -> None:
        self._method = method
        self.calls: list[str] = []
        self.client = SimpleNamespace(close=self._close)
        self._sender = object()
        self._message_accumulator = SimpleNamespace(
            fail_all=lambda error: None, _batches={}, _pending_batches=set[object]()
        )
        self._txn_manager = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def call(*_: Any, **__: Any) -> Any:
            self.calls.append(name)
            if name in (self._method, "stop"):
                await asyncio.Event().wait()
            return asyncio.get_running_loop().create_future()

        return call

    async def _close(self) -> None:
        self.calls.append("close")
        await asyncio.Event().wait()


class Prompt:
    """A producer whose every call is through at once."""

    async def begin_transaction(self) -> None: ...

    async def send(self, topic: str, *_: Any) -> asyncio.Future[Any]:
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(SimpleNamespace(topic=topic, partition=0, offset=0))
        return sent

    async def commit_transaction(self) -> None: ...


class Leaders:
    """A cluster whose partitions are led, or of which nothing is heard."""

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent

    async def leaders(self, partitions: Any) -> dict[TopicPartition, int]:
        if self._silent:
            await asyncio.Event().wait()
        return dict.fromkeys(partitions, 1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_writer, "APPEND_SECONDS", SECONDS)
    monkeypatch.setattr(kafka_transactions, "CLOSE_SECONDS", SECONDS)


@pytest.mark.parametrize("method", ["begin_transaction", "send", "commit_transaction"])
async def test_an_append_ends_in_time(method: str) -> None:
    producer = Hanging(method)
    writer = KafkaWriter(Leaders(), "name", producer, b"before")  # type: ignore[arg-type]
    async with stopwatch() as watch:
        with pytest.raises(LogUnavailable):
            await writer.append(to("topic", [NewRecord(b"{}")]), b"after")
        assert watch.seconds < 2 * SECONDS + 1
    assert "stop" in producer.calls
    assert writer.position == b"before"
    with pytest.raises(LogUnavailable, match="open another"):
        await writer.append([], b"after")


async def test_an_append_has_more_time_after_each_that_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_writer, "LONGEST_APPEND", 3 * SECONDS)
    patience = Patience()
    given = []
    for _ in range(3):
        given.append(patience.seconds)
        writer = KafkaWriter(Leaders(), "name", Hanging("send"), None, patience)  # type: ignore[arg-type]
        with pytest.raises(LogUnavailable, match=f"not done within {patience.seconds:g} s"):
            await writer.append(to("topic", [NewRecord(b"{}")]), b"after")
    assert given == [SECONDS, 2 * SECONDS, 3 * SECONDS]
    writer = KafkaWriter(Leaders(), "name", Prompt(), None, patience)  # type: ignore[arg-type]
    await writer.append([], b"after")
    assert patience.seconds == SECONDS


async def test_an_append_to_what_nobody_tells_of_ends_in_time() -> None:
    writer = KafkaWriter(Leaders(silent=True), "name", Hanging("none"), None)  # type: ignore[arg-type]
    async with stopwatch() as watch:
        with pytest.raises(LogUnavailable, match="no answer within"):
            await writer.append(to("topic", [NewRecord(b"{}")]), b"after")
        assert watch.seconds < SECONDS + 1


async def test_a_close_ends_in_time_and_never_raises() -> None:
    producer = Hanging("none")
    writer = KafkaWriter(Leaders(), "name", producer, None)  # type: ignore[arg-type]
    async with stopwatch() as watch:
        await writer.close()
        assert watch.seconds < SECONDS + 1
    assert producer.calls == ["stop", "close"]
    await writer.close()
