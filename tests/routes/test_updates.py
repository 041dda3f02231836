"""Updates of the gateway's own pages: what they show, how many there may be, and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import uvicorn
from sse_starlette.sse import AppStatus
from starlette.types import Message

from gateway.errors import Problem
from gateway.routes import updates
from gateway.routes.sink import CONNECTION
from gateway.routes.updates import Updates
from gateway.subscription.connections import Table
from tests.kit.waiting import becomes
from tests.routes.kit import PATIENCE, Reading, Site, running, stored

EVENTS = {"accept": "text/event-stream"}
RATES = "/explorer/rates"
TABLE = "/-/connections"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "EVERY_SECONDS", 0.02)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A gateway with both ports."""
    async with running(admin=True) as site:
        yield site


async def told(reading: Reading) -> dict[str, Any]:
    """The next document."""
    return dict((await reading.message())["data"])


async def test_the_rates_come_again_as_they_change(site: Site) -> None:
    async with site.stream(RATES, headers=EVENTS) as reading:
        assert reading.status == 200
        assert reading.headers["content-type"].startswith("text/event-stream")
        assert (reading.headers["cache-control"], reading.headers["x-accel-buffering"]) == ("no-store", "no")
        assert 2000 <= int((await reading.frame())["retry"]) <= 4000
        assert (await told(reading)).keys() == (await site.get(RATES)).json().keys()
        assert (await told(reading))["streams"]["page.create"]["newest"] is None
        site.put("page.create", stored(1))
        while (shown := await told(reading))["streams"]["page.create"]["newest"] is None:
            pass
        assert shown["streams"]["page.create"]["seconds"] == 60


async def test_who_has_no_preference_gets_the_document(site: Site) -> None:
    for accept in ("*/*", "application/json", "application/json, text/event-stream"):
        answer = await site.get(RATES, headers={"accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["streams"]


async def test_the_table_shows_streams_that_come_and_go(site: Site) -> None:
    async with site.stream(f"{TABLE}?sort=address&limit=1", site.admin, headers=EVENTS) as table:
        assert await told(table) == {"total": 0, "connections": []}
        async with site.stream("/v2/stream/wide"), site.stream("/v2/stream/wide"):
            while (shown := await told(table))["total"] < 2:
                pass
            assert [row["streams"] for row in shown["connections"]] == [["wide"]]
        while (await told(table))["total"]:
            pass


async def test_the_page_of_the_table_asks_for_its_updates_alone(site: Site) -> None:
    page = await site.admin.get(TABLE, headers={"accept": "text/html"})
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy
    script = page.text.partition("<script>")[2].partition("</script>")[0]
    assert "innerHTML" not in script


async def test_what_the_table_does_not_take_is_refused_here_too(site: Site) -> None:
    refused = await site.admin.get(f"{TABLE}?sort=age", headers=EVENTS)
    assert (refused.status_code, refused.json()["parameter"]) == (400, "sort")


async def test_the_open_ones_of_an_address_are_bounded_and_counted_to_their_end(site: Site) -> None:
    ours = site.gateway.updates
    ours._most_per_address = 2
    async with AsyncExitStack() as stack:
        for _ in range(2):
            reading = await stack.enter_async_context(site.stream(RATES, headers=EVENTS))
            await told(reading)
        assert ours.count == 2
        refused = await site.get(RATES, headers=EVENTS)
        assert (refused.status_code, refused.json()["limit"]) == (429, "updates")
        assert int(refused.headers["retry-after"]) > 0
        # The document itself is there for everybody.
        assert (await site.get(RATES)).status_code == 200
    await becomes(lambda: ours.count == 0)
    assert not ours._open
    head = await site.client.head(RATES, headers=EVENTS)
    assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert ours.count == 0


def test_those_of_all_are_bounded_too() -> None:
    async def document() -> bytes:
        return b"{}"

    ours = Updates(3, 2, lambda scope: str(scope["client"]))
    for client in (1, 1, 2):
        ours.open({"client": client}, document)
    for client in (1, 2, 3):
        with pytest.raises(Problem) as refused:
            ours.open({"client": client}, document)
        assert refused.value.status == 429
    assert ours.count == 3


async def test_they_end_after_a_while(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "LONGEST_SECONDS", 0.1)
    async with site.stream(RATES, headers=EVENTS) as reading:
        assert (await reading.rest()).count(b"data: ") > 1


async def test_a_client_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """And neither the server nor the log complains."""
    monkeypatch.setattr(updates, "SEND_SECONDS", 0.1)
    cut = asyncio.Event()

    class Transport:
        def abort(self) -> None:
            cut.set()

    async def document() -> bytes:
        return b"{}"

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.get_running_loop().create_future()

    async def receive() -> Message:
        await cut.wait()
        return {"type": "http.disconnect"}

    ours = Updates(1, 1, lambda scope: "")
    scope = {"type": "http", "method": "GET", "extensions": {CONNECTION: Transport()}}
    async with asyncio.timeout(PATIENCE):
        await ours.open(scope, document)(scope, receive, send)
    assert cut.is_set()
    assert ours.count == 0


async def test_a_drain_ends_them_in_order_and_those_of_the_operator_last() -> None:
    async with running(admin=True, drain_time=0.2) as site:
        gateway = site.gateway
        async with (
            site.stream("/v2/stream/empty") as one,
            site.stream("/v2/stream/empty") as other,
            site.stream(RATES, headers=EVENTS) as rates,
            site.stream(TABLE, site.admin, headers=EVENTS) as table,
        ):
            for reading in (one, other, rates, table):
                await reading.frame()
            loop = asyncio.get_running_loop()
            begun = loop.time()
            draining = asyncio.create_task(gateway._drain())
            # The chunks are complete, or this raises.
            await rates.rest()
            assert not draining.done()
            await one.rest()
            await other.rest()
            shown = (await table.rest()).split(b"data: ")
            await draining
            # It showed how they end, whatever the last moment at which it did.
            assert json.loads(shown[-1])["total"] < 2
            # As long as it takes without them.
            assert 0.1 < loop.time() - begun < 20
            await becomes(lambda: not gateway.updates.count + gateway.table_updates.count)
            # What begins now ends in order, too.
            async with site.stream(TABLE, site.admin, headers=EVENTS) as late:
                assert (await late.rest()).count(b"data: ") == 1


async def test_the_library_leaves_signals_and_the_loop_alone(site: Site) -> None:
    assert uvicorn.Server.handle_exit.__module__ == "uvicorn.server"
    async with site.stream(RATES, headers=EVENTS) as reading:
        await told(reading)
        tasks = [repr(task) for task in asyncio.all_tasks()]
        assert any("_listen_for_disconnect" in task or "cancel_on_finish" in task for task in tasks), "it runs"
        assert not any("_shutdown_watcher" in task for task in tasks)
    assert not AppStatus.should_exit


async def test_a_mistake_ends_its_own_response_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with site.stream("/v2/stream/empty") as stream, site.stream(RATES, headers=EVENTS) as rates:
        await stream.frame()
        await told(rates)
        monkeypatch.setattr(Table, "first", broken)
        with pytest.raises(httpx.RemoteProtocolError):
            async with site.stream(TABLE, site.admin, headers=EVENTS) as table:
                await table.rest()
        await told(rates)
        await becomes(lambda: site.gateway.table_updates.count == 0)
