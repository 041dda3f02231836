"""Topics of many partitions: what a busy broker answers in time counts, though the rest be late."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.eventlog.kafka import log as log_module
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import Bounds
from gateway.eventlog.trouble import Trouble
from gateway.model.record import TopicPartition

PARTITIONS = [TopicPartition("t", number) for number in range(10)]


class BusyCluster:
    """A cluster of one broker, which answers so many requests for offsets and then no more."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.described = 0
        self.sizes: list[int] = []

    async def leaders(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self.described += 1
        return dict.fromkeys(partitions, 1)

    async def topics(self, names: Collection[str]) -> dict[str, Any]:
        return {}

    def forget(self, names: Iterable[str]) -> None:
        pass

    async def refresh(self, names: Collection[str]) -> dict[str, Any]:
        return {}

    def address(self, node: int) -> tuple[str, int]:
        return "broker", node

    async def while_leads(self, _: int, __: object, call: Any) -> Any:
        return await call

    async def send(self, address: object, request: Any) -> Any:
        [(topic, asked)] = request._topics
        self.sizes.append(len(asked))
        if self.answers == 0:
            await asyncio.Event().wait()
        self.answers -= 1
        return SimpleNamespace(topics=[(topic, [(number, 0, -1, 7) for number, _ in asked])])


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> BusyCluster:
    monkeypatch.setattr(log_module, "PART", 4)
    monkeypatch.setattr(log_module, "SICK_SECONDS", 0.5)
    return BusyCluster(5)


def log_over(cluster: BusyCluster) -> KafkaLog:
    log = KafkaLog(["broker:9092"])
    log._cluster = cluster  # type: ignore[assignment]
    return log


async def test_bounds_that_come_in_time_count(busy: BusyCluster) -> None:
    found = await log_over(busy).bounds(PARTITIONS)
    assert [partition for partition, told in found.items() if told == Bounds(7, 7)] == PARTITIONS[:8]
    assert all(isinstance(found[partition], Trouble) for partition in PARTITIONS[8:])
    assert busy.sizes[:6] == [4, 4, 4, 4, 2, 2]


async def test_so_do_the_offsets_of_times(busy: BusyCluster) -> None:
    busy.answers = 2
    found = await log_over(busy).find(dict.fromkeys(PARTITIONS, 5))
    assert [partition for partition, told in found.items() if told == 7] == PARTITIONS[:8]
    assert list(found) == PARTITIONS


async def test_the_leaders_of_all_are_asked_for_first(busy: BusyCluster) -> None:
    """Once they are known, no part asks for those of its topic again."""
    await log_over(busy).find(dict.fromkeys(PARTITIONS[:4], 5))
    alone, busy.described = busy.described, 0
    await log_over(busy).find(dict.fromkeys(PARTITIONS[:8], 5))
    assert (alone, busy.described) == (1, 3)
