"""Pieces of work are put down whenever they are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import pytest

from gateway.eventlog.assignment import Claims
from gateway.eventlog.memory.log import MemoryLog
from gateway.process.pieces import Piece, Pieces
from tests.kit.waiting import PATIENCE, becomes


class Rounds:
    """A membership whose rounds the test makes; what is held is free once it is put down."""

    def __init__(self) -> None:
        self.claims = Claims()
        self.on_change: Callable[[], None] = lambda: None
        self.released = asyncio.Event()

    @property
    def given(self) -> frozenset[str]:
        return self.claims.given

    @property
    def held(self) -> frozenset[str]:
        return self.claims.claimant.holds

    def want(self, pieces: Collection[str]) -> None:
        self.claims.want(pieces)

    def release(self, piece: str) -> None:
        if self.claims.release(piece):
            self.released.set()

    async def close(self) -> None:
        """Nothing to leave."""

    def round(self, *pieces: str) -> None:
        if self.claims.give(frozenset(pieces), self.claims.generation + 1):
            self.on_change()


class Divided(MemoryLog):
    """A log that says who does what as the test does."""

    def __init__(self, rounds: Rounds) -> None:
        super().__init__()
        self._rounds = rounds

    async def join(self, on_change: Callable[[], None]) -> Rounds:  # type: ignore[override]
        self._rounds.on_change = on_change
        return self._rounds


async def until_stop(stop: asyncio.Event) -> None:
    await stop.wait()


@pytest.mark.parametrize("begun", [True, False])
async def test_what_is_taken_back_is_put_down_whether_it_was_begun_or_not(begun: bool) -> None:
    """Otherwise nobody else would ever be given it."""
    rounds, stop = Rounds(), asyncio.Event()
    pieces = Pieces(Divided(rounds))
    await pieces.take({name: Piece(None, until_stop) for name in "ab"})
    working = asyncio.create_task(pieces.run(stop))
    await becomes(lambda: rounds.claims.wants)
    rounds.round("a")
    await becomes(lambda: pieces.doing == {"a"})
    rounds.round("a", "b")
    if begun:
        await becomes(lambda: pieces.doing == {"a", "b"})
    # The process may take notice of this round and the one before together.
    rounds.round("a")
    async with asyncio.timeout(PATIENCE):
        await rounds.released.wait()
    assert rounds.held == pieces.doing == {"a"}
    stop.set()
    await working
