"""`POST /v1/events`: events and requests that are wrong in themselves, and what is said of each."""

from __future__ import annotations

import gzip
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.routes import events as route
from tests.routes.intake import PATH, IntakeSite, change, intake, text

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest_asyncio.fixture
async def site() -> AsyncIterator[IntakeSite]:
    async with intake() as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[IntakeSite]:
    """A gateway for tests that look at nothing but their own events."""
    async with intake() as site:
        yield site


module_loop = pytest.mark.asyncio(loop_scope="module")


def schema(uri: str) -> dict[str, Any]:
    """An event that names this schema."""
    return {**change(), "$schema": uri}


BAD: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"hello", "not JSON"),
    "NaN": (text(change()).replace(b'"id": 1', b'"id": NaN'), "NaN is not a number"),
    "a name twice": (text(change()).replace(b'"bot"', b'"user": "Eve", "bot"'), "'user' appears twice"),
    "100,000 brackets": (b"[" * 100_000 + b"]" * 100_000, "nested more than 250 deep"),
    "invalid UTF-8": (text(change(comment="x")).replace(b'"x"', b'"\xff"'), "not UTF-8"),
    "a lone surrogate": (text(change(comment="\ud800")), "a lone surrogate"),
    "a large integer": (text(change(namespace=2**64)), "more than 64 bits"),
    "a large number": (text(change(namespace=7)).replace(b'"namespace": 7', b'"namespace": 1e999'), "a double"),
    "no object": (b"3", "not a JSON object"),
    "an array": (b"[1]", "not a JSON object"),
    "no meta": (b'{"$schema": "/wiki/change/1.0.0"}', "/meta/stream: it is missing"),
    "meta is no object": (b'{"meta": 1}', "/meta: it is not an object"),
    "unknown stream": (text(change(stream="wiki.chnage")), "close to it: wiki.change"),
    "private stream": (text(change(stream="gateway.errors")), 'there is no stream "gateway.errors"'),
    "a stream that takes nothing": (text(change(stream="bare")), "takes no events"),
    "no schema": (text({k: v for k, v in change().items() if k != "$schema"}), "/$schema: it is missing"),
    "an absolute schema": (text(schema("https://example.org/wiki/change/1.0.0")), "in no schema repo"),
    "a file": (text(schema("file:///etc/passwd")), "in no schema repository"),
    "dots": (text(schema("/wiki/../wiki/change/1.0.0")), "in no schema repository"),
    "escaped dots": (text(schema("/wiki/%2e%2e/wiki/change/1.0.0")), "in no schema repository"),
    "latest": (text(schema("/wiki/change/latest")), "in no schema repository"),
    "unknown schema": (text(schema("/wiki/change/9.0.0")), "in no schema repository"),
    "another stream's schema": (text(schema("/wiki/page-create/1.0.0")), "that wiki.change takes"),
    "invalid": (text(change(namespace="0")), '/namespace: "0" is not of type "integer"'),
    "too large": (text(change(comment="x" * 1_000_000)), "intake_event_max_bytes"),
}  # fmt: skip


@module_loop
@pytest.mark.parametrize(("bad", "told"), BAD.values(), ids=BAD)
async def test_a_bad_event_among_good_ones(shared: IntakeSite, bad: bytes, told: str) -> None:
    first, last = text(change(1)), text(change(2))
    answer = await shared.post(b"[" + b",".join([first, bad, last]) + b"]")
    assert answer.status_code == 207
    document = answer.json()
    assert (document["stored"], document["error"]) == (2, [])
    [entry] = document["invalid"]
    assert entry["index"] == 1
    assert told in entry["detail"]
    assert len(answer.content) < 20_000
    assert shared.log.values("later")[-2:] == [first, last]


@module_loop
@pytest.mark.parametrize(("bad", "told"), BAD.values(), ids=BAD)
async def test_a_bad_event_alone(shared: IntakeSite, bad: bytes, told: str) -> None:
    if bad.startswith(b"["):
        bad = b"[" + bad + b"]"
    answer = await shared.post(bad)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert told in document["detail"]
    assert told in document["invalid"][0]["detail"]
    assert bad not in shared.log.values("later")


async def test_the_event_is_shown_as_it_was_sent(site: IntakeSite) -> None:
    small, large = change(namespace="0"), change(namespace="0", comment="x" * 5000)
    answer = await site.post(b"[" + b",".join([text(small), text(large), b"nonsense"]) + b"]")
    shown = [entry["event"] for entry in answer.json()["invalid"]]
    assert shown[0] == small
    assert shown[1] == text(large)[:200].decode() + "…"
    assert shown[2] == "nonsense"
    answer = await site.post([change(namespace="0", comment="y" * 3000)] * 1000)
    assert len(answer.json()["invalid"]) == 1000
    assert len(answer.content) < 1_000_000


BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the body is empty"),
    "space": (b"  ", "the body is empty"),
    "no events": (b"[]", "the array is empty"),
    "cut off": (b'[{"a":1},{"b', "its array does not end"),
    "more behind it": (b"[{}][{}]", "continues after the end"),
    "byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
}


@module_loop
@pytest.mark.parametrize(("body", "told"), BODIES.values(), ids=BODIES)
async def test_a_bad_body(shared: IntakeSite, body: bytes, told: str) -> None:
    answer = await shared.post(body)
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad body")
    assert told in answer.json()["detail"]


@module_loop
@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain;charset=UTF-8", "application/reports+json", 'Text/Plain; charset="utf-8"']
)
async def test_content_types(shared: IntakeSite, kind: str) -> None:
    assert (await shared.post(change(), content_type=kind)).status_code == 201


@module_loop
@pytest.mark.parametrize("kind", ["", "text/html", "application/x-ndjson", "application/json; charset=utf-16"])
async def test_other_content_types(shared: IntakeSite, kind: str) -> None:
    answer = await shared.post(change(), content_type=kind)
    assert answer.status_code == 415
    assert "application/json" in answer.headers["accept"]
    assert answer.json()["status"] == 415


@module_loop
@pytest.mark.parametrize("coding", ["gzip", "zstd", "identity", "x-gzip", "GZIP"])
async def test_codings(shared: IntakeSite, coding: str) -> None:
    coders: dict[str, Any] = {"gzip": gzip.compress, "zstd": zstd.compress}
    event = text(change())
    body = coders.get(coding.lower().removeprefix("x-"), bytes)(event)
    assert (await shared.post(body, content_encoding=coding)).status_code == 201
    assert shared.log.values("later")[-1] == event


@module_loop
@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("br", b"x", 415),
        ("gzip, gzip", b"x", 415),
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], 400),
        ("gzip", gzip.compress(b"{}", mtime=0) * 2, 400),
        ("zstd", b"no zstd", 400),
        ("zstd", zstd.compress(b"{}" * 100)[:-1], 400),
        ("zstd", zstd.compress(b"{}") * 2, 400),
        ("gzip", b"", 400),
    ],
)
async def test_bad_codings(shared: IntakeSite, coding: str, body: bytes, status: int) -> None:
    answer = await shared.post(body, content_encoding=coding)
    assert answer.status_code == status
    assert answer.json()["status"] == status


async def test_what_is_too_large() -> None:
    async with intake(intake_max_bytes=10_000, intake_max_events=20) as site:
        event = change(comment="x" * 2000)
        assert (await site.post([event])).status_code == 201
        zeros = b"0" * 20_000
        for body, coding in ((zeros, "identity"), (gzip.compress(zeros), "gzip"), (zstd.compress(zeros), "zstd")):
            answer = await site.post(body, content_encoding=coding)
            assert (answer.status_code, answer.json()["title"]) == (413, "Content too large")
            assert "10000 bytes (intake_max_bytes)" in answer.json()["detail"]

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield zeros[:1000]

        answer = await site.site.client.post(PATH, content=parts(), headers={"content-type": "application/json"})
        assert answer.status_code == 413
        answer = await site.post(b"[" + b",".join([b"{}"] * 21) + b"]")
        assert (answer.status_code, answer.json()["title"]) == (413, "Too many events")
        assert "20 events (intake_max_events)" in answer.json()["detail"]


async def test_a_length_over_the_bound_is_refused_before_the_body_comes(site: IntakeSite) -> None:
    head = (
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n"
    )
    received = await site.site.raw(head, until=b"(intake_max_bytes)")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in received


async def test_a_body_that_does_not_come(site: IntakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "BODY_SECONDS", 0.1)
    monkeypatch.setattr(route, "UNREAD_SECONDS", 0.1)
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"
    received = await site.site.raw(head)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in received


@module_loop
@pytest.mark.parametrize(
    ("query", "parameter", "told"),
    [
        ("?hasty=1", "hasty", "`true` or `false`"),
        ("?hasty=", "hasty", "`true` or `false`"),
        ("?hasty=true&hasty=true", "hasty", "send it once"),
        ("?hast=true", "hast", "did you mean `hasty`"),
        ("?x=1", "x", "no such parameter"),
    ],
)
async def test_bad_parameters(shared: IntakeSite, query: str, parameter: str, told: str) -> None:
    event = change()
    answer = await shared.post(event, query)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
    assert told in answer.json()["detail"]
    assert text(event) not in shared.log.values("later")
