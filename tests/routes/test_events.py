"""`POST /v1/events`: what is stored, and what is answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.errors import LogError, LogUnavailable
from gateway.event import NewRecord, TopicPartition
from gateway.eventlog.memory import MemoryReader
from gateway.intake import intake as intake_module
from gateway.intake import turn
from gateway.intake.outcome import Submission
from gateway.routes import events as route
from gateway.schemas.repository import SchemaRepository
from tests.routes.intake import PATH, IntakeSite, Log, bare, change, intake, text
from tests.routes.kit import PATIENCE, becomes

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


async def test_an_event_is_stored_byte_for_byte(site: IntakeSite) -> None:
    event = change()
    for number, body in enumerate((text(event), json.dumps([change()], indent=2).encode(), text(change()))):
        answer = await site.post(body)
        assert (answer.status_code, answer.json()) == (201, {"stored": 1, "repeated": 0})
        assert answer.headers["content-type"] == "application/json"
        value = site.log.values("later")[number]
        assert value in body
        assert json.loads(value)["id"] == 1
    assert site.log.values("later")[0] == text(event)


async def test_the_topic_is_created_as_the_stream_says_and_the_key_is_set(site: IntakeSite) -> None:
    assert (await site.log.describe(["later"])) == {}
    await site.post(change())
    assert (await site.log.describe(["later"]))["later"].partitions == 2
    record = next(
        record for number in range(2) for record in site.log.partition(TopicPartition("later", number)).records
    )
    assert record.key == b"enwiki"


async def test_a_subscriber_sees_the_first_event_of_a_new_topic_at_once() -> None:
    """It does not wait until the hub looks for new topics by itself."""
    async with (
        intake(metadata_interval=3600.0) as site,
        site.site.stream("/v2/stream/wiki.change") as reading,
    ):
        await reading.frame()
        event = change()
        await site.post(event)
        assert (await reading.message())["data"] == event


async def test_many_events_for_several_streams(site: IntakeSite) -> None:
    batch = [change(number, "wiki.other" if number % 2 else "wiki.change") for number in range(100)]
    answer = await site.post(batch)
    assert (answer.status_code, answer.json()["stored"]) == (201, 100)
    assert [json.loads(value)["id"] for value in site.log.values("other")] == list(range(1, 100, 2))
    assert [json.loads(value)["id"] for value in site.log.values("later")] == list(range(0, 100, 2))


async def test_what_is_missing_in_meta_is_put_in(site: IntakeSite) -> None:
    assert (await site.post([bare(1), bare(2)], x_request_id="from-the-header")).status_code == 201
    first, second = (json.loads(value)["meta"] for value in site.log.values("later"))
    assert first["request_id"] == second["request_id"] == "from-the-header"
    assert uuid.UUID(first["id"]) != uuid.UUID(second["id"])
    assert first["dt"].endswith("Z")
    await site.post(bare(3))
    await site.post(bare(4), x_request_id="x" * 300)
    third, fourth = (json.loads(value)["meta"] for value in site.log.values("later")[2:])
    assert uuid.UUID(third["request_id"]) != uuid.UUID(fourth["request_id"])


def schema(uri: str) -> dict[str, Any]:
    """An event that names this schema."""
    return {**change(), "$schema": uri}


BAD: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"hello", "not JSON"),
    "NaN": (text(change()).replace(b'"id": 1', b'"id": NaN'), "NaN is no number"),
    "a name twice": (text(change()).replace(b'"bot"', b'"user": "Eve", "bot"'), "'user' is there twice"),
    "100,000 brackets": (b"[" * 100_000 + b"]" * 100_000, "nested more than 250 deep"),
    "invalid UTF-8": (text(change(comment="x")).replace(b'"x"', b'"\xff"'), "not UTF-8"),
    "a lone surrogate": (text(change(comment="\ud800")), "a lone surrogate"),
    "a large integer": (text(change(namespace=2**64)), "more than 64 bits"),
    "a large number": (text(change(namespace=7)).replace(b'"namespace": 7', b'"namespace": 1e999'), "a double"),
    "no object": (b"3", "no JSON object"),
    "an array": (b"[1]", "no JSON object"),
    "no meta": (b'{"$schema": "/wiki/change/1.0.0"}', "/meta/stream: it is missing"),
    "meta is no object": (b'{"meta": 1}', "/meta: it is no object"),
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
    "more behind it": (b"[{}][{}]", "more behind the end"),
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
        ("gzip", gzip.compress(b"{}")[:-4], 400),
        ("gzip", gzip.compress(b"{}") * 2, 400),
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


async def test_hasty_is_answered_before_the_log_has(site: IntakeSite) -> None:
    site.log.gate.clear()
    answer = await site.post([change(1), change(2)], "?hasty=true")
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "repeated": 0})
    answer = await site.post([change(3), change(4, namespace="0")], "?hasty=true")
    assert (answer.status_code, answer.json()["accepted"], len(answer.json()["invalid"])) == (207, 1, 1)
    assert (await site.post(change(5, namespace="0"), "?hasty=true")).status_code == 400
    assert site.log.values("later") == []
    site.log.gate.set()
    await becomes(lambda: len(site.log.values("later")) == 3)
    assert (await site.post(change(6), "?hasty=false")).status_code == 201


@module_loop
@pytest.mark.parametrize(
    ("query", "parameter", "told"),
    [
        ("?hasty=1", "hasty", "true or false"),
        ("?hasty=", "hasty", "true or false"),
        ("?hasty=true&hasty=true", "hasty", "given twice"),
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


async def test_the_same_event_is_stored_once(site: IntakeSite) -> None:
    first, second = change(1), change(2)
    assert (await site.post([first, first])).json() == {"stored": 2, "repeated": 1}
    assert (await site.post([first, second])).json() == {"stored": 2, "repeated": 1}
    # An id counts in its own stream.
    elsewhere = {**first, "meta": {**first["meta"], "stream": "wiki.other"}}
    assert (await site.post(elsewhere)).json() == {"stored": 1, "repeated": 0}
    assert [json.loads(value)["id"] for value in site.log.values("later")] == [1, 2]


async def test_a_repeated_event_waits_for_the_first(site: IntakeSite) -> None:
    site.log.gate.clear()
    event = change()
    first = asyncio.create_task(site.post(event))
    await site.log.begun.wait()
    second = asyncio.create_task(site.post(event))
    third = asyncio.create_task(site.post(change(2)))
    await becomes(lambda: len(site.site.gateway.intake._store._batcher._lanes["later"].waiting) == 1)
    assert not first.done()
    assert not second.done()
    site.log.gate.set()
    assert (await first).json() == {"stored": 1, "repeated": 0}
    assert (await second).json() == {"stored": 1, "repeated": 1}
    assert (await third).json() == {"stored": 1, "repeated": 0}
    assert len(site.log.values("later")) == 2


async def test_what_failed_is_taken_again(site: IntakeSite) -> None:
    site.log.create_topic("later", 2)
    site.log.away.add("later")
    event = change()
    answer = await site.post(event)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    site.log.away.clear()
    assert (await site.post(event)).json() == {"stored": 1, "repeated": 0}
    assert len(site.log.values("later")) == 1


async def test_what_may_be_stored_is_looked_for_before_it_is_taken_again(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log takes the event and its acknowledgement is lost; the hub reads it only later."""
    hub = site.site.gateway.hub
    site.log.create_topic("later", 2)
    await becomes(lambda: "later" in hub.discovery.existing)
    event, lost = change(1), change(2)
    reading, go_on = hub._read, asyncio.Event()

    async def held(reader: Any) -> None:
        await go_on.wait()
        await reading(reader)

    monkeypatch.setattr(hub, "_read", held)
    # What was being read when that was set brings this one, and is the last.
    site.log.append_now("later", [NewRecord(text(change(0)))])
    await becomes(lambda: len(site.site.gateway.intake._store._window) == 1)
    site.log.away.add("later")
    assert (await site.post([event, lost])).status_code == 503
    site.log.away.clear()
    site.log.append_now("later", [NewRecord(text(event))])
    again = asyncio.create_task(site.post([event, lost]))
    await asyncio.wait([again], timeout=0.1)
    assert not again.done()
    go_on.set()
    assert (await again).json() == {"stored": 2, "repeated": 1}
    assert sorted(json.loads(value)["id"] for value in site.log.values("later")) == [0, 1, 2]


class Unread(Log):
    """Takes records, but cannot be read until it is told to be."""

    readable = False

    async def reader(self, positions: Mapping[TopicPartition, int]) -> MemoryReader:
        """See EventLog."""
        if not self.readable:
            raise LogUnavailable("it cannot be read yet")
        return await super().reader(positions)


async def test_nothing_is_taken_again_before_it_is_known_what_was_stored_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gateway that has just started, before it has read what there is."""
    log, event = Unread(), change(stream="wiki.other")
    log.create_topic("other")
    log.append_now("other", [NewRecord(text(event))])
    async with intake(log, startup_wait=0.05) as site:
        with monkeypatch.context() as patch:
            patch.setattr(intake_module, "LOG_SECONDS", 0.1)
            for query in ("", "?hasty=true"):
                early = await site.post(event, query)
                assert (early.status_code, early.headers["retry-after"]) == (503, "2")
        again = asyncio.create_task(site.post(event))
        log.readable = True
        assert (await again).json() == {"stored": 1, "repeated": 1}
    assert log.values("other") == [text(event)]


async def test_while_it_cannot_be_told_what_is_stored_nothing_is_taken_again(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.log.create_topic("later", 2)
    site.log.away.add("later")
    event = change()
    assert (await site.post(event)).status_code == 503
    site.log.away.clear()
    site.log.available = False
    answer = await site.post(event)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "nothing of this request is stored" in answer.json()["detail"]
    site.log.available = True
    assert (await site.post(event)).json() == {"stored": 1, "repeated": 0}


async def test_what_is_in_the_log_already_is_not_stored_again(site: IntakeSite) -> None:
    event = change()
    site.log.create_topic("later", 2)
    site.log.append_now("later", [NewRecord(text(event))])
    await becomes(lambda: len(site.site.gateway.intake._store._window) == 1)
    assert (await site.post(event)).json() == {"stored": 1, "repeated": 1}
    # In a topic that is not the stream's, it is another's.
    stray = change()
    site.log.append_now("bare", [NewRecord(text(stray)), NewRecord(b'{"meta":{"stream":"bare","id":"1"}}')])
    site.log.append_now("later", [NewRecord(text(change()))])
    await becomes(lambda: len(site.site.gateway.intake._store._window) == 2)
    assert (await site.post(stray)).json() == {"stored": 1, "repeated": 0}


async def test_a_retried_request_with_a_key_is_stored_once(site: IntakeSite) -> None:
    body = [bare(1), bare(2), bare(2)]
    assert (await site.post(body, idempotency_key='"key-1"')).json() == {"stored": 3, "repeated": 0}
    assert (await site.post(body, idempotency_key="key-1")).json() == {"stored": 3, "repeated": 3}
    assert (await site.post(body, idempotency_key="key-2")).json() == {"stored": 3, "repeated": 0}
    assert len({json.loads(value)["meta"]["id"] for value in site.log.values("later")}) == 6
    answer = await site.post([bare(3)], idempotency_key="key-1")
    assert (answer.status_code, answer.json()["parameter"]) == (422, "Idempotency-Key")
    assert len(site.log.values("later")) == 6


async def test_a_key_with_which_nothing_was_taken_is_free(site: IntakeSite) -> None:
    assert (await site.post(bare(namespace="0"), idempotency_key="k")).status_code == 400
    assert (await site.post(bare(), idempotency_key="k")).status_code == 201


@module_loop
@pytest.mark.parametrize("key", ["", '""', "x" * 256, "é"])
async def test_bad_keys(shared: IntakeSite, key: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
    answer = await shared.site.client.post(PATH, content=text(change()), headers=headers)
    assert (answer.status_code, answer.json()["parameter"]) == (400, "Idempotency-Key")


async def test_what_is_invalid_goes_to_the_error_stream(site: IntakeSite) -> None:
    bad = change(namespace="0")
    own = change(stream="wiki.own-errors", bot=3)
    await site.post(b"nonsense")
    await becomes(lambda: len(site.log.values("errors")) == 1)
    await site.post(b"[" + b",".join([text(bad), text(own), b'"\xff"', text(change(comment="x" * 50_000))]) + b"]")
    await becomes(lambda: len(site.log.values("errors")) == 4)
    events = [json.loads(value) for value in site.log.values("errors")]
    assert events[0]["raw_event"] == "nonsense"
    assert all(event["meta"]["stream"] == "gateway.errors" for event in events)
    assert events[1]["raw_event"] == text(bad).decode()
    assert events[1]["message"] == '/namespace: "0" is not of type "integer"'
    assert (events[1]["errored_stream_name"], events[1]["errored_schema_uri"]) == ("wiki.change", "/wiki/change/1.0.0")
    assert events[2]["raw_event"] == '"\ufffd"'
    assert "errored_stream_name" not in events[2]
    assert len(events[3]["raw_event"]) == 32 * 1024
    [event] = [json.loads(value) for value in site.log.values("own-errors")]
    assert event["meta"]["stream"] == "own.errors"
    named = site.site.gateway.current.schemas.named(event["$schema"])
    assert named is not None
    assert [named.faults(one) for one in [*events, event]] == [[]] * 5


async def test_an_error_stream_that_is_away_matters_to_nobody(site: IntakeSite) -> None:
    site.log.away.add("errors")
    assert (await site.post([change(), change(namespace="0")])).status_code == 207
    assert site.log.values("errors") == []


async def test_reports_of_browsers(site: IntakeSite) -> None:
    report = {
        "type": "deprecation",
        "age": 1000,
        "url": "https://x.example/",
        "user_agent": "Firefox",
        "body": {"id": "a"},
    }
    body = json.dumps([report, {"type": 3}]).encode()
    answer = await site.post(body, content_type="application/reports+json")
    assert (answer.status_code, answer.json()["stored"]) == (207, 1)
    assert "/type: 3 is not" in answer.json()["invalid"][0]["detail"]
    [value] = site.log.values("reports")
    event = json.loads(value)
    assert value.endswith(json.dumps(report).encode()[1:])
    assert (event["$schema"], event["meta"]["stream"]) == ("/browser/report/1.0.0", "browser.reports")
    happened = datetime.fromisoformat(event["meta"]["dt"]).timestamp() * 1000
    [record] = site.log.partition(TopicPartition("reports", 0)).records
    assert record.timestamp - happened == pytest.approx(1000, abs=1.1)
    # Without the content type of reports it is no event.
    assert (await site.post([report])).status_code == 400


async def test_where_no_stream_takes_reports_they_are_no_events() -> None:
    async with intake(report_stream=None) as site:
        answer = await site.post([{"type": "x", "url": "u"}], content_type="application/reports+json")
        assert answer.status_code == 400
        assert "no stream takes these (report_stream)" in answer.json()["detail"]
        assert (await site.post([change()], content_type="application/reports+json")).status_code == 201


async def test_the_log_is_away_for_some(site: IntakeSite) -> None:
    site.log.away.add("other")
    answer = await site.post([change(1), change(2, "wiki.other"), change(3, namespace="0"), change(4)])
    assert answer.status_code == 207
    document = answer.json()
    assert document["stored"] == 2
    assert [entry["index"] for entry in document["invalid"]] == [2]
    [entry] = document["error"]
    assert (entry["index"], entry["event"]["id"]) == (1, 2)
    assert "may have stored it or not" in entry["detail"]
    assert "away" not in answer.text


async def test_one_record_is_refused_by_the_log(site: IntakeSite) -> None:
    site.log.refused[b'"id": 2,'] = LogError("a record of 20 bytes is too large")
    answer = await site.post([change(1), change(2), change(3)])
    assert (answer.status_code, answer.json()["stored"]) == (207, 2)
    assert [entry["detail"] for entry in answer.json()["error"]] == ["a record of 20 bytes is too large"]
    answer = await site.post(change(2))
    assert (answer.status_code, len(answer.json()["error"])) == (400, 1)


async def test_invalid_events_and_a_log_that_is_away(site: IntakeSite) -> None:
    site.log.available = False
    answer = await site.post([change(1), change(2, namespace="0")])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert [len(answer.json()[name]) for name in ("invalid", "error")] == [1, 1]


async def test_the_answer_does_not_wait_for_a_log_that_hangs(site: IntakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "LOG_SECONDS", 0.2)
    site.log.gate.clear()
    on_its_way = asyncio.create_task(site.post(change(1)))
    await site.log.begun.wait()
    behind = asyncio.create_task(site.post(change(2)))
    answers = [await on_its_way, await behind]
    assert [answer.status_code for answer in answers] == [503, 503]
    assert "may have stored it or not" in answers[0].json()["error"][0]["detail"]
    assert "the event is not stored" in answers[1].json()["error"][0]["detail"]
    site.log.gate.set()
    assert (await site.post(change(3))).status_code == 201
    # What was said not to be stored is not.
    assert [json.loads(value)["id"] for value in site.log.values("later")] == [1, 3]


async def test_what_waits_goes_together(site: IntakeSite) -> None:
    site.log.create_topic("later", 2)
    site.log.gate.clear()
    first = asyncio.create_task(site.post(change(0)))
    await site.log.begun.wait()
    others = [asyncio.create_task(site.post(change(number))) for number in range(1, 20)]
    lane = site.site.gateway.intake._store._batcher._lanes["later"]
    await becomes(lambda: len(lane.waiting) == 19)
    site.log.gate.set()
    assert {(await task).status_code for task in [first, *others]} == {201}
    assert site.log.offers == [1, 19]


async def test_more_than_may_wait_is_refused() -> None:
    async with intake(intake_queue_bytes=1 << 20, intake_max_bytes=1 << 20) as site:
        site.log.gate.clear()
        bodies = [[change(number, comment="x" * 1900) for number in range(300)] for _ in range(2)]
        first = asyncio.create_task(site.post(bodies[0]))
        await site.log.begun.wait()
        answer = await site.post(bodies[1])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "intake_queue_bytes" in answer.json()["detail"]
        site.log.gate.set()
        assert (await first).status_code == 201
        assert (await site.post(bodies[1])).status_code == 201
        assert site.site.gateway.intake.held == 0


async def test_a_client_that_leaves_does_not_take_its_events_along(site: IntakeSite) -> None:
    site.log.gate.clear()
    body = text(change())
    reader, writer = await asyncio.open_connection("127.0.0.1", site.site.port)
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
    writer.write(head + body)
    await site.log.begun.wait()
    writer.transport.abort()
    site.log.gate.set()
    await becomes(lambda: site.log.values("later") == [body])
    assert not await reader.read()


async def test_a_client_that_leaves_amid_its_body_has_sent_nothing(site: IntakeSite) -> None:
    body = b"[" + text(change()) + b"]"
    _, writer = await asyncio.open_connection("127.0.0.1", site.site.port)
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
    writer.write(head + body[:-1])
    await becomes(lambda: site.site.gateway.intake.held == len(body) - 1)
    writer.transport.abort()
    await becomes(lambda: site.site.gateway.intake.held == 0)
    assert site.log.offers == []


async def test_a_stop_waits_for_what_was_taken() -> None:
    async with intake() as site:
        site.log.gate.clear()
        hasty = await site.post(change(1), "?hasty=true")
        closing = asyncio.create_task(site.site.gateway.intake.close())
        await asyncio.wait([closing], timeout=0.05)
        assert not closing.done()
        refused = await site.post(change(2))
        assert (hasty.status_code, refused.status_code, refused.json()["title"]) == (202, 503, "Stopping")
        site.log.gate.set()
        await asyncio.wait_for(closing, PATIENCE)
        assert [json.loads(value)["id"] for value in site.log.values("later")] == [1]


class Closing(Log):
    """Takes nothing once it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()

    async def close(self) -> None:
        """See EventLog."""
        self.available = False
        self.closed.set()


async def test_the_log_is_closed_once_all_is_stored() -> None:
    log = Closing()

    async def go_on(site: IntakeSite) -> None:
        await becomes(lambda: site.site.gateway.draining)
        with suppress(TimeoutError):
            await asyncio.wait_for(log.closed.wait(), 1.0)
        log.gate.set()

    async with intake(log) as site:
        log.gate.clear()
        assert (await site.post(change(), "?hasty=true")).status_code == 202
        going = asyncio.create_task(go_on(site))
    await going
    assert len(log.values("later")) == 1


async def test_a_stop_waits_for_those_that_wait() -> None:
    log = Unread()
    log.create_topic("other")
    log.append_now("other", [NewRecord(text(change()))])
    async with intake(log, startup_wait=0.05) as site:
        taken = asyncio.create_task(site.post(change(stream="wiki.other")))
        await becomes(lambda: not site.site.gateway.intake._idle.is_set())
        closing = asyncio.create_task(site.site.gateway.intake.close())
        await asyncio.wait([closing], timeout=0.05)
        assert not closing.done()
        log.readable = True
        await asyncio.wait_for(closing, PATIENCE)
        assert (await taken).status_code == 201


async def test_the_admin_port_takes_events_of_private_streams() -> None:
    error = SchemaRepository(["config/schemas"]).get("gateway/error")
    assert error is not None
    event = {**error.examples[0], "meta": {"stream": "gateway.errors"}}
    async with intake(intake="admin") as site:
        app = site.site.gateway.admin()
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post(PATH, json=event)
            assert (answer.status_code, len(site.log.values("errors"))) == (201, 1)
    async with intake(intake="off") as site:
        transport = httpx.ASGITransport(app=site.site.gateway.admin())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            assert (await client.post(PATH, json=event)).status_code == 404


async def test_other_methods_and_the_preflight(site: IntakeSite) -> None:
    answer = await site.site.get(PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["access-control-allow-origin"] == "*"
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    answer = await site.site.client.options(PATH, headers=asked)
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"content-type", "content-encoding", "idempotency-key", "x-request-id"} <= allowed
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert (await site.post(change())).headers["access-control-allow-origin"] == "*"
    assert (await site.post(b"[")).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("where", ["off", "admin"])
async def test_the_public_port_takes_nothing_where_the_intake_is_elsewhere(where: str) -> None:
    async with intake(intake=where) as site:
        answer = await site.post(change())
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_long_requests_leave_the_loop_to_others(site: IntakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "TURN_SECONDS", 0.0)
    body = json.dumps([change(number) for number in range(1000)]).encode()
    turns = 0
    running = True

    async def count() -> None:
        nonlocal turns
        while running:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    outcome = await site.site.gateway.intake.take(Submission(body, "application/json"))
    running = False
    await counting
    assert outcome.stored == 1000
    assert turns > 60


async def test_a_mistake_of_our_own(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(intake_module, "accept", broken)
    answer = await site.post(change())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "ZeroDivisionError" not in answer.text
    assert any("a mistake of the gateway" in record.message for record in caplog.records)
    monkeypatch.undo()
    assert (await site.post(change())).status_code == 201
    assert site.site.gateway.intake.held == 0


async def test_a_mistake_in_the_log_leaves_nobody_waiting(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("a mistake")

    event = change()
    with monkeypatch.context() as patch:
        patch.setattr(site.log, "offer", broken)
        assert (await site.post(event)).status_code == 503
    assert any("a mistake of the gateway" in record.message for record in caplog.records)
    assert (await site.post(event)).json() == {"stored": 1, "repeated": 0}
