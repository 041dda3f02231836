"""`Accept: text/csv` over a real connection."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from gateway.catalog.stream import Stream
from tests.kit.waiting import becomes
from tests.routes.kit import EARLY, START, Site, position, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")
CSV = {"accept": "text/csv"}
RANGE = {"since": str(START), "until": str(START + 10_000)}


def table(response: httpx.Response) -> list[list[str]]:
    """The rows, with the header."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    return list(csv.reader(io.StringIO(response.text, newline="")))


async def test_a_range_is_a_table_of_its_fields(site: Site, name: str) -> None:
    site.put(name, *(stored(number, title=f'a,"{number}"', tags=[number]) for number in range(3)))
    response = await site.get(
        f"/v2/stream/{name}", params=RANGE | {"fields": "title,number,meta.domain,tags"}, headers=CSV
    )
    assert table(response) == [
        ["title", "number", "meta.domain", "tags"],
        *([f'a,"{number}"', str(number), "example.org", f"[{number}]"] for number in range(3)),
    ]
    assert response.text.count("\r\n") == 4


async def test_a_limit_makes_it_finite_too_and_filters_hold(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(10)))
    query = f"{EARLY}&limit=2&fields=number&filter=event.number>5"
    assert table(await site.get(f"/v2/stream/{name}?{query}", headers=CSV)) == [["number"], ["6"], ["7"]]


async def test_without_fields_the_columns_are_those_of_the_schema() -> None:
    async with running(streams=[Stream("changes", ("changes",), schema_title="wiki/change")]) as site:
        site.put("changes", stored(0, title="A", bot=True, length={"new": 1}))
        response = await site.get("/v2/stream/changes", params=RANGE, headers=CSV)
        header, row = table(response)
        assert header[:3] == ["id", "type", "wiki"]
        assert not {"length", "meta", "$schema", "log_params"} & set(header)
        assert (row[header.index("title")], row[header.index("bot")], row[header.index("user")]) == ("A", "true", "")


async def test_without_fields_and_schema_it_is_refused(site: Site, name: str) -> None:
    response = await site.get(f"/v2/stream/{name}", params=RANGE, headers=CSV)
    assert (response.status_code, response.json()["parameter"]) == (400, "fields")


async def test_an_endless_stream_is_no_table(site: Site, name: str) -> None:
    response = await site.get(f"/v2/stream/{name}?fields=number&until=", headers=CSV)
    assert (response.status_code, response.json()["parameter"]) == (406, "Accept")
    assert "`limit` or `until`" in response.json()["detail"]


@pytest.mark.parametrize(
    ("accept", "query", "given"),
    [
        ("text/csv;q=0.5, application/x-ndjson", "limit=1", "application/x-ndjson"),
        ("text/csv, application/x-ndjson;q=0.9", "limit=1", "text/csv"),
        ("text/csv, application/x-ndjson;q=0.9", "", "application/x-ndjson"),
        ("text/csv, */*;q=0.1", "limit=1", "text/csv"),
        ("text/csv, text/event-stream", "limit=1", "text/event-stream"),
        ("text/*", "limit=1", "text/event-stream"),
        ("*/*", "limit=1", "text/event-stream"),
    ],
)
async def test_the_highest_quality_wins(site: Site, name: str, accept: str, query: str, given: str) -> None:
    response = await site.client.head(f"/v2/stream/{name}?fields=number&{query}", headers={"accept": accept})
    assert response.headers["content-type"].partition(";")[0] == given


async def test_a_table_of_quality_nothing_is_not_acceptable(site: Site, name: str) -> None:
    response = await site.client.head(f"/v2/stream/{name}?limit=1", headers={"accept": "text/csv;q=0"})
    assert response.status_code == 406


async def test_a_range_without_events_has_the_header_alone(site: Site, name: str) -> None:
    response = await site.get(f"/v2/stream/{name}?{EARLY}&until=2002-01-01&fields=number", headers=CSV)
    assert table(response) == [["number"]]


async def test_it_may_be_compressed(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(3)))
    headers = CSV | {"accept-encoding": "gzip"}
    async with site.stream(f"/v2/stream/{name}?{EARLY}&limit=3&fields=number", headers=headers) as reading:
        assert reading.headers["content-encoding"] == "gzip"
        assert await reading.rest() == b"number\r\n0\r\n1\r\n2\r\n"


async def test_a_settled_range_has_a_validator_of_its_own(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(3)), stored(200))
    params = RANGE | {"fields": "number"}
    response = await site.get(f"/v2/stream/{name}", params=params, headers=CSV)
    assert response.headers["cache-control"].startswith("public, max-age=")
    etag = response.headers["etag"]
    again = await site.get(f"/v2/stream/{name}", params=params, headers=CSV | {"if-none-match": etag})
    assert again.status_code == 304
    others = [
        await site.get(f"/v2/stream/{name}", params=params | {"fields": "number,title"}, headers=CSV),
        await site.get(f"/v2/stream/{name}", params=params, headers={"accept": "application/x-ndjson"}),
    ]
    assert len({etag, *(other.headers["etag"] for other in others)}) == 3


async def test_silence_writes_nothing(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}?limit=2&fields=number", headers=CSV) as reading:
        assert await reading.line() == "number\r"
        heartbeat = site.gateway.settings.heartbeat
        # Streams of other tests may still be ending.
        await becomes(lambda: len(site.gateway.streams.sessions) == 1)
        (session,) = site.gateway.streams.sessions
        before = session.writer.written
        await becomes(lambda: session.writer.written > before + heartbeat)
        site.put(name, stored(1), stored(2))
        assert await reading.rest() == b"1\r\n2\r\n"


async def test_a_table_that_lacks_events_is_broken_off(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(4)))
    site.log.truncate(name, 0, 2)
    headers = CSV | {"last-event-id": position((name, 0, 0, START))}
    with pytest.raises(httpx.RemoteProtocolError):
        await site.get(f"/v2/stream/{name}?limit=2&fields=number", headers=headers)


async def test_a_shutdown_breaks_a_table_off() -> None:
    async with running() as site, site.stream("/v2/stream/empty?limit=1&fields=number", headers=CSV) as reading:
        assert await reading.line() == "number\r"
        (session,) = site.gateway.streams.sessions
        session.stop()
        with pytest.raises(httpx.RemoteProtocolError):
            await reading.rest()
