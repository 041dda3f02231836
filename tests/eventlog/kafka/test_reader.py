"""Which partitions a reader asks the brokers for, and when."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from gateway.cooperative import give_way
from gateway.eventlog.kafka.fetch import Fetched, FetchRequest
from gateway.eventlog.kafka.flight import Flight
from gateway.eventlog.kafka.reader import KafkaReader
from gateway.eventlog.port import Batch
from gateway.eventlog.trouble import Kind, Refusal
from gateway.model.record import TopicPartition
from tests.eventlog.kafka.test_records import batch

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


class Cluster:
    """One broker that leads both partitions."""

    def __init__(self) -> None:
        self._topic = SimpleNamespace(topic_id=b"\1" * 16, leaders={0: 1, 1: 1}, epochs={})

    def cached(self, topic: str) -> Any:
        return self._topic

    async def topics(self, names: set[str]) -> dict[str, Any]:
        return dict.fromkeys(names, self._topic)

    def tell_untraced(self, partition: str) -> None:
        pass


class Connections:
    """Keeps what is sent, and answers when the test wants it."""

    def __init__(self) -> None:
        self.sent: list[Flight] = []
        self._told = 0

    def send(self, node: int, request: FetchRequest, flight: Flight, wait: float, patience: float) -> None:
        self.sent.append(flight)

    def asked(self) -> list[set[TopicPartition]]:
        """What was asked for since the last time."""
        asked = [set(flight.positions) for flight in self.sent[self._told :]]
        self._told = len(self.sent)
        return asked

    @staticmethod
    def answer(flight: Flight, end: int = 0) -> None:
        """Nothing has come, of partitions that end there."""
        flight.finish([Fetched(partition, 0, end, [], b"") for partition in flight.positions])


async def reader_of_both() -> tuple[KafkaReader, Connections]:
    reader, connections = KafkaReader(Cluster()), Connections()  # type: ignore[arg-type]
    reader._connections = connections  # type: ignore[assignment]
    await reader.assign({A: 0, B: 0})
    assert connections.asked() == [{A, B}]
    return reader, connections


async def test_an_answer_is_taken_within_the_callback_that_brings_it() -> None:
    """Not a turn of the loop later, when others have had theirs."""
    reader, connections = await reader_of_both()
    fetching = asyncio.create_task(reader.fetch(5.0))
    await give_way()
    loop, asked = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    loop.call_soon(connections.answer, connections.sent[0])
    loop.call_soon(lambda: asked.set_result(connections.asked()))
    assert await asked == [{A, B}]
    fetching.cancel()
    await asyncio.wait([fetching])
    assert fetching.cancelled()


async def test_who_is_not_wanted_and_has_no_more_is_not_asked() -> None:
    """Each of its records would end the wait for those that are wanted."""
    reader, connections = await reader_of_both()
    connections.answer(connections.sent[0])
    assert await reader.fetch(0.001, partitions=[B]) == []
    assert connections.asked() == [{B}]
    assert await reader.fetch(0.001) == []
    assert connections.asked() == [{A}], "beside the one that waits"
    connections.answer(connections.sent[1])
    assert await reader.fetch(0.001, partitions=[B]) == []
    assert connections.asked() == [{B}]


async def test_who_is_not_wanted_is_asked_ahead_where_there_is_more() -> None:
    reader, connections = await reader_of_both()
    connections.answer(connections.sent[0], end=5)
    assert await reader.fetch(0.001, partitions=[B]) == []
    assert connections.asked() == [{A, B}]


EARLIER, LAST = 3, 4
"""Two leader epochs, of which the log has only the earlier."""


async def test_a_log_that_differs_below_the_end_of_an_earlier_epoch_was_cut_at_an_unknown_place() -> None:
    """After a second election: the epoch before the one that was read last has grown beyond what was read."""
    for end in (200, 250, -1):
        reader, connections = KafkaReader(Cluster()), Connections()  # type: ignore[arg-type]
        reader._connections = connections  # type: ignore[assignment]
        await reader.assign({A: 200}, {A: LAST})
        connections.sent[0].finish([Fetched(A, 0, 250, [], b"", 0, (EARLIER, end))])
        [told] = await reader.fetch(1.0)
        assert isinstance(told, Refusal)
        assert (told.trouble.kind, told.trouble.offset) == (Kind.CUT, -1)


async def test_what_was_not_handed_over_is_asked_for_again_where_the_log_differs() -> None:
    reader, connections = KafkaReader(Cluster()), Connections()  # type: ignore[arg-type]
    reader._connections = connections  # type: ignore[assignment]
    await reader.assign({A: 0})
    connections.sent[-1].finish([Fetched(A, 0, 250, [], batch(0, epoch=LAST))])
    [told] = await reader.fetch(1.0, 3)
    assert isinstance(told, Batch)
    assert (told.position, told.stamp) == (3, LAST)
    for position, end in ((10, 10), (3, 3)):
        assert connections.sent[-1].positions[A][:2] == (position, LAST)
        connections.sent[-1].finish([Fetched(A, 0, 250, [], b"", 0, (EARLIER, end))])
        found = await reader.fetch(0.001, 3)
        # Nobody may take it for the log that was read, and read history in it.
        assert A not in reader.starts
    [told] = found
    assert isinstance(told, Refusal)
    assert (told.trouble.kind, told.trouble.offset) == (Kind.CUT, -1)
