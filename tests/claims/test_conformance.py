"""What claims promise, wherever they are kept: several gateways at once, each with an adapter of its own."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.claims.book import Book
from gateway.claims.memory import MemoryClaims
from gateway.claims.port import AskedClaim, Claims, ClaimState
from gateway.claims.redis import RedisClaims
from gateway.claims.sqlite import ClaimFile, SqliteClaims
from gateway.clock import SystemClock
from gateway.eventlog.sqlite.claims import Life
from tests.services.redis import patient

SECONDS, MAXIMUM = 600.0, 3000
LEASE = 0.4
"""Of a claim that is to lapse."""
PATIENCE = 60.0
Make = Callable[[], Claims]


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Another gateway's claims at the same place."""
    made: list[Claims] = []
    book = Book(SECONDS, MAXIMUM)
    prefix = uuid.uuid4().hex
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None

    def another() -> Claims:
        if request.param == "memory":
            made.append(MemoryClaims(book, SystemClock()))
        elif request.param == "sqlite":
            made.append(SqliteClaims(tmp_path / "claims.db", SECONDS, MAXIMUM))
        else:
            assert server is not None
            made.append(RedisClaims(server.url, SECONDS, MAXIMUM, SystemClock(), prefix))
        return made[-1]

    yield another
    for claims in made:
        await claims.close()


@pytest.fixture(autouse=True)
def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing lapses, nor is a place away, while the machine stands still."""
    lease(monkeypatch, PATIENCE)
    patient(monkeypatch)
    monkeypatch.setattr("gateway.claims.sqlite.ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr("gateway.claims.sqlite.BUSY_SECONDS", PATIENCE)
    monkeypatch.setattr("gateway.eventlog.sqlite.worker.CALL_SECONDS", PATIENCE)


def lease(patch: pytest.MonkeyPatch, seconds: float, *made: Claims) -> None:
    """What is taken and renewed from now on lapses after so many seconds, also by those that are made already."""
    patch.setattr("gateway.claims.book.LEASE_SECONDS", seconds)
    patch.setattr("gateway.claims.redis.LEASE_SECONDS", seconds)
    patch.setattr("gateway.claims.sqlite.LEASE_MILLISECONDS", int(1000 * seconds))
    for claims in made:
        if isinstance(claims, RedisClaims):
            claims._lease = int(1000 * seconds)


def asked(*names: bytes) -> list[AskedClaim]:
    return [AskedClaim(name) for name in names]


async def kinds(claims: Claims, *names: bytes) -> list[ClaimState]:
    return [standing.kind for standing in await claims.take(asked(*names))]


async def test_a_claim_belongs_to_one_until_it_is_stored_or_free(make: Make) -> None:
    first, second = make(), make()
    assert await kinds(first, b"a", b"b", b"\x00:\xff") == [ClaimState.OWN] * 3
    assert await kinds(first, b"a") == [ClaimState.OWN]
    assert await kinds(second, b"a", b"b", b"\x00:\xff", b"d") == [ClaimState.HELD] * 3 + [ClaimState.OWN]
    await second.settle([], [b"a", b"b"])
    assert await kinds(second, b"a", b"b") == [ClaimState.HELD] * 2, "nobody frees what is another's"
    await first.settle([b"a"], [b"b"])
    assert await kinds(second, b"a", b"b") == [ClaimState.STORED, ClaimState.OWN]
    assert await kinds(first, b"a", b"b") == [ClaimState.STORED, ClaimState.HELD]
    assert await first.take([]) == []


async def test_the_same_claim_twice_in_one_question_is_one(make: Make) -> None:
    assert await kinds(make(), b"a", b"a") == [ClaimState.OWN, ClaimState.OWN]


async def test_what_is_said_to_be_stored_is_whoever_says_it(make: Make) -> None:
    first, second = make(), make()
    await first.settle([b"new"], [])
    await first.take(asked(b"held"))
    await second.settle([b"held"], [])
    assert await kinds(second, b"new", b"held") == [ClaimState.STORED] * 2
    await first.settle([], [b"held"])
    assert await kinds(first, b"held") == [ClaimState.STORED]


@pytest.mark.long
async def test_a_claim_lapses_and_is_taken_over_by_one_of_those_who_want_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = make(), make(), make(), make()
    lease(monkeypatch, LEASE, first)
    await first.take(asked(b"a"))
    lease(monkeypatch, PATIENCE)
    await asyncio.sleep(1.1 * LEASE)
    standings = [(await other.take(asked(b"a")))[0] for other in others]
    assert {standing.kind for standing in standings} == {ClaimState.LAPSED}
    holder = standings[0].holder
    assert holder
    again = await asyncio.gather(*(other.take([AskedClaim(b"a", holder)]) for other in others))
    assert sorted(standing.kind for (standing,) in again) == [ClaimState.OWN, ClaimState.HELD, ClaimState.HELD]
    # It is not the first one's any more, nor is it free.
    assert await first.renew([b"a"]) == [False]
    await first.settle([], [b"a"])
    assert await kinds(first, b"a") == [ClaimState.HELD]


@pytest.mark.long
async def test_whose_claim_was_another_is_not_taken_over(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = make(), make(), make()
    lease(monkeypatch, LEASE, first, second)
    await first.take(asked(b"a"))
    await asyncio.sleep(1.1 * LEASE)
    holder = (await second.take(asked(b"a")))[0].holder
    await second.take([AskedClaim(b"a", holder)])
    await asyncio.sleep(1.1 * LEASE)
    [standing] = await third.take([AskedClaim(b"a", holder)])
    assert standing.kind is ClaimState.LAPSED
    assert standing.holder not in (b"", holder)


@pytest.mark.long
async def test_who_renews_is_not_silent(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make(), make()
    lease(monkeypatch, LEASE, first)
    await first.take(asked(b"a"))
    lease(monkeypatch, PATIENCE, first)
    assert await first.renew([b"a", b"never"]) == [True, False]
    await asyncio.sleep(2 * LEASE)
    assert await kinds(second, b"a") == [ClaimState.HELD]
    assert await second.renew([b"a"]) == [False]


async def test_many_who_want_the_same_at_once(make: Make) -> None:
    gateways = [make() for _ in range(4)]
    names = [b"%d" % number for number in range(300)]

    async def want(claims: Claims, seed: int) -> list[bytes]:
        chance = random.Random(seed)
        own: list[bytes] = []
        shuffled = chance.sample(names, len(names))
        for start in range(0, len(names), 17):
            part = shuffled[start : start + 17]
            found = await claims.take(asked(*part))
            own += [name for name, standing in zip(part, found, strict=True) if standing.kind is ClaimState.OWN]
        return own

    won = await asyncio.gather(*(want(claims, seed) for seed, claims in enumerate(gateways)))
    assert sorted(name for own in won for name in own) == sorted(names)


async def test_a_name_has_one_value(make: Make) -> None:
    first, second = make(), make()
    bound = await asyncio.gather(first.bind(b"name", b"1"), second.bind(b"name", b"2"))
    assert bound[0] == bound[1]
    assert await second.bind(b"other", b"2") == b"2"
    assert await first.bind(b"name", b"3") == bound[0]


async def test_as_many_as_may_be_are_kept_and_those_are_the_newest(make: Make) -> None:
    first, second = make(), make()
    for start in range(0, 4 * MAXIMUM, 500):
        names = [b"%d" % number for number in range(start, start + 500)]
        await first.take(asked(*names))
        await first.settle(names, [])
    newest = [b"%d" % number for number in range(4 * MAXIMUM - MAXIMUM // 3, 4 * MAXIMUM)]
    assert set(await kinds(second, *newest)) == {ClaimState.STORED}
    assert await kinds(second, b"0") == [ClaimState.OWN]


@pytest.mark.parametrize("seed", range(15))
async def test_every_place_decides_by_the_same_rules(make: Make, seed: int) -> None:
    """Random steps of three holders, beside the same in the book."""
    chance = random.Random(seed)
    book, clock = Book(SECONDS, MAXIMUM), SystemClock()
    pairs = [(make(), MemoryClaims(book, clock)) for _ in range(3)]
    for _ in range(60):
        claims, model = chance.choice(pairs)
        names = [b"%d" % chance.randrange(6) for _ in range(chance.randrange(1, 4))]
        what = chance.randrange(4)
        if what < 2:
            found, expected = await claims.take(asked(*names)), await model.take(asked(*names))
            assert [each.kind for each in found] == [each.kind for each in expected]
        elif what == 2:
            assert await claims.renew(names) == await model.renew(names)
        else:
            cut = chance.randrange(len(names) + 1)
            await claims.settle(names[:cut], names[cut:])
            await model.settle(names[:cut], names[cut:])


def test_the_file_forgets_what_is_older_than_the_window() -> None:
    file = ClaimFile(Path(":memory:"), 1.0)
    life = Life(1000, MAXIMUM)
    assert file.take(life, b"a", asked(b"1"), 1000)[0].kind is ClaimState.OWN
    file.settle(b"a", [b"1"], [], 1500)
    assert file.take(life, b"b", asked(b"1"), 1999)[0].kind is ClaimState.STORED
    assert file.take(life, b"b", asked(b"1"), 2000)[0].kind is ClaimState.OWN
    assert file.bind(life, b"n", b"1", 3000) == b"1"
    assert file.bind(life, b"n", b"2", 3999) == b"1"
    assert file.bind(life, b"n", b"2", 4000) == b"2"
    file.close()
