"""`/healthz` and `/readyz`."""

from __future__ import annotations

import asyncio
from typing import cast

import orjson
from starlette.requests import Request

from gateway.catalog.stream import Stream
from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import TopicPartition
from gateway.routes.health import Readiness
from tests.routes.kit import PATIENCE, Site, running


async def ready(site: Site, status: int) -> list[str]:
    """Wait for this answer of `/readyz`; what is missing."""
    async with asyncio.timeout(PATIENCE):
        while (response := await site.get("/readyz")).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    missing: list[str] = response.json().get("missing", [])
    return missing


async def test_a_process_that_serves() -> None:
    async with running() as site:
        response = await site.get("/healthz")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert response.headers["cache-control"] == "no-store"
        assert await ready(site, 200) == []


async def test_readiness_follows_the_log_and_liveness_does_not() -> None:
    log = MemoryLog()
    log.available = False
    async with running(log, admin=True, startup_wait=0.05) as site:
        assert (await site.get("/healthz")).status_code == 200
        # Why not, which may name the operator's hosts, is nothing for strangers.
        assert await ready(site, 503) == ["the log does not answer"]
        inside = (await site.admin.get("/readyz")).json()["missing"]
        assert inside == ["the log does not answer: the log in memory is set unavailable"]
        log.available = True
        await ready(site, 200)
        # Outside, its kind alone.
        site.gateway.hub._set_available(False, LogUnavailable("SQLite cannot use /srv/events.db: full", Kind.DISK_FULL))
        assert await ready(site, 503) == ["the log does not answer (disk full)"]
        site.gateway.hub._set_available(True)
        log.available = False
        await ready(site, 503)
        assert (await site.get("/healthz")).status_code == 200


async def test_a_process_that_drains_is_not_ready() -> None:
    async with running() as site:
        site.gateway.draining = True
        assert await ready(site, 503) == ["the server is draining"]
        site.log.available = False
        async with asyncio.timeout(PATIENCE):
            while len(missing := await ready(site, 503)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert missing[1] == "the server is draining"


async def test_a_log_that_is_still_being_read() -> None:
    async with running() as site:
        site.gateway.hub.filled.clear()
        assert await ready(site, 503) == ["the newest part of the log is still being read"]
        site.gateway.hub.filled.set()


async def test_a_partition_that_is_stuck_is_named_and_the_others_are_served() -> None:
    async with running() as site:
        await ready(site, 200)
        site.gateway.watch.stuck = [TopicPartition("wide", 1)]
        response = await site.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"status": "ready", "stuck": ["wide/1"]})


async def test_why_events_are_not_stored_is_told_by_its_kind_outside() -> None:
    async with running(streams=(Stream("wide", ("wide",)), Stream("sealed", ("cellar",), public=False))) as site:
        await ready(site, 200)
        detail = "SQLite cannot use /srv/log/events.db: database or disk is full"
        full = Trouble(Kind.DISK_FULL, detail)
        site.gateway.intake.failing.update({"wide": full, "cellar": full})
        assert (await site.get("/readyz")).json() == {"status": "ready", "appends": {"wide": "disk full"}}
        failing = site.gateway.intake.failing
        inside = Readiness(
            site.gateway.hub, site.gateway.watch, lambda: False, lambda: ((), ()), True, list, failing=failing
        )
        answer = orjson.loads((await inside.readyz(cast(Request, None))).body)
        assert answer["appends"] == dict.fromkeys(("wide", "cellar"), f"disk full: {detail}")


async def test_topics_that_are_not_there_are_told_inside_alone_and_of_their_streams() -> None:
    async with running(streams=(Stream("wide", ("wide", "wise")),)) as site:
        await ready(site, 200)
        site.gateway.absent.told = {"wise": "there is no topic wise; did you mean wide?"}
        assert (await site.get("/readyz")).json() == {"status": "ready"}
        inside = Readiness(
            site.gateway.hub,
            site.gateway.watch,
            lambda: False,
            lambda: ((), ()),
            True,
            list,
            absent=lambda: site.gateway.absent.told,
        )
        answer = orjson.loads((await inside.readyz(cast(Request, None))).body)
        assert answer["absent"] == site.gateway.absent.told
        assert (await site.get("/v2/streams/wide")).json()["absent"] == ["wise"]


async def test_why_a_partition_is_stuck_is_told_inside_alone() -> None:
    async with running() as site:
        await ready(site, 200)
        detail = "broker1.internal:9092 refuses"
        site.gateway.hub.recovery.sick = {
            TopicPartition("wide", 0): Trouble(Kind.NO_RIGHT, detail),
            TopicPartition("of.nobody", 0): Trouble(Kind.NO_LEADER, detail),
        }
        assert (await site.get("/readyz")).json() == {"status": "ready", "stuck": ["wide/0"]}
        inside = Readiness(site.gateway.hub, site.gateway.watch, lambda: False, lambda: ((), ()), True, list)
        answer = orjson.loads((await inside.readyz(cast(Request, None))).body)
        assert answer["stuck"] == {"wide/0": f"no right: {detail}", "of.nobody/0": f"no leader: {detail}"}
