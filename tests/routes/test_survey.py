"""What the catalogue tells of rates, by a clock that stands where it is put."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway import cooperative
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import TopicState
from gateway.hub.hub import Hub
from gateway.hub.options import HubOptions
from gateway.hub.segment import Item
from gateway.model.position import NOTHING_READ, ConsumedPosition
from gateway.model.record import TopicPartition
from gateway.routes.rates import RateRoutes
from gateway.routes.survey import Surveyor, covered_seconds
from gateway.routes.updates import Updates
from tests.kit.clock import HandClock

START = 1_800_000_000
"""Seconds."""
OLD = ConsumedPosition(7, 1000 * (START - 3600))
"""Of a record of an hour ago, behind which the hub began to read."""


class World:
    """A hub that has read so many events of each topic a second."""

    def __init__(self, origins: dict[str, ConsumedPosition], **rates: int) -> None:
        self.clock = HandClock(1000 * START + 999)
        self.hub = Hub(MemoryLog(), dict.fromkeys(rates, False), self.clock, HubOptions())
        self.hub.discovery.origins = {TopicPartition(topic, 0): mark for topic, mark in origins.items()}
        self.hub.discovery.known = {topic: TopicState(topic, 1) for topic in rates}
        self.surveyor = Surveyor(self.hub)
        self.offsets = dict.fromkeys(rates, 8)
        self.rates = rates

    @property
    def second(self) -> int:
        return self.clock.now() // 1000

    def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            items = [self.item(topic, self.second) for topic, rate in self.rates.items() for _ in range(rate)]
            self.hub.activity.count(items, self.hub.discovery.known, self.clock.now())
            self.clock.advance(1)

    def item(self, topic: str, second: int) -> Item:
        self.offsets[topic] += 1
        return Item(TopicPartition(topic, 0), ConsumedPosition(self.offsets[topic], 1000 * second), None, b"{}", False)

    async def told(self, *topics: str) -> float:
        await self.surveyor.look()
        return self.surveyor.rate(topics)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [3, 20, 60, 200])
@pytest.mark.parametrize("origin", [NOTHING_READ, ConsumedPosition(7, 1000 * START - 1)])
async def test_a_rate_is_that_of_the_time_of_which_it_is_known(seconds: int, origin: ConsumedPosition) -> None:
    """The streams have just begun, or the hub had no more of the past."""
    world = World({"busy": origin, "slow": origin}, busy=2000, slow=10)
    world.go_on(seconds)
    assert await world.told("busy") == 2000
    assert await world.told("slow") == 10
    assert await world.told("busy", "slow") == 2010


async def test_what_was_quiet_before_is_spread_over_the_minute() -> None:
    world = World({"slow": OLD}, slow=6)
    world.go_on(10)
    assert await world.told("slow") == 1
    assert covered_seconds(world.hub, ["slow"], world.second) == 60


async def test_a_rate_ends_with_its_events() -> None:
    world = World({"slow": NOTHING_READ}, slow=6)
    world.go_on(60)
    world.clock.advance(30)
    assert await world.told("slow") == 3
    world.clock.advance(30)
    assert await world.told("slow") == 0


async def test_the_seconds_that_are_told_are_those_of_which_all_is_known() -> None:
    world = World({"busy": OLD, "slow": ConsumedPosition(7, 1000 * START - 1)}, busy=20, slow=1)
    world.go_on(10)
    catalog = Catalog([Stream("busy", ("busy",)), Stream("both", ("busy", "slow")), Stream("none", ("none",))])
    routes = RateRoutes(lambda: catalog, world.hub, Updates(0, 0, str))
    document = json.loads(await routes.document())
    assert document["end"] == 1000 * (START + 10)
    told = {name: stream["counts"] for name, stream in document["streams"].items()}
    assert told == {"busy": [20] * 10, "both": [21] * 10, "none": []}
    assert [stream["seconds"] for stream in document["streams"].values()] == [60, 10, 60]


async def test_rates_are_told_in_turns_and_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooperative, "YIELD_SECONDS", 0.0)
    world = World({"busy": OLD}, busy=20)
    world.go_on(60)
    catalog = Catalog([Stream(f"stream{number}", ("busy",)) for number in range(500)])
    routes = RateRoutes(lambda: catalog, world.hub, Updates(0, 0, str))
    asking = [asyncio.create_task(routes.document()) for _ in range(3)]
    turns = 0
    while not all(one.done() for one in asking):
        await asyncio.sleep(0)
        turns += 1
    # In one go it takes three; in turns, one for each stream, and once for all who ask.
    assert 400 < turns < 700
    [body] = {one.result() for one in asking}
    assert len(json.loads(body)["streams"]) == 500


@pytest.mark.parametrize("late", [-100_000, -61, -5])
async def test_a_late_record_changes_no_other_second(late: int) -> None:
    world = World({"busy": OLD, "slow": OLD}, busy=100, slow=10)
    world.go_on(60)
    items = [world.item("busy", world.second + late)]
    world.hub.activity.count(items, world.hub.discovery.known, world.clock.now())
    assert await world.told("slow") == 10
    assert await world.told("busy") in (100, round(100 + 1 / 60, 3))


@pytest.mark.parametrize("time", [2**63 - 1, -1, -(2**63)])
async def test_a_beginning_of_an_odd_time_says_nothing(time: int) -> None:
    world = World({"slow": ConsumedPosition(7, time)}, slow=10)
    world.go_on(60)
    assert await world.told("slow") == 10
