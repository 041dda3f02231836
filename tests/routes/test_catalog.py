"""`/v2/streams`."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from gateway.catalog.derivation import Dedup, Derivation, Expression
from gateway.catalog.stream import Stream
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import LogReader
from gateway.model.record import NewRecord
from gateway.routes import survey
from tests.routes.kit import STREAMS, Site, appears, event, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINEAGE = ["derived_from", "derived_into", "derivation"]
MEMBERS = ["name", "aliases", "title", "description", "schema", "topics", *LINEAGE, "oldest", "newest", "rate"]


async def test_the_index_lists_every_stream(site: Site) -> None:
    response = await site.get("/v2/streams")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    streams = response.json()
    assert [stream["name"] for stream in streams] == [stream.name for stream in STREAMS]
    assert all(list(stream) == MEMBERS for stream in streams)


async def test_one_stream(site: Site) -> None:
    response = await site.get("/v2/streams/page.edit")
    described = response.json()
    assert list(described) == [*MEMBERS, "example"]
    assert described["aliases"] == ["edits"]
    assert (described["title"], described["description"]) == ("Edits", "Every edit.")
    assert described["topics"] == ["one.page.edit", "two.page.edit"]
    assert described["schema"] == f"http://127.0.0.1:{site.port}/v2/schemas/page/edit/latest"
    assert (await site.get("/v2/streams/edits")).json() == described


async def test_a_stream_without_events(site: Site) -> None:
    for name in ("empty", "later"):
        described = (await site.get(f"/v2/streams/{name}")).json()
        assert (described["title"], described["schema"]) == (name, None)
        assert [described[key] for key in ("oldest", "newest", "rate", "example")] == [None, None, 0.0, None]


@pytest.mark.long
async def test_times_rate_and_example(site: Site, name: str) -> None:
    now = time.time_ns() // 1_000_000
    value = b'{"n": 1.50,\n"meta":{}}'
    canary = json.dumps(event(2) | {"meta": {"domain": "canary"}}).encode()
    site.put(name, stored(0), *(NewRecord(value, timestamp=now) for _ in range(6)), NewRecord(canary, timestamp=now))
    site.put(name, NewRecord(b"bad", timestamp=now))
    await appears(site, name, 8)
    # What was found holds for a second, and another test may have asked.
    await asyncio.sleep(survey.INTERVAL)
    response = await site.get(f"/v2/streams/{name}")
    described = response.json()
    assert described["oldest"] == "2023-11-14T22:13:20.000Z"
    assert described["newest"].endswith(f".{now % 1000:03d}Z")
    assert described["rate"] > 0
    assert described["example"] == {"n": 1.5, "meta": {}}
    assert b'"n": 1.50' in response.content
    site.log.truncate(name, 0, 1)
    await asyncio.sleep(survey.INTERVAL)
    assert (await site.get(f"/v2/streams/{name}")).json()["oldest"] == described["newest"]


async def test_an_unknown_stream(site: Site) -> None:
    response = await site.get("/v2/streams/page.edti")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert "page.edit" in document["detail"]
    assert document["status"] == 404
    assert "did you mean" not in (await site.get("/v2/streams/zzzzzz")).json()["detail"]


async def test_head(site: Site) -> None:
    for path in ("/v2/streams", "/v2/streams/page.edit"):
        response = await site.client.head(path)
        assert (response.status_code, response.content) == (200, b"")
        assert int(response.headers["content-length"]) > 0


@pytest.mark.alone
async def test_the_catalogue_is_there_without_the_log() -> None:
    async with running() as site:
        site.put("page.create", stored(0))
        await appears(site, "page.create", 0)
        site.log.available = False
        begun = time.monotonic()
        response = await site.get("/v2/streams/page.create")
        assert response.status_code == 200
        assert response.json()["example"] == event(0)
        assert response.json()["newest"] == "2023-11-14T22:13:20.000Z"
        assert time.monotonic() - begun < 10


class CountingLog(MemoryLog):
    """Counts what is asked of it."""

    asked = 0

    async def bounds(self, partitions):  # type: ignore[no-untyped-def]
        self.asked += 1
        return await super().bounds(partitions)

    async def reader(self, *positions):  # type: ignore[no-untyped-def]
        self.asked += 1
        reader: LogReader = await super().reader(*positions)
        return reader


@pytest.mark.long
async def test_however_many_ask_the_log_is_asked_once_a_second() -> None:
    log = CountingLog()
    async with running(log, metadata_interval=3600.0) as site:
        site.put("page.create", stored(0))
        await appears(site, "page.create", 0)
        await site.get("/v2/streams")
        await asyncio.sleep(1.1)
        before, begun = log.asked, time.monotonic()
        answers = await asyncio.gather(*(site.get("/v2/streams") for _ in range(50)))
        seconds = 1 + int((time.monotonic() - begun) / survey.INTERVAL)
        assert len({answer.content for answer in answers}) == 1
        # One question for where the partitions begin; nothing has moved, so nothing is read.
        assert log.asked - before <= 2 * seconds


async def test_the_address_is_the_one_that_the_client_asked() -> None:
    async with running() as site:
        for host in ("one.example", "two.example:8443"):
            found = (await site.get("/v2/streams", headers={"host": host})).json()
            assert found[0]["schema"] == f"http://{host}/v2/schemas/page/edit/latest"


@pytest.mark.parametrize("timestamp", [2**63 - 1, -(2**63), 1_795_768_493_000_000, -1, -62_135_596_800_001])
async def test_any_time_of_a_record_is_shown(timestamp: int) -> None:
    async with running() as site:
        site.put("page.create", stored(0, timestamp=timestamp))
        site.put("wide", stored(0))
        await appears(site, "page.create", 0)
        for path in ("/v2/streams", "/v2/streams/page.create", "/explorer/rates", "/"):
            assert (await site.get(path, headers={"accept": "application/json"})).status_code == 200
        described = (await site.get("/v2/streams/page.create")).json()
        expected = None if timestamp == -1 else timestamp
        assert (described["oldest"], described["newest"]) == (expected, expected)
        assert described["example"] == event(0)


async def test_a_shared_catalogue_tells_nobody_of_a_private_stream() -> None:
    secret = Stream("secret", ("secret",), public=False)
    async with running(streams=(*STREAMS, secret), admin=True) as site:
        site.put("secret", stored(1))
        inside = await site.admin.get("/v2/streams")
        outside = await site.get("/v2/streams")
        assert "secret" in inside.text
        assert "secret" not in outside.text
        assert (await site.get("/v2/streams/secret")).status_code == 404


async def test_what_a_stream_is_made_of_as_far_as_one_may_know() -> None:
    made = Stream("made", ("made",), derive=Derivation(("open", "hidden")))
    told = Stream("told", ("told",), derive=Derivation(("open",), version=3, dedup=Dedup((Expression("event.n"),), 1)))
    inner = Stream("inner", ("inner",), derive=Derivation(("open",)), public=False)
    streams = (Stream("open", ("open",)), Stream("hidden", ("hidden",), public=False), made, told, inner)
    rules = {"open": ("purge", "tell"), "hidden": ("purge",)}
    async with running(streams=streams, rules=rules, admin=True) as site:
        outside, inside = (await site.get("/v2/streams")).json(), (await site.admin.get("/v2/streams")).json()
        assert {one["name"]: [one[member] for member in LINEAGE] for one in outside} == {
            "open": [[], ["made", "told"], None],
            # That there is a lookup, a version or a merge would tell of the source that nobody may see.
            "made": [["open"], [], None],
            "told": [["open"], [], {"operator": "dedup", "version": 3, "lag": None}],
        }
        assert {one["name"]: [one[member] for member in LINEAGE] for one in inside} == {
            "open": [[], ["made", "told", "inner"], None],
            "hidden": [[], ["made"], None],
            "made": [["open", "hidden"], [], {"operator": "select", "version": 1, "lag": None}],
            "told": [["open"], [], {"operator": "dedup", "version": 3, "lag": None}],
            "inner": [["open"], [], {"operator": "select", "version": 1, "lag": None}],
        }
        for one in outside:
            single = (await site.get(f"/v2/streams/{one['name']}")).json()
            assert [single[member] for member in LINEAGE] == [one[member] for member in LINEAGE]
            assert "rules" not in one
            assert "rules" not in single
        assert {one["name"]: one["rules"] for one in inside if one["rules"]} == {
            "open": ["purge", "tell"],
            "hidden": ["purge"],
        }
        assert (await site.admin.get("/v2/streams/open")).json()["rules"] == ["purge", "tell"]
        (channel,) = [
            one for name, one in (await site.get("/asyncapi.json")).json()["channels"].items() if name == "made"
        ]
        assert channel["x-derived-from"] == ["open"]
