"""`GET /v2/stream/{streams}` over a real connection."""

from __future__ import annotations

import json
import time

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import shown_identity
from gateway.model.record import NewRecord
from tests.kit.waiting import becomes
from tests.routes.kit import (
    EARLY,
    MARGIN,
    START,
    Site,
    appears,
    event,
    frames,
    lines,
    numbers,
    position,
    running,
    stored,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The head of the response, and the opening frame.


async def test_the_headers(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}", headers={"origin": "https://example.org"}) as reading:
        assert reading.status == 200
        expected = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "*",
            "x-content-type-options": "nosniff",
        }
        assert {key: reading.headers.get(key) for key in expected} == expected
        assert "content-encoding" not in reading.headers
        assert "accept" in reading.headers["vary"]
        identity = await site.log.identity()
        assert reading.headers["event-gateway-log"] == shown_identity(identity)
        assert identity not in reading.headers.values()


async def test_head_gives_the_headers_alone(site: Site, name: str) -> None:
    response = await site.client.head(f"/v2/stream/{name}", headers={"accept-encoding": "gzip"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["content-encoding"] == "gzip"
    await becomes(lambda: not site.gateway.streams.sessions)


async def test_a_stream_says_its_heartbeat(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}") as reading:
        assert float(reading.headers["event-gateway-heartbeat"]) == site.gateway.settings.heartbeat
        assert reading.headers["access-control-expose-headers"] == "*"


async def test_the_opening_frame_comes_at_once(site: Site, name: str) -> None:
    site.put(name, stored(0))
    await appears(site, name, 0)
    async with site.stream(f"/v2/stream/{name}") as reading:
        opening = await reading.frame()
    assert set(opening) == {"", "retry", "id"}
    assert opening["retry"] == "2000"
    assert opening["id"] == [{"topic": name, "partition": 0, "offset": 0, "timestamp": START}]


async def test_the_id_of_an_empty_partition(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}") as reading:
        assert (await reading.frame())["id"] == [{"topic": name, "partition": 0, "offset": -1, "timestamp": 0}]


async def test_an_id_holds_every_partition_in_a_fixed_order(site: Site) -> None:
    site.put("wide", NewRecord(json.dumps(event(1)).encode(), partition=2, timestamp=START))
    async with site.stream(f"/v2/stream/wide,page.edit?{EARLY}") as reading:
        found = [await reading.frame(), await reading.message()]
    places = [[(one["topic"], one["partition"]) for one in frame["id"]] for frame in found]
    assert places[0] == places[1] == sorted(places[0])
    assert set(places[0]) == {("wide", 0), ("wide", 1), ("wide", 2), ("one.page.edit", 0), ("two.page.edit", 0)}


async def test_a_preflight(site: Site, name: str) -> None:
    asked = {
        "origin": "https://example.org",
        "access-control-request-method": "GET",
        "access-control-request-headers": "last-event-id",
    }
    for path in (f"/v2/stream/{name}", "/v2/streams", "/healthz"):
        response = await site.client.options(path, headers=asked)
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["access-control-allow-origin"] == "*"
        assert "GET" in response.headers["access-control-allow-methods"]
        allowed = response.headers["access-control-allow-headers"].lower()
        names = {one.strip() for one in allowed.split(",")}
        assert {"last-event-id", "authorization", "traceparent", "tracestate", "baggage", "sentry-trace", "*"} <= names


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/event-stream", "text/event-stream; charset=utf-8"),
        ("*/*", "text/event-stream; charset=utf-8"),
        ("", "text/event-stream; charset=utf-8"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/json", "application/json"),
        ("application/json, text/event-stream", "text/event-stream; charset=utf-8"),
        ("text/event-stream;q=0.1, application/x-ndjson;q=0.9", "application/x-ndjson"),
    ],
)
async def test_the_format_is_negotiated(site: Site, name: str, accept: str, content_type: str) -> None:
    response = await site.client.head(f"/v2/stream/{name}", headers={"accept": accept})
    assert response.headers["content-type"] == content_type


# Events.


async def test_an_event_on_the_wire(site: Site, name: str) -> None:
    value = b'{"b" : 1.50,\r\n "a":\n"\\u00fc \xc3\xbc", "n":12345678901234567890123}'
    site.put(name, NewRecord(value, timestamp=START))
    response = await site.get(f"/v2/stream/{name}?{EARLY}&limit=1")
    data = value.replace(b"\r", b" ").replace(b"\n", b" ")
    identifier = json.dumps([{"topic": name, "partition": 0, "offset": 0, "timestamp": START}], separators=(",", ":"))
    assert b"event: message\nid: " + identifier.encode() + b"\ndata: " + data + b"\n\n" in response.content
    assert b"\r" not in response.content


async def test_live_events_arrive_and_a_reconnect_goes_on_behind_them(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}") as reading:
        await reading.frame()
        for number in range(3):
            site.put(name, stored(number))
            last = await reading.message()
            assert last["data"]["number"] == number
    site.put(name, stored(3), stored(4))
    resumed = {"last-event-id": json.dumps(last["id"])}
    assert numbers(await site.get(f"/v2/stream/{name}?limit=2", headers=resumed)) == [3, 4]


@pytest.mark.alone
async def test_nodelay_a_live_event_waits_for_nothing(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}") as reading:
        await reading.frame()
        waits = []
        for number in range(5):
            begun = time.monotonic()
            site.put(name, stored(number))
            await reading.message()
            waits.append(time.monotonic() - begun)
    # A delayed acknowledgement takes 40 ms.
    assert min(waits) < 0.03


async def test_bad_records_are_passed_over(site: Site, name: str) -> None:
    bad = [None, b"", b"1", b"[]", b"null", b'{"a":NaN}', b"\xff", b"\xef\xbb\xbf{}", b"{" * 300, b'{"a":1', b'"{}"']
    site.put(name, stored(0), *(NewRecord(value, timestamp=START + MARGIN) for value in bad))
    async with site.stream(f"/v2/stream/{name}?{EARLY}") as reading:
        assert await reading.numbers(1) == [0]
        while (await reading.frame())["id"][0]["offset"] != len(bad):
            pass
        site.put(name, stored(2))
        assert (await reading.message())["id"][0]["offset"] == len(bad) + 1
    response = await site.get(f"/v2/stream/{name}?{EARLY}&limit=2")
    assert numbers(response) == [0, 2]


async def test_a_heartbeat_moves_the_id_of_a_filtered_client(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}", params={"filter": "event.number > 100"}) as reading:
        await reading.frame()
        site.put(name, *(stored(number) for number in range(5)))
        heartbeat = await reading.frame()
        while heartbeat["id"][0]["offset"] < 4:
            heartbeat = await reading.frame()
        assert set(heartbeat) == {"id"}
        site.put(name, stored(101))
        assert await reading.numbers(1) == [101]


async def test_ndjson(site: Site, name: str) -> None:
    site.put(name, stored(0))
    async with site.stream(f"/v2/stream/{name}?{EARLY}", headers={"accept": "application/x-ndjson"}) as reading:
        assert await reading.line() == ""
        assert json.loads(await reading.line()) == event(0)
        assert await reading.line() == ""
        site.put(name, stored(1))
        while not (line := await reading.line()):
            pass
        assert json.loads(line) == event(1)


async def test_what_ndjson_says_beside_events(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(4)))
    site.log.truncate(name, 0, 2)
    headers = {"accept": "application/json", "last-event-id": position((name, 0, 0, START))}
    gap, *events = lines(await site.get(f"/v2/stream/{name}?limit=2", headers=headers))
    assert gap == {"$gap": {"topic": name, "partition": 0, "requested": 0, "resumed": 2, "reason": "expired"}}
    assert events == [event(2), event(3)]


# The parameters.


async def test_limit_ends_the_response(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(4)))
    response = await site.get(f"/v2/stream/{name}?{EARLY}&limit=3")
    assert numbers(response) == [0, 1, 2]
    end = frames(response.content)[-1]
    assert (end.event, json.loads(end.data)) == ("end", {"reason": "limit"})
    assert json.loads(end.id)[0]["offset"] == 2
    again = await site.get(f"/v2/stream/{name}?limit=1", headers={"last-event-id": end.id})
    assert numbers(again) == [3]


async def test_until_ends_the_response_and_a_resume_finds_nothing_more(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(4)))
    path = f"/v2/stream/{name}?{EARLY}&until={START + 2 * MARGIN}"
    response = await site.get(path)
    assert numbers(response) == [0, 1]
    end = frames(response.content)[-1]
    assert (end.event, json.loads(end.data)) == ("end", {"reason": "until"})
    resumed = await site.get(path, headers={"last-event-id": end.id})
    assert (resumed.status_code, resumed.content) == (204, b"")
    assert resumed.headers["access-control-allow-origin"] == "*"
    assert (await site.client.head(path, headers={"last-event-id": end.id})).status_code == 204


async def test_until_ends_at_the_end_of_the_log_once_it_has_passed(site: Site, name: str) -> None:
    site.put(name, stored(0))
    assert numbers(await site.get(f"/v2/stream/{name}?{EARLY}&until=1s")) == [0]
    soon = time.time_ns() // 1_000_000 + 300
    response = await site.get(f"/v2/stream/{name}?{EARLY}&until={soon}")
    assert numbers(response) == [0]
    assert frames(response.content)[-1].event == "end"


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2001-01-01", [0, 1, 2]),
        (str(START + 1), [1, 2]),
        (str(START + MARGIN), [1, 2]),
        ("2023-11-14T22:13:20.150Z", [2]),
        ("2023-11-14T23:13:20.150+01:00", [2]),
        ("2023-11-14T23:13:20.150 01:00", [2]),
        ("2023-11-14T22:13:20.150", [2]),
        # What lies within a millisecond loses no event of that millisecond.
        ("2023-11-14T22:13:20.2009999Z", [2]),
        ("2023-11-14t22:13:20,2000001z", [2]),
        ("2016-12-31T23:59:60Z", [0, 1, 2]),
        ("30000d", [0, 1, 2]),
        ("0", [0, 1, 2]),
        ("0001-01-01", [0, 1, 2]),
        ("9999999d", [0, 1, 2]),
    ],
)
async def test_since(site: Site, name: str, since: str, expected: list[int]) -> None:
    site.put(name, *(stored(number) for number in range(3)))
    response = await site.get(f"/v2/stream/{name}", params={"since": since, "limit": len(expected)})
    assert numbers(response) == expected


@pytest.mark.parametrize("since", ["", "%20", "2999-01-01", "9999-12-31T23:59:59-23:59", "9223372036854775807"])
async def test_empty_and_future_since_are_live(site: Site, name: str, since: str) -> None:
    site.put(name, stored(0))
    await appears(site, name, 0)
    async with site.stream(f"/v2/stream/{name}?since={since}") as reading:
        await reading.frame()
        site.put(name, stored(1))
        assert await reading.numbers(1) == [1]


async def test_a_position_wins_over_since(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(3)))
    after = position((name, 0, 1, START + MARGIN))
    path = f"/v2/stream/{name}?{EARLY}&limit=1"
    assert numbers(await site.get(path, headers={"last-event-id": after})) == [2]
    for spelling in ("last_event_id", "lastEventId"):
        parameters = {"since": "2001-01-01", "limit": 1, spelling: after}
        assert numbers(await site.get(f"/v2/stream/{name}", params=parameters)) == [2]
        first = position((name, 0, 0, START))
        both = await site.get(f"/v2/stream/{name}", params=parameters, headers={"last-event-id": first})
        assert numbers(both) == [1]
    assert numbers(await site.get(path, headers={"last-event-id": ""})) == [0]
    assert numbers(await site.get(f"{path}&last_event_id=", headers={"last-event-id": ""})) == [0]


async def test_an_offset_of_minus_one_alone_is_as_if_not_named(site: Site, name: str) -> None:
    site.put(name, stored(0))
    await appears(site, name, 0)
    async with site.stream(f"/v2/stream/{name}", headers={"last-event-id": position((name, 0, -1, None))}) as reading:
        await reading.frame()
        site.put(name, stored(1))
        assert await reading.numbers(1) == [1]


async def test_canary_events(site: Site, name: str) -> None:
    canary = NewRecord(json.dumps(event(1) | {"meta": {"domain": "canary"}}).encode(), timestamp=START)
    site.put(name, stored(0), canary, stored(2))
    path = f"/v2/stream/{name}?{EARLY}"
    assert numbers(await site.get(f"{path}&limit=2")) == [0, 2]
    assert numbers(await site.get(f"{path}&limit=2&canary=false")) == [0, 2]
    assert numbers(await site.get(f"{path}&limit=3&canary=true")) == [0, 1, 2]


async def test_fields(site: Site, name: str) -> None:
    site.put(name, stored(0, page={"title": "T", "id": 7}, links=[{"to": "a", "x": 1}, {"to": "b"}]))
    response = await site.get(f"/v2/stream/{name}?{EARLY}&limit=1&fields=page.title,links.to,nothing.here")
    data = next(json.loads(one.data) for one in frames(response.content) if one.event == "message")
    assert data == {
        "$schema": "/page/edit/1.0.0",
        "meta": {"domain": "example.org"},
        "page": {"title": "T"},
        "links": [{"to": "a"}, {"to": "b"}],
    }


async def test_a_filter(site: Site, name: str) -> None:
    site.put(name, *(stored(number, wiki="a" if number % 2 else "b") for number in range(6)))
    parameters = {"since": "2001-01-01", "limit": 2, "filter": 'event.wiki == "a" && offset > 1'}
    assert numbers(await site.get(f"/v2/stream/{name}", params=parameters)) == [3, 5]


# Names.


@pytest.mark.parametrize(
    "names",
    [
        "page.create",
        "new-pages",
        "page.create,page.create",
        "page.create,new-pages",
        "page.c*",
        "page.creat%3F",
        "new-*",
        "page%2Ecreate",
        "page.create%2Cnew-pages",
        "*.create,page.create",
    ],
)
async def test_what_names_one_stream(site: Site, names: str) -> None:
    async with site.stream(f"/v2/stream/{names}") as reading:
        assert [one["topic"] for one in (await reading.frame())["id"]] == ["page.create"]


async def test_streams_over_one_topic_give_its_events_once(site: Site) -> None:
    async with site.stream("/v2/stream/page.create,page.all,log.all,page.c*") as reading:
        assert [one["topic"] for one in (await reading.frame())["id"]] == ["log.all", "page.create"]
        site.put("page.create", stored(1))
        assert await reading.numbers(1) == [1]
        site.put("log.all", stored(2))
        site.put("page.create", stored(3))
        assert sorted(await reading.numbers(2)) == [2, 3]


async def test_history_of_several_topics_is_merged_by_timestamp() -> None:
    log = MemoryLog()
    for first, topic in enumerate(("one.page.edit", "two.page.edit")):
        log.create_topic(topic)
        log.append_now(topic, [stored(first + number) for number in (0, 2, 4)])
    async with running(log) as site:
        response = await site.get(f"/v2/stream/edits?{EARLY}&limit=6")
    assert numbers(response) == [0, 1, 2, 3, 4, 5]


@pytest.mark.long
async def test_a_topic_that_does_not_exist_yet_is_read_from_its_first_record() -> None:
    async with running(metadata_interval=0.05) as site, site.stream("/v2/stream/later") as reading:
        assert (await reading.frame())["id"] == [{"topic": "later", "partition": 0, "offset": -1, "timestamp": 0}]
        site.log.create_topic("later")
        site.put("later", stored(0), stored(1))
        assert await reading.numbers(2) == [0, 1]
