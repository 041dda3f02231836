"""The processes that work on a log divide the pieces of work, on every log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.eventlog.port import EventLog, Membership
from tests.eventlog.kit import Bench
from tests.eventlog.unhurried import MEMBER

SECONDS = 4 * MEMBER
"""Until what is sure to come counts as missing: one that has left without a word that was heard is waited for, and
Kafka's rounds take some."""


class Member:
    """A process that does what it is given, and puts it down when it is told to."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.doing: frozenset[str] = frozenset()
        self.membership: Membership

    def settle(self) -> None:
        for piece in self.membership.held - self.membership.given:
            self.membership.release(piece)
        self.doing = self.membership.given


@asynccontextmanager
async def joined(log: EventLog, pieces: str) -> AsyncIterator[Member]:
    member = Member()
    member.membership = await log.join(member.changed.set)
    member.membership.want(pieces)
    try:
        yield member
    finally:
        await member.membership.close()


async def settled(*members: Member, expected: set[int], pieces: str = "1234") -> None:
    """Wait until the pieces are divided into so many each, and no two ever do the same."""
    async with asyncio.timeout(SECONDS):
        while True:
            for member in members:
                member.settle()
            doing = [piece for member in members for piece in member.doing]
            assert len(doing) == len(set(doing)), "two do the same"
            if set(doing) == set(pieces) and {len(member.doing) for member in members} == expected:
                return
            await asyncio.sleep(0.05)


@pytest.mark.long
async def test_one_has_all_and_two_divide_it(bench: Bench) -> None:
    async with joined(bench.log, "1234") as first:
        await settled(first, expected={4})
        async with joined(bench.log, "1234") as second:
            await settled(first, second, expected={2})
        # It has left, and is not waited for.
        await settled(first, expected={4})


@pytest.mark.long
async def test_nobody_is_given_what_it_does_not_want(bench: Bench) -> None:
    async with joined(bench.log, "12") as first, joined(bench.log, "34") as second:
        await settled(first, second, expected={2})
        assert first.doing == {"1", "2"}
        first.membership.want("123")
        second.membership.want("4")
        await settled(first, second, expected={3, 1})


async def test_a_piece_that_was_taken_over_is_given_again(bench: Bench) -> None:
    async with joined(bench.log, "12") as first:
        await settled(first, expected={2}, pieces="12")
        first.membership.release("1")
        await settled(first, expected={2}, pieces="12")


async def test_one_that_wants_nothing_any_more_lets_others_run(bench: Bench) -> None:
    """And the others have what it had."""
    async with joined(bench.log, "12") as first:
        await settled(first, expected={2}, pieces="12")
        async with joined(bench.log, "12") as second:
            first.membership.want("")
            await settled(first, second, expected={0, 2}, pieces="12")
