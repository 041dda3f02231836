"""Everything that is refused before a stream starts: section "Errors" of the contract."""

from __future__ import annotations

import json
import logging
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway.observability.logs import TextFormatter
from gateway.server.connections import ConnectionBounds
from gateway.settings.table import BY_KEY
from tests.routes.kit import START, Site, position, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAM = "/v2/stream/page.create"


def problem(response: httpx.Response, status: int, parameter: str | None = None) -> str:
    """Check a problem document and the headers that every one has; the detail."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-expose-headers"] == "*"
    assert response.headers["x-content-type-options"] == "nosniff"
    document: dict[str, Any] = response.json()
    assert set(document) - {"parameter"} == {"type", "title", "status", "detail"}
    assert (document["status"], document.get("parameter")) == (status, parameter)
    assert document["type"] == "about:blank"
    assert document["title"]
    detail: str = document["detail"]
    assert detail
    assert "Traceback" not in response.text
    return detail


@pytest.mark.parametrize("names", ["page.creat", "page.create,page.creat", "page.creat,page.edit"])
async def test_an_unknown_stream_is_named_with_close_matches(site: Site, names: str) -> None:
    detail = problem(await site.get(f"/v2/stream/{names}"), 404, "streams")
    assert '"page.creat"' in detail
    assert "Close to it: page.create" in detail


@pytest.mark.parametrize("names", ["", ",", "page.create,", ",page.create", "page.create,,page.edit"])
async def test_an_empty_name_is_unknown(site: Site, names: str) -> None:
    assert "empty" in problem(await site.get(f"/v2/stream/{names}"), 404, "streams")


@pytest.mark.parametrize("names", ["nothing.*", "page.create,x?", "PAGE.*", "a/b", " page.create"])
async def test_what_matches_no_stream_is_unknown(site: Site, names: str) -> None:
    problem(await site.get(f"/v2/stream/{names}"), 404, "streams")


async def test_more_names_than_allowed(site: Site) -> None:
    assert "100" in problem(await site.get("/v2/stream/" + ",".join(["page.create"] * 101)), 400, "streams")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("since", "yesterday"),
        ("since", "2026-13-01"),
        ("since", "2026-02-30"),
        ("since", "10x"),
        ("since", "-10m"),
        ("since", "-1"),
        ("since", "1e30"),
        ("since", "9" * 400),
        ("since", "1.5h"),
        ("since", "99999999999999999999"),
        ("since", "2026-01-01T00:00:00+99:00"),
        ("until", "tomorrow"),
        ("until", "1e3"),
        ("limit", ""),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "1.0"),
        ("limit", "1e3"),
        ("limit", "ten"),
        ("limit", "١"),
        ("limit", "9" * 30),
        ("limit", str(2**63)),
        ("fields", "a..b"),
        ("fields", ".a"),
        ("fields", "a."),
        ("fields", ""),
        ("fields", "a,,b"),
        ("filter", ""),
        ("filter", "event.x =="),
        ("filter", "1 + 1"),
        ("filter", 'event.title.matches("(")'),
        ("filter", "nobody.knows"),
        ("filter", "event.a == " + "1" * 5000),
        ("canary", ""),
        ("canary", "yes"),
        ("canary", "TRUE"),
        ("canary", "1"),
        ("ids", ""),
        ("ids", "JSON"),
        ("ids", "short"),
    ],
)
async def test_a_bad_parameter(site: Site, parameter: str, value: str) -> None:
    detail = problem(await site.get(STREAM, params={parameter: value}), 400, parameter)
    assert detail.startswith(f"`{parameter}`: ")


async def test_a_bad_filter_is_told_with_its_place(site: Site) -> None:
    response = await site.get(STREAM, params={"filter": "event.a ==\n  ??"})
    assert "line 2, column" in problem(response, 400, "filter")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=1d&since=1d", "since"),
        ("limit=1&until=&limit=2", "limit"),
        ("canary=true&canary=true", "canary"),
        ("ids=json&ids=json", "ids"),
        ("filter=true&filter=true", "filter"),
        ("fields=a&fields=b", "fields"),
        ("since=&since=", "since"),
        ("last_event_id=&last_event_id=", "last_event_id"),
        ("last_event_id=&lastEventId=", "lastEventId"),
        ("lastEventId=[]&last_event_id=[]", "lastEventId"),
    ],
)
async def test_a_parameter_given_twice(site: Site, query: str, parameter: str) -> None:
    problem(await site.get(f"{STREAM}?{query}"), 400, parameter)


@pytest.mark.parametrize(
    ("name", "close"), [("sinse", "since"), ("Since", "since"), ("limits", "limit"), ("lasteventid", "lastEventId")]
)
async def test_an_unknown_parameter_is_named_with_close_matches(site: Site, name: str, close: str) -> None:
    detail = problem(await site.get(f"{STREAM}?{name}=1"), 400, name)
    assert repr(name) in detail
    assert close in detail.partition("did you mean")[2].partition("?")[0]


async def test_an_unknown_parameter_that_is_close_to_nothing(site: Site) -> None:
    assert "did you mean" not in problem(await site.get(f"{STREAM}?zzz"), 400, "zzz")
    assert problem(await site.get(f"{STREAM}?=1"), 400, "")


ENTRY: dict[str, Any] = {"topic": "page.create", "partition": 0, "offset": 1}
NO_PARTITIONS: list[Any] = [None, "0", True, 0.0, -1, 2**63, [], {}]
NO_OFFSETS: list[Any] = ["1", True, 1.0, -2, 2**63, 2**64, [], {}]
NO_TIMESTAMPS: list[Any] = ["1", False, 1.5, -(2**63) - 1, 2**63, 10**30, [], {}]
BAD_POSITIONS = [
    "x",
    "{",
    "1",
    "null",
    '"text"',
    "{}",
    "[]",
    "[1]",
    "[null]",
    "[[]]",
    json.dumps([ENTRY]) + json.dumps([ENTRY]),
    "[" * 3000,
    "[NaN]",
    '[{"topic":"\\ud800","partition":0,"offset":1}]',
    *(
        json.dumps([entry])
        for entry in (
            {},
            {"partition": 0, "offset": 1},
            {"topic": "page.create", "offset": 1},
            {"topic": "page.create", "partition": 0},
            ENTRY | {"topic": ""},
            ENTRY | {"topic": 1},
            ENTRY | {"topic": None},
            ENTRY | {"topic": ["page.create"]},
            *(ENTRY | {"partition": bad} for bad in NO_PARTITIONS),
            *(ENTRY | {"offset": bad} for bad in NO_OFFSETS),
            *(ENTRY | {"timestamp": bad} for bad in NO_TIMESTAMPS),
        )
    ),
    json.dumps([ENTRY, ENTRY]),
    json.dumps([ENTRY, ENTRY | {"offset": 2}]),
    json.dumps([ENTRY | {"offset": -1}, ENTRY]),
    json.dumps([ENTRY, "more"]),
]


@pytest.mark.parametrize("value", BAD_POSITIONS)
async def test_a_bad_position(site: Site, value: str) -> None:
    response = await site.get(STREAM, headers={"last-event-id": value})
    problem(response, 400, "Last-Event-ID")
    for name in ("last_event_id", "lastEventId"):
        assert problem(await site.get(STREAM, params={name: value}), 400, name).startswith(f"`{name}`: ")


async def test_two_headers_are_no_position(site: Site) -> None:
    good = position(("page.create", 0, 0, START))
    response = await site.get(STREAM, headers=[("last-event-id", good), ("last-event-id", good)])
    problem(response, 400, "Last-Event-ID")


async def test_a_bad_header_is_not_made_good_by_a_parameter(site: Site) -> None:
    good = position(("page.create", 0, 0, START))
    problem(
        await site.get(STREAM, params={"last_event_id": good}, headers={"last-event-id": "x"}), 400, "Last-Event-ID"
    )


async def test_a_position_that_is_too_long(site: Site) -> None:
    long = "[" + " " * 65536 + json.dumps(ENTRY) + "]"
    detail = problem(await site.get(STREAM, headers={"last-event-id": long}), 400, "Last-Event-ID")
    assert "last_event_id_max" in detail
    assert "65536" in detail


@pytest.mark.parametrize("bad", ["since", "until"])
async def test_a_bad_time_is_one_beside_a_good_position(site: Site, bad: str) -> None:
    good = position(("page.create", 0, 0, START))
    problem(await site.get(STREAM, params={bad: "x"}, headers={"last-event-id": good}), 400, bad)


@pytest.mark.parametrize("name", ["Last-Event-ID", "last_event_id", "lastEventId"])
async def test_a_topic_outside_the_subscription_and_a_partition_beyond_the_count(site: Site, name: str) -> None:
    async def ask(path: str, value: str) -> httpx.Response:
        if name == "Last-Event-ID":
            return await site.get(path, headers={name: value})
        return await site.get(path, params={name: value})

    detail = problem(await ask(STREAM, position(("log.all", 0, 0, None))), 404, name)
    assert "'log.all'" in detail
    assert "page.create" in detail
    assert "partition 0 alone" in problem(await ask(STREAM, position(("page.create", 1, 0, None))), 404, name)
    assert "partitions 0 to 2" in problem(await ask("/v2/stream/wide", position(("wide", 3, 0, None))), 404, name)


@pytest.mark.parametrize(
    ("since", "until"),
    [("2026-01-01", "2026-01-01"), ("2026-01-01", "2025-12-31"), ("1h", "2h"), ("1000", "1000"), ("9999-01-01", "1h")],
)
async def test_until_has_to_be_after_since(site: Site, since: str, until: str) -> None:
    assert "after `since`" in problem(await site.get(STREAM, params={"since": since, "until": until}), 400, "until")


@pytest.mark.parametrize(
    ("accept", "acceptable"),
    [
        ("image/png", False),
        ("text/html", False),
        ("text/event-stream;q=0", False),
        ("*/*;q=0", False),
        ("text/*", True),
    ],
)
async def test_what_cannot_be_had(site: Site, accept: str, acceptable: bool) -> None:
    response = await site.client.head(STREAM, headers={"accept": accept})
    assert response.status_code == (200 if acceptable else 406)
    if not acceptable:
        detail = problem(await site.get(STREAM, headers={"accept": accept}), 406, "Accept")
        assert "text/event-stream" in detail


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1/stream/page.create", "/v2", "/v2/stream", "/v2/streams/", "/v2/streams/a/b"]
)
async def test_an_unknown_path(site: Site, path: str) -> None:
    assert repr(path) in problem(await site.get(path), 404)


@pytest.mark.parametrize("path", [STREAM, "/v2/streams", "/v2/streams/page.create", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_a_method_that_is_not_allowed(site: Site, path: str, method: str) -> None:
    response = await site.client.request(method, path)
    assert method in problem(response, 405)
    assert {name.strip() for name in response.headers["allow"].split(",")} == {"GET", "HEAD"}


async def test_head_has_the_status_of_get(site: Site) -> None:
    for path, status in (("/v2/stream/x", 404), (f"{STREAM}?limit=x", 400), ("/x", 404), ("/v2/streams", 200)):
        response = await site.client.head(path)
        assert (response.status_code, response.content) == (status, b"")
        assert response.headers["access-control-allow-origin"] == "*"


class Lines(logging.Handler):
    """What the log would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(TextFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += self.format(record).splitlines()


NASTY = ["\r\n", "\n12:00:00 info    a line that nobody wrote", "\x00", "\x1b[2J", "\x85", "\u2028", "\ud7ff", "\x7f"]
RAW = ["%ff", "%c3%28", "%ed%a0%80", "%", "%zz", "%00", "%0d%0a", "%e2%80%a8", "%F0%9F"]


@pytest.mark.parametrize("value", [*(quote(one) for one in NASTY), *RAW])
async def test_garbage_is_a_problem_and_breaks_no_line_of_the_log(
    site: Site, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines()
    monkeypatch.setattr(logging.getLogger(), "handlers", [lines])
    targets = [f"/v2/stream/{value}", f"/v2/streams/{value}", f"/{value}", f"{STREAM}?{value}", f"{STREAM}?x{value}=1"]
    names = ("since", "until", "limit", "filter", "fields", "last_event_id", "canary")
    targets += [f"{STREAM}?{name}=a.b..{value}" for name in names]
    for target in targets:
        received = await site.raw(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.split()[1] in (b"400", b"404"), target
        assert b"content-type: application/problem+json" in head
        assert json.loads(body)["status"] in (400, 404)
        assert b"\ninjected" not in head
    line = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning)")
    assert all(line.match(one) for one in lines.lines), lines.lines
    assert not any("Traceback" in one or "nobody wrote" in one for one in lines.lines)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v2/stream/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v2/stream/page.create?since=\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v2/stream/page.create?since=\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v2/stream/page.create HTTP/1.1\r\nhost: x\r\nlast-event-id: a\rb\r\n\r\n",
        b"GET /v2/stream/page.create HTTP/1.1\r\nhost: x\r\nlast-event-id: a\x00b\r\n\r\n",
        b"CONNECT h.example:80 HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem_too(site: Site, request_bytes: bytes) -> None:
    head, _, body = (await site.raw(request_bytes)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-request-id: " in head
    assert b"content-type: application/problem+json" in head
    assert b"access-control-allow-origin: *" in head
    assert b"x-content-type-options: nosniff" in head
    assert json.loads(body)["status"] == 400


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xc3\xa9", b"[" * 60000, b"\x1b[2J"[1:]])
async def test_any_header_is_answered(site: Site, value: bytes) -> None:
    head = b"GET /v2/stream/page.create HTTP/1.1\r\nhost: x\r\nconnection: close\r\nlast-event-id: " + value
    assert (await site.raw(head + b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [10_000, 60_000])
async def test_a_long_url(site: Site, size: int) -> None:
    problem(await site.get("/v2/stream/" + "a" * size), 404, "streams")
    problem(await site.get(f"{STREAM}?since=" + "1" * size), 400, "since")
    problem(await site.get(f"{STREAM}?filter=" + "(" * size), 400, "filter")
    problem(await site.get("/v2/stream/" + "*a" * (size // 2)), 404, "streams")
    problem(await site.get(f"{STREAM}?" + "a" * size), 400, "a" * size)
    assert len((await site.get("/" + "a" * size)).text) < 1000
    assert len((await site.get("/v2/streams/" + "a" * size)).text) < 1000


async def test_a_request_head_without_end_is_refused(site: Site) -> None:
    bounds = ConnectionBounds()
    for beginning, most, status, setting in (
        (b"GET /", bounds.request_line_max + len(b"GET "), b"414", "request_line_max"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: ", bounds.request_head_max, b"431", "request_head_max"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 9, bounds.request_head_max, b"431", "request_head_max"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (bounds.request_headers_max + 2), 0, b"431", "request_headers_max"),
    ):
        assert setting in BY_KEY
        received = await site.raw(beginning + b"a" * max(0, most + 1 - len(beginning)))
        assert received.startswith(b"HTTP/1.1 " + status), beginning
        assert b"content-type: application/problem+json" in received
        assert f"(`{setting}`)".encode() in received
        assert received.count(b"x-request-id: ") == 1


async def test_a_refused_request_leaves_the_connection_usable(site: Site) -> None:
    site.put("page.create", stored(0))
    both = b"GET /v2/stream/nothing HTTP/1.1\r\nhost: x\r\n\r\n"
    both += b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    received = await site.raw(both)
    assert received.startswith(b"HTTP/1.1 404 ")
    assert b'{"status":"ok"}' in received
