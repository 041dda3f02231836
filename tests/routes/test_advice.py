"""The header `gateway-warning` of streams."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from gateway.catalog.stream import Stream
from tests.routes.kit import EARLY, START, Site, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMS = (
    Stream("changes", ("changes",), schema_title="wiki/change"),
    Stream("reports", ("reports",), schema_title="browser/report"),
    Stream("any", ("any",)),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site() -> AsyncIterator[Site]:
    """A gateway with streams of known schemas, and one of none."""
    async with running(streams=STREAMS) as site:
        for stream in STREAMS:
            site.put(stream.name, stored(0, START, wikki="a", wiki="a"))
        yield site


def warnings(response: httpx.Response) -> list[str]:
    """The lines of the header."""
    return response.headers.get_list("gateway-warning")


async def test_each_mistake_is_a_line(site: Site) -> None:
    response = await site.client.head(
        "/v2/stream/changes", params={"filter": 'event.wikki == "ä" && event.bot == "false"', "fields": "tittle,user"}
    )
    assert response.status_code == 200
    assert response.headers["access-control-expose-headers"] == "*"
    assert warnings(response) == [
        "filter: line 1, column 7: no schema of these streams has event.wikki; did you mean event.wiki?",
        "filter: line 1, column 23: '==' compares what is never alike: event.bot is true or false, and \"false\" is a "
        "text; did you mean false without quotes?",
        "fields: line 1, column 1: no schema of these streams has tittle; did you mean title or title_url?",
    ]


async def test_an_expression_that_is_warned_of_still_runs(site: Site) -> None:
    response = await site.get(
        "/v2/stream/changes", params={"since": "2001-01-01", "limit": 1, "filter": 'event.wikki == "a"'}
    )
    assert len(warnings(response)) == 1
    assert b'"wikki"' in response.content


async def test_only_what_all_streams_exclude(site: Site) -> None:
    wanted = {"filter": 'event.wikki == "a" || event.wiki == "b"'}
    assert len(warnings(await site.client.head("/v2/stream/changes", params=wanted))) == 1
    assert len(warnings(await site.client.head("/v2/stream/changes,reports", params=wanted))) == 1
    assert len(warnings(await site.client.head("/v2/stream/reports", params=wanted))) == 2
    assert warnings(await site.client.head("/v2/stream/changes,any", params=wanted)) == []


async def test_nothing_is_said_of_what_is_right(site: Site) -> None:
    assert warnings(await site.client.head(f"/v2/stream/changes?{EARLY}&filter=event.bot&fields=user,meta.dt")) == []


async def test_a_finished_range_is_told_too(site: Site) -> None:
    response = await site.client.head("/v2/stream/changes?until=2001-01-01&filter=event.wikki")
    assert response.status_code == 204
    assert len(warnings(response)) == 1


async def test_what_was_found_is_remembered(site: Site) -> None:
    wanted = {"filter": "event.wikki", "fields": "uzer"}
    found = [warnings(await site.client.head("/v2/stream/changes", params=wanted)) for _ in range(2)]
    assert found[0] == found[1] != []
