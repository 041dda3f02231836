"""Brokers before 3.1, and those whose topics a ZooKeeper keeps."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka import log as log_module
from gateway.eventlog.kafka.log import TOPIC_EXISTS, KafkaLog
from gateway.eventlog.kafka.metadata import Topic
from gateway.eventlog.kafka.protocol import MetadataRequest
from gateway.eventlog.port import TopicState
from tests.eventlog.kafka import fake_broker
from tests.eventlog.kafka.fake_broker import IDENTITY, TOPIC, fake_brokers


@pytest.mark.parametrize(("newest", "spoken"), [(12, 12), (20, 12), (11, 11), (10, 5), (9, 5), (4, 4)])
def test_the_newest_metadata_that_both_know(newest: int, spoken: int) -> None:
    chosen = MetadataRequest([TOPIC]).prepare({3: (0, newest)}).API_VERSION
    assert chosen == spoken


@pytest.mark.parametrize("version", [11, 12])
async def test_a_topic_has_its_own_id(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setitem(fake_broker.VERSIONS, 3, version)
    async with fake_brokers(1) as (broker,):
        log = KafkaLog([f"127.0.0.1:{broker.port}"])
        try:
            assert await log.describe([TOPIC]) == {TOPIC: TopicState(IDENTITY.hex(), 1)}
        finally:
            await log.close()


async def test_a_broker_that_knows_no_broker_says_nothing_of_topics() -> None:
    """It has just started; every topic is absent to it."""
    async with fake_brokers(1) as (broker,):
        log = KafkaLog([f"127.0.0.1:{broker.port}"])
        try:
            broker.brokers, broker.identity = {}, None
            with pytest.raises(LogUnavailable, match="does not know its cluster yet"):
                await log.describe([TOPIC])
            broker.brokers = {1: broker.port}
            assert await log.describe([TOPIC]) == {}
        finally:
            await log.close()


class Leaving:
    """A cluster with a topic that is on its way out: it exists for the controller, and then for nobody."""

    def __init__(self, tries: int) -> None:
        self.left = tries
        self.asked = 0

    async def send_to_controller(self, _: object) -> Any:
        self.asked += 1
        self.left -= 1
        return SimpleNamespace(topic_errors=[(TOPIC, TOPIC_EXISTS if self.left else 0, None)])

    async def topics(self, names: Collection[str]) -> dict[str, Topic]:
        return {} if self.left else {TOPIC: Topic(TOPIC, IDENTITY, {0: 1})}


async def test_a_topic_on_its_way_out_is_created_once_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "RETRY_SECONDS", 0.001)
    log, cluster = KafkaLog(["broker:9092"]), Leaving(3)
    log._cluster = cluster  # type: ignore[assignment]
    await log.create(TOPIC)
    assert cluster.asked == 3
