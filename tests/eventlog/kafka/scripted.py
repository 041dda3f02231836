"""A Kafka broker that answers as a script says, and keeps what it has stored."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.record.memory_records import MemoryRecords

from gateway.eventlog.trouble import Kind, Trouble, absent
from gateway.model.record import TopicPartition

TOPIC = "t"


class Broker:
    """A cluster of one broker that stores by Kafka's rules for numbered batches. `script` says what happens to the next
    batches: an error code, `lost` (stored, not answered), `half` (stored by the leader, too few followers), `gone` (not
    even that); after that all goes well."""

    def __init__(self, partitions: int = 1) -> None:
        self.script: list[int | str] = []
        self.stuck: set[int] = set()
        """Partitions without a leader."""
        self.hanging: set[int] = set()
        """Partitions of another broker, which says nothing."""
        self.values: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
        self.identities = 0
        self.paused = False
        """Takes requests into its socket, and answers none."""
        self.socket: list[Any] = []
        self._expected: dict[tuple[int, int], int] = {}
        self._last: dict[tuple[int, int, int], int] = {}

    async def leaders(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int | Trouble]:
        return {each: self._leader(each) for each in partitions}

    def _leader(self, partition: TopicPartition) -> int | Trouble:
        if partition.topic != TOPIC or partition.partition not in self.values:
            return absent(partition.topic)
        if partition.partition in self.stuck:
            return Trouble(Kind.NO_LEADER, "none")
        return 1 + (partition.partition in self.hanging)

    def cached(self, topic: str) -> Any:
        return SimpleNamespace(leaders=dict.fromkeys(self.values, 1))

    async def topics(self, names: list[str]) -> dict[str, Any]:
        return {name: self.cached(name) for name in names}

    def forget(self, topics: list[str]) -> None:
        pass

    def address(self, node: int) -> tuple[str, int]:
        return "broker", node

    async def pause(self, _: object) -> None:
        pass

    def throttle(self, *_: object) -> None:
        pass

    async def while_leads(self, _: int, __: object, call: Any) -> Any:
        return await call

    async def connect(self, address: tuple[str, int]) -> Any:
        return self

    def connected(self) -> bool:
        return True

    def close(self) -> None:
        pass

    async def send_to_any(self, _: object) -> Any:
        self.identities += 1
        return SimpleNamespace(error_code=0, producer_id=self.identities, producer_epoch=0)

    async def send(self, request: Any) -> Any:
        _, _, _, [(topic, [(number, data)])] = request._fields
        assert topic == TOPIC
        if number in self.hanging:
            await asyncio.Event().wait()
        if self.paused:
            self.socket.append(data)
            await asyncio.Event().wait()
        event = self.script.pop(0) if self.script else 0
        if isinstance(event, int) and event != 0:
            return self._answer(number, event)
        if event == "gone":
            raise OSError("gone")
        batch = MemoryRecords(bytes(data)).next_batch()
        code, offset = self._store(number, batch.producer_id, batch.base_sequence, [record.value for record in batch])
        if event == "lost":
            raise OSError("lost")
        if event == "half":
            return self._answer(number, 20)
        if event == "resigned":
            return self._answer(number, 6)
        return self._answer(number, code, offset)

    def resume(self) -> None:
        """Take what has come meanwhile, again too where it was taken already."""
        self.paused = False
        for data in self.socket:
            batch = MemoryRecords(bytes(data)).next_batch()
            self._store(0, batch.producer_id, batch.base_sequence, [record.value for record in batch])

    def _store(self, number: int, producer: int, sequence: int, values: list[bytes]) -> tuple[int, int]:
        if (number, producer, sequence) in self._last:
            return 0, self._last[number, producer, sequence]
        if sequence != self._expected.get((number, producer), 0):
            return 45, -1
        offset = self._last[number, producer, sequence] = len(self.values[number])
        self.values[number] += values
        self._expected[number, producer] = sequence + len(values)
        return 0, offset

    @staticmethod
    def _answer(number: int, code: int, offset: int = -1) -> Any:
        return SimpleNamespace(topics=[(TOPIC, [(number, code, offset, -1, 0, [], None)])])
