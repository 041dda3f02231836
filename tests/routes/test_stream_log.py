"""Streams over a log that has lost something, or goes away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.eventlog.memory.log import MemoryLog
from tests.routes.kit import EARLY, MARGIN, START, Site, position, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.long
@pytest.mark.parametrize(
    ("offset", "timestamp", "gap"),
    [
        (0, START, {"requested": 0, "resumed": 2, "reason": "expired"}),
        (0, None, {"requested": 0, "resumed": 2, "reason": "expired"}),
        (900, None, {"requested": 900, "resumed": 4, "reason": "future"}),
        (900, START + 3 * MARGIN, {"requested": 900, "resumed": 3, "reason": "unknown"}),
        (2, START + 3 * MARGIN, {"requested": 2, "resumed": 3, "reason": "unknown"}),
    ],
)
async def test_a_position_that_no_longer_exists_is_told(
    site: Site, name: str, offset: int, timestamp: int | None, gap: dict[str, Any]
) -> None:
    site.put(name, *(stored(number) for number in range(4)))
    site.log.truncate(name, 0, 2)
    headers = {"last-event-id": position((name, 0, offset, timestamp))}
    async with site.stream(f"/v2/stream/{name}", headers=headers) as reading:
        opening = await reading.frame()
        told = await reading.message()
        assert told["event"] == "gap"
        assert told["data"] == {"topic": name, "partition": 0} | gap
        # Whoever loses the connection in between is told of the gap again.
        assert opening["id"] == json.loads(headers["last-event-id"])
        assert told["id"][0]["offset"] == gap["resumed"] - 1
        site.put(name, stored(9))
        resumed = await reading.message()
        assert (resumed["event"], resumed["id"][0]["offset"]) == ("message", gap["resumed"])


@pytest.mark.long
@pytest.mark.parametrize("offset", [1, 2, 3])
async def test_no_gap_is_told_where_nothing_was_lost(site: Site, name: str, offset: int) -> None:
    site.put(name, *(stored(number) for number in range(4)))
    site.log.truncate(name, 0, 2)
    headers = {"last-event-id": position((name, 0, offset, START + offset * MARGIN))}
    async with site.stream(f"/v2/stream/{name}", headers=headers) as reading:
        await reading.frame()
        site.put(name, stored(4))
        first = await reading.message()
        assert (first["event"], first["data"]["number"]) == ("message", offset + 1)


@pytest.mark.long
async def test_streams_wait_for_the_log_and_go_on() -> None:
    log = MemoryLog()
    async with running(log) as site, site.stream("/v2/stream/page.create") as reading:
        await reading.frame()
        site.put("page.create", stored(0))
        assert await reading.numbers(1) == [0]
        log.available = False
        while (frame := await reading.frame()).get("") != "waiting for the log":
            pass
        assert frame["id"][0]["offset"] == 0
        async with site.stream("/v2/stream/page.create") as other:
            assert other.status == 200
            assert "retry" in await other.frame()
            while (await other.frame()).get("") != "waiting for the log":
                pass
            site.put("page.create", stored(1))
            log.available = True
            assert await reading.numbers(1) == [1]


@pytest.mark.long
async def test_the_port_is_opened_without_the_log() -> None:
    log = MemoryLog()
    log.available = False
    async with running(log, startup_wait=0.05) as site:
        site.put("page.create", stored(0))
        assert (await site.get("/healthz")).status_code == 200
        assert (await site.get("/readyz")).status_code == 503
        async with site.stream(f"/v2/stream/page.create?{EARLY}") as reading:
            assert reading.status == 200
            opening = await reading.frame()
            assert opening["id"]
            while (await reading.frame()).get("") != "waiting for the log":
                pass
            log.available = True
            assert await reading.numbers(1) == [0]
        assert (await site.get("/readyz")).status_code == 200
