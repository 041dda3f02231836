"""What does not heal, and what another process saw first, over a real connection."""

from __future__ import annotations

import json
import logging

import pytest
from prometheus_client import REGISTRY

from gateway.errors import MISTAKE
from gateway.eventlog.memory.log import MemoryLog
from gateway.feed.feed import Feed
from tests.kit.waiting import becomes
from tests.routes.kit import PATIENCE, START, Site, position, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM = {"type": "about:blank", "title": "Internal error", "status": 500, "detail": MISTAKE}


def break_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(feed: Feed, segment: object, chosen: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Feed, "_make", broken)


async def failures() -> float:
    return REGISTRY.get_sample_value("gateway_stream_failures_total") or 0.0


async def test_a_mistake_of_our_own_is_the_last_event(
    site: Site, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = await failures()
    async with site.stream(f"/v2/stream/{name}") as reading:
        opening = await reading.frame()
        break_feeds(monkeypatch)
        site.put(name, stored(1))
        frame = await reading.message()
        assert (frame["event"], frame["id"], json.loads(json.dumps(frame["data"]))) == ("error", opening["id"], PROBLEM)
        assert await reading.rest() == b""
    await becomes(lambda: not site.gateway.streams.sessions)
    assert await failures() == before + 1
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None


async def test_a_mistake_of_our_own_is_the_last_line(site: Site, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"accept": "application/x-ndjson", "accept-encoding": "gzip"}
    async with site.stream(f"/v2/stream/{name}", headers=headers) as reading:
        await reading.line()
        break_feeds(monkeypatch)
        site.put(name, stored(1))
        lines = [json.loads(line) for line in (await reading.rest()).split(b"\n") if line]
        assert lines == [{"$error": PROBLEM}]


@pytest.mark.long
async def test_a_partition_that_another_process_saw_first_is_no_404() -> None:
    log = MemoryLog()
    async with running(log, metadata_interval=3600.0, heartbeat=PATIENCE) as site:
        log.add_partitions("wide", 4)
        for partition in range(4):
            log.append_now("wide", [stored(number)._replace(partition=partition) for number in range(2)])
        entries = [("wide", partition, 0, START) for partition in range(4)]
        async with site.stream("/v2/stream/wide", headers={"last-event-id": position(*entries)}) as reading:
            assert reading.status == 200
            opening = await reading.frame()
            assert [entry["offset"] for entry in opening["id"]] == [0] * 4
            assert await reading.numbers(4) == [1] * 4
