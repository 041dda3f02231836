"""`POST /v1/events`: what is stored, and what is answered."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway import cooperative
from gateway.intake import intake as intake_module
from gateway.intake.outcome import Submission
from gateway.model.record import TopicPartition
from gateway.schemas.repository import SchemaRepository
from tests.eventlog.kit import existing
from tests.kit.intake import take
from tests.kit.waiting import becomes
from tests.routes.intake import PATH, IntakeSite, bare, change, intake, text


@pytest_asyncio.fixture
async def site() -> AsyncIterator[IntakeSite]:
    async with intake() as site:
        yield site


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
    assert existing(await site.log.describe(["later"]))["later"].partitions == 2
    record = next(
        record for number in range(2) for record in site.log.partition(TopicPartition("later", number)).records
    )
    assert record.key == b"enwiki"


@pytest.mark.long
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
    answer = await site.post(bare(3))
    await site.post(bare(4), x_request_id="x" * 300)
    third, fourth = (json.loads(value)["meta"] for value in site.log.values("later")[2:])
    assert uuid.UUID(third["request_id"]) != uuid.UUID(fourth["request_id"])
    assert third["request_id"] == answer.headers["x-request-id"]


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
    monkeypatch.setattr(cooperative, "YIELD_SECONDS", 0.0)
    body = json.dumps([change(number) for number in range(1000)]).encode()
    turns = 0
    running = True

    async def count() -> None:
        nonlocal turns
        while running:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    outcome = await take(site.site.gateway.intake, Submission(body, "application/json"))
    running = False
    await counting
    assert outcome.stored == 1000
    assert turns > 60


async def test_a_mistake_of_our_own(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(intake_module, "validate", broken)
    answer = await site.post(change())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "ZeroDivisionError" not in answer.text
    assert any("an internal error" in record.message for record in caplog.records)
    monkeypatch.undo()
    assert (await site.post(change())).status_code == 201
    assert site.site.gateway.intake.held == 0
