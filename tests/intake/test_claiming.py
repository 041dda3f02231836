"""The same event at several gateways over one log: it is stored once, and whoever sent it is told what is true."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from gateway.claims.memory import MemoryClaims
from gateway.claims.port import AskedClaim, ClaimState
from gateway.clock import SystemClock
from gateway.errors import LogError, Problem
from gateway.intake import claiming
from gateway.intake.intake import Intake
from gateway.intake.outcome import Outcome
from gateway.intake.store import ELSEWHERE
from gateway.model.record import NewRecord, TopicPartition
from tests.intake.gateways import TOPIC, Gateways, claim_of, counted, gateways, send
from tests.kit.waiting import becomes
from tests.routes.intake import change

PLACE = TopicPartition(TOPIC, 0)
PATIENCE = 10.0


@pytest.fixture
async def site() -> AsyncIterator[Gateways]:
    async with gateways(2) as made:
        yield made


async def test_at_once_and_one_after_the_other(site: Gateways) -> None:
    first, second = site.intakes
    for _ in range(20):
        event = change()
        told = await asyncio.gather(send(first, event), send(second, event))
        assert sorted(counted(outcome) for outcome in told) == [(1, 0, 0), (1, 1, 0)]
        event = change()
        assert counted(await send(first, event)) == (1, 0, 0)
        assert counted(await send(second, event)) == (1, 1, 0)
    assert set(Counter(site.ids()).values()) == {1}
    assert len(site.ids()) == 40


async def test_a_request_of_which_some_are_elsewhere(site: Gateways) -> None:
    first, second = site.intakes
    events = [change(number) for number in range(6)]
    for event in events:
        event["meta"]["stream"] = "wiki.change"
    assert counted(await send(first, *events[:2])) == (2, 0, 0)
    site.log.gate.clear()
    begun = asyncio.create_task(send(first, *events[2:4]))
    await becomes(lambda: len(site.log.offers) == 2)
    unnamed = change(7)
    del unnamed["meta"]["id"]
    both = asyncio.create_task(send(second, events[4], unnamed, *events[:4], events[5]))
    await becomes(lambda: len(site.log.offers) == 3)
    assert site.log.offers == [2, 2, 3], "what is new goes before what is waited for, in its order"
    site.log.gate.set()
    assert counted(await begun) == (2, 0, 0)
    assert counted(await both) == (7, 4, 0)
    assert set(Counter(site.ids()).values()) == {1}


async def test_what_could_not_be_stored_by_one_is_by_the_other(site: Gateways) -> None:
    first, second = site.intakes
    event = change(number=4711)
    site.log.gate.clear()
    site.log.refused[b"4711"] = LogError("a record is too large")
    begun = asyncio.create_task(send(first, event))
    await becomes(lambda: site.log.offers)
    waiting = asyncio.create_task(send(second, event))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    site.log.gate.set()
    assert counted(await begun) == (0, 0, 1)
    site.log.refused.clear()
    assert counted(await waiting) == (1, 0, 0)
    assert site.ids() == [event["meta"]["id"]]


async def test_what_became_of_it_is_not_known_is_not_stored_elsewhere(
    site: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "HELD_SECONDS", 0.2)
    first, second = site.intakes
    event = change()
    site.log.away.add(TOPIC)
    assert counted(await send(first, event)) == (0, 0, 1)
    outcome = await send(second, event)
    assert counted(outcome) == (0, 0, 1)
    assert outcome.unavailable
    assert outcome.failed[0].detail == str(ELSEWHERE)
    assert site.log.offers == [1], "it was offered once"
    # It was stored after all.
    site.log.away.clear()
    site.log.append_now(TOPIC, [NewRecord(orjson.dumps(event))])
    monkeypatch.setattr(claiming, "HELD_SECONDS", PATIENCE)
    assert counted(await send(second, event)) == (1, 1, 0)
    assert counted(await send(first, event)) == (1, 1, 0)
    assert site.ids() == [event["meta"]["id"]]


@pytest.mark.long
async def test_who_does_not_know_finds_out_and_says_so(site: Gateways, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "RENEW_SECONDS", 0.02)
    first, second = site.intakes
    lost, late = change(1), change(2)
    site.log.away.add(TOPIC)
    await send(first, lost)
    await send(first, late)
    site.log.append_now(TOPIC, [NewRecord(orjson.dumps(late))])
    site.log.away.clear()
    holder = MemoryClaims(site.book, SystemClock())

    async def standings() -> list[ClaimState]:
        found = await holder.take([AskedClaim(claim_of(lost)), AskedClaim(claim_of(late))])
        return [standing.kind for standing in found]

    async with asyncio.timeout(PATIENCE):
        while await standings() != [ClaimState.OWN, ClaimState.STORED]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await holder.settle([], [claim_of(lost)])
    assert counted(await send(second, lost, late)) == (2, 1, 0)
    assert sorted(site.ids()) == sorted([lost["meta"]["id"], late["meta"]["id"]])


@pytest.mark.long
@pytest.mark.parametrize("stored", [True, False])
async def test_a_gateway_that_was_killed_in_between(
    site: Gateways, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = change()
    killed = MemoryClaims(site.book, SystemClock())
    # Its claim alone lapses soon: that of a gateway that goes on would, too, where the machine stands still.
    with monkeypatch.context() as patch:
        patch.setattr("gateway.claims.book.LEASE_SECONDS", 0.5)
        await killed.take([AskedClaim(claim_of(event))])
    site.log.read_on.clear()
    if stored:
        site.log.append_now(TOPIC, [NewRecord(orjson.dumps(event))])
    told = [asyncio.create_task(send(intake, event)) for intake in site.intakes]
    await asyncio.sleep(0.8)
    site.log.read_on.set()
    assert sorted(counted(outcome) for outcome in await asyncio.gather(*told)) == [(1, int(stored), 0), (1, 1, 0)]
    assert site.ids() == [event["meta"]["id"]]


async def test_a_gateway_that_stood_still_does_not_append_what_another_may_have(
    site: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = site.intakes
    event = change()
    monkeypatch.setattr(claiming, "SURE_SECONDS", -1.0)
    outcome = await send(first, event)
    assert counted(outcome) == (0, 0, 1)
    assert outcome.unavailable
    assert not site.log.offers
    monkeypatch.setattr(claiming, "SURE_SECONDS", 5.0)
    assert counted(await send(second, event)) == (1, 0, 0)


def slow_to_take(claims: MemoryClaims, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """What the answers wait for from now on."""
    answer = asyncio.Event()
    take = claims.take

    async def slow(asked: Any) -> Any:
        await answer.wait()
        return await take(asked)

    monkeypatch.setattr(claims, "take", slow)
    return answer


@pytest.mark.parametrize("together", [True, False])
async def test_what_is_sent_again_before_it_was_decided_keeps_its_claim(
    site: Gateways, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = site.intakes
    event = change()
    answer = slow_to_take(site.claims[0], monkeypatch)
    monkeypatch.setattr("gateway.intake.intake.LOG_SECONDS", 0.05)
    if together:
        # While this is asked for the two others wait, and are asked for in one.
        assert counted(await send(first, change())) == (0, 0, 1)
    assert counted(await send(first, event)) == (0, 0, 1)
    monkeypatch.setattr("gateway.intake.intake.LOG_SECONDS", PATIENCE)
    site.log.gate.clear()
    again = asyncio.create_task(send(first, event))
    await asyncio.sleep(0.02)
    answer.set()
    await becomes(lambda: site.log.offers)
    elsewhere = asyncio.create_task(send(second, event))
    await asyncio.sleep(0.2)
    assert site.log.offers == [1]
    site.log.gate.set()
    assert counted(await again) == (1, 0, 0)
    assert counted(await elsewhere) == (1, 1, 0)
    assert site.ids() == [event["meta"]["id"]]


async def test_what_is_freed_and_wanted_again_at_once_is_held(site: Gateways, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that is slow to hear of what is free hears first that it is wanted."""
    first, second = site.intakes
    settle, heard = site.claims[0].settle, asyncio.Event()

    async def slow(stored: Any, freed: Any) -> None:
        await heard.wait()
        await settle(stored, freed)

    monkeypatch.setattr(site.claims[0], "settle", slow)
    assert counted(await send(first, change())) == (1, 0, 0)
    event = change(number=4711)
    site.log.refused[b"4711"] = LogError("a passing fault")
    assert counted(await send(first, event)) == (0, 0, 1)
    site.log.refused.clear()
    site.log.gate.clear()
    again = asyncio.create_task(send(first, event))
    await becomes(lambda: len(site.log.offers) == 3)
    heard.set()
    elsewhere = asyncio.create_task(send(second, event))
    await asyncio.sleep(0.2)
    assert len(site.log.offers) == 3
    site.log.gate.set()
    assert counted(await again) == (1, 0, 0)
    assert counted(await elsewhere) == (1, 1, 0)


async def test_what_nobody_waits_for_any_more_is_not_stored_and_free(
    site: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = site.intakes
    event = change()
    answer = slow_to_take(site.claims[0], monkeypatch)
    monkeypatch.setattr("gateway.intake.intake.LOG_SECONDS", 0.05)
    assert counted(await send(first, event)) == (0, 0, 1)
    answer.set()
    monkeypatch.setattr("gateway.intake.intake.LOG_SECONDS", PATIENCE)
    assert counted(await send(second, event)) == (1, 0, 0)
    assert site.log.offers == [1]


@pytest.mark.long
async def test_claims_are_held_for_as_long_as_an_append_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.claims.book.LEASE_SECONDS", 1.0)
    monkeypatch.setattr(claiming, "RENEW_SECONDS", 0.15)
    monkeypatch.setattr(claiming, "SURE_SECONDS", 0.8)
    async with gateways(2) as quick:
        first, second = quick.intakes
        blocking, event = change(1), change(2)
        quick.log.gate.clear()
        tasks = [asyncio.create_task(send(first, blocking))]
        await becomes(lambda: quick.log.offers)
        tasks.append(asyncio.create_task(send(first, event)))
        await asyncio.sleep(1.5)
        other = asyncio.create_task(send(second, event))
        await asyncio.sleep(0.1)
        assert quick.log.offers == [1]
        quick.log.gate.set()
        assert [counted(await task) for task in (*tasks, other)] == [(1, 0, 0), (1, 0, 0), (1, 1, 0)]


@pytest.mark.parametrize("how", ["away", "alone"])
async def test_without_claims_the_log_is_asked(how: str) -> None:
    """The second gateway has not read yet what the first has stored, and finds it by asking."""
    async with gateways(2, sure=how == "away", shared=how == "away") as site:
        first, second = site.intakes
        for claims in site.claims:
            claims.available = how != "away"
        for _ in range(10):
            event = change()
            await becomes(lambda: all(hub.ring.end(PLACE) == len(site.ids()) for hub in site.hubs))
            site.log.read_on.clear()
            assert counted(await send(first, event)) == (1, 0, 0)
            again = asyncio.create_task(send(second, event))
            await asyncio.sleep(0.02)
            assert not again.done()
            site.log.read_on.set()
            assert counted(await again) == (1, 1, 0)
        assert set(Counter(site.ids()).values()) == {1}


async def test_where_the_log_cannot_be_asked_nothing_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateways(1, sure=False) as site:
        [intake] = site.intakes

        async def away(*_: object) -> Any:
            site.log.available = False
            site.log.check()

        monkeypatch.setattr(site.log, "bounds", away)
        event = change()
        outcome = await send(intake, event)
        assert counted(outcome) == (0, 0, 1)
        assert outcome.unavailable
        monkeypatch.undo()
        site.log.available = True
        assert not site.log.offers
        assert counted(await send(intake, event)) == (1, 0, 0)


async def test_hasty_requests_keep_their_order(site: Gateways) -> None:
    [first, _] = site.intakes
    events = [change(number) for number in range(200)]
    for start in range(0, 200, 8):
        assert (await send(first, *events[start : start + 8], hasty=True)).stored == len(events[start : start + 8])
    await first.close()
    assert site.ids() == [event["meta"]["id"] for event in events]


async def keyed(intake: Intake, title: str, key: str) -> Outcome | int:
    event = change(title=title)
    del event["meta"]["id"]
    event["meta"] |= {"dt": "2026-03-01T09:26:53.589Z"}
    try:
        return await send(intake, event, key=key)
    except Problem as problem:
        return problem.status


@pytest.mark.parametrize("apart", [True, False], ids=["two gateways", "one gateway"])
async def test_one_key_and_two_bodies_at_once(site: Gateways, apart: bool) -> None:
    first, second = site.intakes if apart else (site.intakes[0],) * 2
    for number in range(10):
        told = await asyncio.gather(keyed(first, "a", f"key {number}"), keyed(second, "b", f"key {number}"))
        assert 422 in told
        [outcome] = [one for one in told if isinstance(one, Outcome)]
        assert counted(outcome) == (1, 0, 0)
        same = await asyncio.gather(keyed(first, "c", f"other {number}"), keyed(second, "c", f"other {number}"))
        assert sorted(counted(one) for one in same if isinstance(one, Outcome)) == [(1, 0, 0), (1, 1, 0)]
        assert await keyed(second, "d", f"other {number}") == 422
    assert len(site.ids()) == 20


async def test_a_key_whose_request_was_refused_may_come_with_another_body(site: Gateways) -> None:
    first, second = site.intakes
    wrong = change()
    del wrong["title"]
    assert len((await send(first, wrong, key="k")).invalid) == 1
    assert isinstance(await keyed(second, "good", "k"), Outcome)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
async def test_senders_that_go_on_wherever_they_get_an_answer(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A soak: appends that fail, whose fate is lost, or that are slow; claims that go away; each event is stored once,
    and is there where 201 was said."""
    monkeypatch.setattr(claiming, "HELD_SECONDS", 0.2)
    monkeypatch.setattr(claiming, "RENEW_SECONDS", 0.05)
    chance = random.Random(seed)
    async with gateways(3) as site:
        offer = site.log.offer_now

        def faulty(topic: str, records: Any) -> Any:
            match chance.randrange(8):
                case 0:
                    site.log.away.add(topic)
                    raise LogError("nothing of it is stored")
                case 1:
                    offer(topic, records)
                    site.log.available = False
                    try:
                        site.log.check()
                    finally:
                        site.log.available = True
            return offer(topic, records)

        monkeypatch.setattr(site.log, "offer_now", faulty)

        async def produce() -> list[str]:
            sent = []
            for number in range(12):
                event = change(number)
                while True:
                    targets = chance.sample(site.intakes, chance.choice([1, 1, 2, 3]))
                    told = await asyncio.gather(*(send(intake, event) for intake in targets))
                    site.log.away.clear()
                    if any(outcome.stored for outcome in told):
                        break
                    await asyncio.sleep(chance.uniform(0, 0.05))
                sent.append(event["meta"]["id"])
            return sent

        async with asyncio.timeout(60):
            sent = [one for part in await asyncio.gather(*(produce() for _ in range(4))) for one in part]
        assert Counter(site.ids()) == Counter(sent)
