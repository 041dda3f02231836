"""Figures and connections of several workers, asked of the one admin port."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.app.composition import open_log
from gateway.model.record import NewRecord
from gateway.settings.table import Settings
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import WAIT, GatewayProcess, configuration, eventually

pytestmark = pytest.mark.end_to_end

CLIENTS = 24
"""So many that the kernel gives all of them to one worker once in some millions of runs."""
AGENT = {b"user-agent": "a<b>ä".encode()}


async def figures(admin: httpx.AsyncClient) -> dict[str, float]:
    """Each sample by its name, summed over its labels. A supervisor that has no core for seconds reports nothing (503)
    meanwhile."""
    found: dict[str, float] = {}
    async with asyncio.timeout(WAIT):
        while (answer := await admin.get("/metrics")).status_code == 503:
            pass
    assert answer.status_code == 200
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


@asynccontextmanager
async def readers(gateway: GatewayProcess, count: int) -> AsyncIterator[None]:
    """So many clients with connections of their own, which the kernel spreads over the workers."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=WAIT, trust_env=False))
        for _ in range(count):
            url = f"http://127.0.0.1:{gateway.port}/v2/stream/one"
            response = await stack.enter_async_context(client.stream("GET", url, headers=AGENT))
            assert response.status_code == 200
        yield


async def test_one_scrape_tells_of_all_workers(tmp_path: Path, gateways: Launch) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    log = open_log(Settings(log=url))
    await log.open()
    await log.create("one")
    (tmp_path / "schemas").mkdir()
    config = configuration(tmp_path, {"one": {"topics": ["one"]}}, schema_repositories=[str(tmp_path / "schemas")])
    gateway = gateways("--config", str(config), "--log", url, "--workers", "2")
    gateway.launch()
    await gateway.ready()

    async def serves() -> bool:
        return gateway.errors.count("serving ") >= 2

    await eventually(serves, "both workers")
    address = f"http://127.0.0.1:{gateway.admin_port}"
    async with httpx.AsyncClient(base_url=address, timeout=WAIT, trust_env=False) as admin:
        async with readers(gateway, CLIENTS):

            async def counted() -> bool:
                return (await figures(admin)).get("gateway_connections") == CLIENTS

            await eventually(counted, "connections of both workers")
            table: dict[str, Any] = {}

            async def listed() -> bool:
                nonlocal table
                table = (await admin.get("/-/connections?limit=1000")).json()
                rows = table["connections"]
                return len(rows) == CLIENTS and all(row["live"] and row["bytes"] for row in rows)

            # A worker that does not answer soon is left out, and a stream is live a moment after its head has come.
            await eventually(listed, "the table of both workers", told=lambda: f": {table}")
            assert table["total"] == len(table["connections"]) == CLIENTS
            workers = {row["id"].rpartition("-")[0] for row in table["connections"]}
            assert workers == {"worker-0", "worker-1"}
            assert {(row["address"], row["user_agent"]) for row in table["connections"]} == {("127.0.0.1", "a<b>??")}
            assert all(row["streams"] == ["one"] and row["bytes"] > 0 for row in table["connections"])
            await log.append("one", [NewRecord(b'{"n":1}', None, 1_700_000_000_000)])

            before: dict[str, float] = {}

            async def sent() -> bool:
                nonlocal before
                before = await figures(admin)
                least = {"events_sent_total": CLIENTS, "events_read_total": 2, "delivery_seconds_count": CLIENTS}
                return all(before.get(f"gateway_{name}", 0) >= count for name, count in least.items())

            await eventually(sent, "events of both workers", told=lambda: f": {before}")
            assert before["gateway_events_read_total"] == 2
            assert before["gateway_delivery_seconds_count"] == CLIENTS
        # Killed, and started again, it goes on with what it had counted.
        os.kill(max(gateway.workers()), signal.SIGKILL)

        async def again() -> bool:
            return gateway.errors.count("serving ") >= 3

        await eventually(again, "another worker")
        after = await figures(admin)
        for name in ("gateway_events_sent_total", "gateway_events_read_total", "gateway_delivery_seconds_count"):
            assert after[name] >= before[name]

        async def left() -> bool:
            return (await figures(admin))["gateway_streams"] == 0

        await eventually(left, "all streams have ended")
        drained = await admin.post("/-/drain")
        assert (drained.status_code, drained.json()) == (202, {"status": "draining"})
    assert await gateway.ended() == 0
    await log.close()
