"""`POST /v1/events`: what is sent again, is found again, and is stored once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.intake import intake as intake_module
from gateway.model.record import NewRecord
from tests.kit.waiting import becomes
from tests.routes.intake import PATH, IntakeSite, Unread, bare, change, intake, text


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


@pytest.mark.long
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


@pytest.mark.long
async def test_what_may_be_stored_is_looked_for_before_it_is_taken_again(
    site: IntakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log takes the event and its acknowledgement is lost; the hub reads it only later."""
    hub = site.site.gateway.hub
    site.log.create_topic("later", 2)
    await becomes(lambda: "later" in hub.discovery.existing and not hub.recovery.joining)
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
    assert "this request stored nothing" in answer.json()["detail"]
    site.log.available = True
    assert (await site.post(event)).json() == {"stored": 1, "repeated": 0}


@pytest.mark.long
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
