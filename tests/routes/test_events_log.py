"""`POST /v1/events` and the log: what it refuses, what waits for it, who leaves meanwhile, and what a stop does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

from gateway.errors import LogError, LogForbids, LogUnavailable, Refused, TopicAbsent
from gateway.eventlog.trouble import Kind, Trouble, trouble_with
from gateway.intake import intake as intake_module
from gateway.intake.telling import told_of
from gateway.model.record import NewRecord, TopicPartition
from tests.kit.waiting import becomes
from tests.routes.intake import IntakeSite, Log, Unread, change, intake, text
from tests.routes.kit import PATIENCE


@pytest_asyncio.fixture
async def site() -> AsyncIterator[IntakeSite]:
    async with intake() as site:
        yield site


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


async def test_what_the_log_forbids_is_not_to_be_sent_again(site: IntakeSite) -> None:
    site.log.refused[b'"id": 77,'] = LogForbids("Kafka: broker-7 says no")
    answer = await site.post(change(77))
    assert answer.status_code == 500
    assert "retry-after" not in answer.headers
    assert "operator" in answer.json()["detail"]
    assert "broker-7" not in answer.text
    assert "broker-7" in next(iter(site.site.gateway.intake.failing.values())).detail
    assert (await site.post(change(78))).status_code == 201
    assert not site.site.gateway.intake.failing


BROKER = "Kafka: broker-7:9092: cellar.reports-0"
PLACE = TopicPartition("cellar.reports", 0)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (LogUnavailable(BROKER), 503, "the log does not answer"),
        (LogUnavailable(BROKER, Kind.DISK_FULL), 503, "disk full"),
        (LogUnavailable(BROKER, Kind.LOCKED), 503, "locked"),
        (LogUnavailable(BROKER, Kind.TOO_FEW_REPLICAS), 503, "too few replicas"),
        (Refused({PLACE: Trouble(Kind.NO_LEADER, BROKER)}), 503, "no leader"),
        (Refused({PLACE: Trouble(Kind.NO_RIGHT, BROKER)}), 500, "may not write"),
        (TopicAbsent("cellar.reports"), 503, "absent"),
        (LogForbids(BROKER, Kind.NO_RIGHT), 500, "may not write"),
        (LogForbids(BROKER, Kind.UNREADABLE), 500, "unreadable"),
        (LogForbids(BROKER, Kind.NEWER), 500, "of a newer format"),
        (LogForbids(BROKER, Kind.MISCONFIGURED), 500, "misconfigured"),
        (LogError(BROKER, Kind.TOO_LARGE), 400, "too large"),
    ],
    ids=str,
)
async def test_what_the_log_says_is_told_by_its_kind(site: IntakeSite, error: LogError, status: int, kind: str) -> None:
    """It says whether to send it again, and names no host, file or topic."""
    site.log.refused[b'"id": 77,'] = error
    answer = await site.post(change(77))
    assert (answer.status_code, "retry-after" in answer.headers) == (status, status == 503)
    document = answer.json()
    assert kind in document["detail"]
    assert ("send it again" in document["detail"]) is (status == 503)
    assert ("operator" in document["detail"]) is (status == 500)
    assert "broker-7" not in answer.text
    assert "cellar" not in answer.text
    failing = site.site.gateway.intake.failing
    assert [trouble.kind for trouble in failing.values()] == ([] if status == 400 else [trouble_with(error).kind])
    # The same of all that stands for it.
    telling = told_of(error)
    assert "cellar" not in telling
    assert "broker-7" not in telling
    again = await site.post([change(77), change(78)])
    assert (again.status_code, again.json()["stored"]) == (207, 1)
    assert again.json()["error"][0]["detail"] == telling


@pytest.mark.parametrize("known", [False, True], ids=["at a start", "revoked later"])
async def test_a_topic_whose_right_was_revoked_is_not_to_be_sent_to_again(known: bool) -> None:
    """The log does not even tell whether the topic is there: no try of the client's heals that."""
    log, hidden = Log(), Trouble(Kind.NO_RIGHT, "Kafka: broker-7 says no")
    log.create_topic("other")
    if not known:
        log.hide("other", hidden)
    async with intake(log) as site:
        if known:
            assert (await site.post(change(1, "wiki.other"))).status_code == 201
            log.hide("other", hidden)
        for number in (2, 3):
            answer = await site.post(change(number, "wiki.other"))
            assert answer.status_code == 500, answer.text
            assert "retry-after" not in answer.headers
            assert "operator" in answer.json()["detail"]
            assert "broker-7" not in answer.text
        assert "broker-7" in site.site.gateway.intake.failing["other"].detail
        assert (await site.post(change(4))).status_code == 201, "another topic"
        log.hide("other", None)
        assert (await site.post(change(2, "wiki.other"))).status_code == 201
        assert not site.site.gateway.intake.failing


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
        async with asyncio.timeout(PATIENCE):
            await closing
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


@pytest.mark.long
async def test_the_log_is_closed_once_all_is_stored() -> None:
    log = Closing()

    async def go_on(site: IntakeSite) -> None:
        await becomes(lambda: site.site.gateway.draining)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await log.closed.wait()
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
        await becomes(lambda: site.site.gateway.intake._running)
        closing = asyncio.create_task(site.site.gateway.intake.close())
        await asyncio.wait([closing], timeout=0.05)
        assert not closing.done()
        log.readable = True
        async with asyncio.timeout(PATIENCE):
            await closing
        assert (await taken).status_code == 201


async def test_a_mistake_in_the_log_leaves_nobody_waiting(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("a mistake")

    event = change()
    with monkeypatch.context() as patch:
        patch.setattr(site.log, "offer", broken)
        assert (await site.post(event)).status_code == 503
    assert any("an internal error" in record.message for record in caplog.records)
    assert (await site.post(event)).json() == {"stored": 1, "repeated": 0}
