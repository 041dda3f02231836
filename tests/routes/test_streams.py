"""`GET /v2/stream/{streams}` over a real connection."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from typing import Any

import httpx
import pytest

from gateway.event import NewRecord
from gateway.eventlog.memory import MemoryLog
from tests.routes.kit import MARGIN, PATIENCE, START, Site, becomes, event, frames, position, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

EARLY = "since=2001-01-01"


def numbers(response: httpx.Response) -> list[int]:
    """The numbers of the events in a finished SSE response."""
    return [json.loads(one.data)["number"] for one in frames(response.content) if one.event == "message"]


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of a finished NDJSON response."""
    return [json.loads(line) for line in response.text.split("\n") if line]


async def appears(site: Site, topic: str, newest: int) -> None:
    """Return when the gateway has read this record."""
    place = next(place for place in site.gateway.hub.partitions([topic]))
    ring = site.gateway.hub.ring
    await becomes(lambda: (tail := ring.tail(place)) is not None and tail.offset >= newest)


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
        }
        assert {key: reading.headers.get(key) for key in expected} == expected
        assert "content-encoding" not in reading.headers
        assert "accept" in reading.headers["vary"]


async def test_head_gives_the_headers_alone(site: Site, name: str) -> None:
    response = await site.client.head(f"/v2/stream/{name}", headers={"accept-encoding": "gzip"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["content-encoding"] == "gzip"
    await becomes(lambda: not site.gateway.streams.sessions)


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
        assert "last-event-id" in {one.strip() for one in allowed.split(",")}


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
    gap, *events, end = lines(await site.get(f"/v2/stream/{name}?limit=2", headers=headers))
    assert gap == {"$gap": {"topic": name, "partition": 0, "requested": 0, "resumed": 2, "reason": "expired"}}
    assert events == [event(2), event(3)]
    assert end == {"$end": {"reason": "limit"}}


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
        ("30000d", [0, 1, 2]),
        ("0", [0, 1, 2]),
    ],
)
async def test_since(site: Site, name: str, since: str, expected: list[int]) -> None:
    site.put(name, *(stored(number) for number in range(3)))
    response = await site.get(f"/v2/stream/{name}", params={"since": since, "limit": len(expected)})
    assert numbers(response) == expected


@pytest.mark.parametrize("since", ["", "%20", "2999-01-01", "253402300799999"])
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


async def test_a_topic_that_does_not_exist_yet_is_read_from_its_first_record() -> None:
    async with running(metadata_interval=0.05) as site, site.stream("/v2/stream/later") as reading:
        assert (await reading.frame())["id"] == [{"topic": "later", "partition": 0, "offset": -1, "timestamp": 0}]
        site.log.create_topic("later")
        site.put("later", stored(0), stored(1))
        assert await reading.numbers(2) == [0, 1]


# Compression.


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip;q=0.5", True),
        ("br, gzip;q=0.1", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0, *", False),
        ("", False),
    ],
)
async def test_gzip_is_negotiated(site: Site, name: str, accept_encoding: str, compressed: bool) -> None:
    response = await site.client.head(f"/v2/stream/{name}", headers={"accept-encoding": accept_encoding})
    assert response.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert "accept-encoding" in response.headers["vary"]


async def test_each_flush_of_a_compressed_stream_can_be_decoded(site: Site, name: str) -> None:
    async with site.stream(f"/v2/stream/{name}", headers={"accept-encoding": "gzip"}) as reading:
        await reading.frame()
        for number in range(40):
            site.put(name, stored(number))
            assert await reading.numbers(1) == [number]


async def test_a_finished_compressed_response_is_one_gzip_member(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(100)))
    request = f"GET /v2/stream/{name}?{EARLY}&limit=100 HTTP/1.0\r\naccept-encoding: gzip\r\n\r\n"
    body = (await site.raw(request.encode())).partition(b"\r\n\r\n")[2]
    member = zlib.decompressobj(31)
    text = member.decompress(body)
    assert member.eof
    assert member.unused_data == b""
    assert text == gzip.decompress(body)
    assert len([one for one in frames(text) if one.event == "message"]) == 100


# Gaps.


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


# The log goes away.


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


# The connection.


async def test_an_old_client_gets_no_chunks(site: Site, name: str) -> None:
    site.put(name, stored(0))
    received = await site.raw(f"GET /v2/stream/{name}?{EARLY}&limit=1 HTTP/1.0\r\n\r\n".encode())
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body.startswith(b": welcome\n")
    assert [one.event for one in frames(body)][-2:] == ["message", "end"]


async def test_an_old_client_gets_live_events(site: Site, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    async with asyncio.timeout(PATIENCE):
        writer.write(f"GET /v2/stream/{name} HTTP/1.0\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readuntil(b"\n\n")).startswith(b": welcome\n")
        site.put(name, stored(0))
        while b"data: " not in (frame := await reader.readuntil(b"\n\n")):
            assert frame.startswith(b"id: ")
        assert frame.startswith(b"event: message\n")
        assert (await reader.readuntil(b"\n\n")).startswith(b"id: ")
    writer.close()


async def test_an_absolute_request_target(site: Site, name: str) -> None:
    site.put(name, stored(0))
    target = f"http://gateway.example:8080/v2/stream/{name}?{EARLY}&limit=1"
    received = await site.raw(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"event: end" in received


async def test_a_second_request_on_the_same_connection(site: Site, name: str) -> None:
    site.put(name, stored(0))
    first = f"GET /v2/stream/{name}?{EARLY}&limit=1 HTTP/1.1\r\nhost: x\r\n\r\n"
    second = first.replace("host: x", "host: x\r\naccept: application/x-ndjson\r\nconnection: close")
    received = await site.raw((first + second).encode())
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"event: end") < received.index(b"content-type: application/x-ndjson")
    assert received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_a_request_for_a_protocol_that_is_not_spoken_is_served_as_it_is(
    site: Site, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = f"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
    received = await site.raw(upgrade.encode(), until=b'{"status":"ok"}')
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("version", "more"),
    [("1.0", b""), ("1.1", b""), ("1.1", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"), ("1.1", b"garbage\r\n\r\n")],
)
async def test_a_client_that_leaves_is_forgotten(
    site: Site, name: str, version: str, more: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = site.gateway.streams.sessions
    # Streams of other tests may still be ending.
    await becomes(lambda: not sessions)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /v2/stream/{name} HTTP/{version}\r\nhost: x\r\n\r\n".encode())
    await reader.readuntil(b"\n\n")
    assert len(sessions) == 1
    writer.write(more)
    writer.close()
    await becomes(lambda: not sessions)
    await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_nothing_but_frames_is_written_into_a_stream(site: Site, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /v2/stream/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await reader.readuntil(b"\n\n")
    writer.write(b"garbage\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    site.put(name, stored(0))
    async with asyncio.timeout(PATIENCE):
        assert b"HTTP/1.1" not in await reader.readuntil(b"data: {")
    writer.close()


async def test_a_client_that_never_stops_sending_is_cut_off(site: Site, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /v2/stream/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await reader.readuntil(b"\n\n")

    async def send_on() -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_on(), PATIENCE)
    writer.close()


async def test_a_stop_ends_the_streams_in_good_order() -> None:
    async with running() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /v2/stream/page.create HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\n\n")
        port = site.port
    async with asyncio.timeout(PATIENCE):
        assert (await reader.read()).endswith(b"0\r\n\r\n")
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
