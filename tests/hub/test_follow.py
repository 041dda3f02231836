"""Topics that the hub is asked to read while it runs."""

from __future__ import annotations

import asyncio

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.hub import ordered as ordered_module
from gateway.hub.segment import Segment
from gateway.model.record import NewRecord, TopicPartition
from tests.hub.test_discovery import fill, held, hub_over, quick, running, until

__all__ = ["quick"]

ALPHA, GAMMA = TopicPartition("alpha", 0), TopicPartition("gamma", 0)


async def test_a_topic_that_is_there_begins_at_its_newest_part() -> None:
    log = MemoryLog()
    for topic in ("alpha", "gamma"):
        log.create_topic(topic)
    fill(log, GAMMA, [100_000, 399_999, 400_000, 900_000])
    async with running(hub_over(log, ring_fill=600.0)) as hub:
        hub.follow({"gamma": False})
        await until(lambda: "gamma" in hub.discovery.sought and not hub.catching_up, hub)
        assert held(hub, GAMMA) == [2, 3]
        fill(log, GAMMA, [1_000_000])
        await until(lambda: hub.ring.end(GAMMA) == 5, hub)


async def test_a_topic_that_comes_later_begins_at_its_first_record() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    async with running(hub_over(log, ring_fill=600.0)) as hub:
        hub.follow({"gamma": False})
        await until(lambda: "gamma" in hub.discovery.sought, hub)
        log.create_topic("gamma")
        fill(log, GAMMA, [1, 2, 900_000])
        await until(lambda: len(held(hub, GAMMA)) == 3, hub)
        assert not hub.catching_up


async def test_what_is_read_already_goes_on_as_it_is() -> None:
    log = MemoryLog()
    log.create_topic("alpha")
    async with running(hub_over(log)) as hub:
        fill(log, ALPHA, [900_000])
        await until(lambda: held(hub, ALPHA) == [0], hub)
        epoch, version = hub.ring.epoch, hub.version
        hub.follow({"alpha": True, "beta": False})
        hub.follow({"gamma": False})
        await until(lambda: hub.version > version, hub)
        assert hub.by_timestamp == {"alpha": False, "beta": False, "gamma": False}
        fill(log, ALPHA, [900_001])
        await until(lambda: held(hub, ALPHA) == [0, 1], hub)
        assert hub.ring.epoch == epoch


async def test_a_topic_is_followed_once_the_log_is_back() -> None:
    log = MemoryLog()
    for topic in ("alpha", "gamma"):
        log.create_topic(topic)
    fill(log, GAMMA, [1, 2, 900_000])
    async with running(hub_over(log)) as hub:
        log.available = False
        await until(lambda: not hub.available, hub)
        hub.follow({"gamma": False})
        await asyncio.sleep(0)
        assert "gamma" not in hub.discovery.sought
        log.available = True
        await until(lambda: "gamma" in hub.discovery.sought and not hub.catching_up, hub)
        assert held(hub, GAMMA) == [2]


async def test_the_ring_is_behind_until_the_newest_part_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordered_module, "FETCH_RECORDS", 3)
    log = MemoryLog()
    for topic in ("alpha", "gamma"):
        log.create_topic(topic)
    log.append_now("gamma", [NewRecord(b"{}", None, 900_000 + number) for number in range(10)])
    async with running(hub_over(log)) as hub:
        seen: list[tuple[int, int | None]] = []
        deliver = hub.deliver

        def watch(segment: Segment) -> None:
            seen.append((hub.ring.end(GAMMA), hub.catching_up.get(GAMMA)))
            deliver(segment)

        hub.deliver = watch
        hub.follow({"gamma": False})
        await until(lambda: "gamma" in hub.discovery.sought and not hub.catching_up, hub)
        await until(lambda: seen[-1][0] == 10, hub)
        assert len(seen) > 1
        assert all(target == (10 if end < 10 else None) for end, target in seen)
