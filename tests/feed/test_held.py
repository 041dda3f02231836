"""What is held for clients that do not take it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.feed import held as held_module
from gateway.feed.held import Held, Holding
from tests.simulation.loop import in_virtual_time


class Taker:
    """The connection of a client, which holds what it is told to."""

    def __init__(self, unsent: int = 0) -> None:
        self.waiting = unsent
        self.was_cut = False

    def unsent(self) -> int:
        return self.waiting

    def cut(self) -> None:
        self.was_cut = True


def holding(held: Held, taker: Taker | None = None) -> Holding:
    made = Holding(held)
    made.connection = taker or Taker()
    return made


async def test_who_would_go_over_the_bound_waits_for_those_who_came_before() -> None:
    held = Held(100)
    one, two, three = (holding(held) for _ in range(3))
    assert held.take(one, 60) is None
    large, small = held.take(two, 50), held.take(three, 10)
    assert large is not None
    assert small is not None, "it would overtake"
    assert (held.size, held.waits) == (60, 2)
    one.release()
    assert large.done()
    assert small.done()
    assert held.size == 60


async def test_one_alone_may_hold_more() -> None:
    held = Held(100)
    one, two = holding(held), holding(held)
    assert held.take(one, 1000) is None
    room = held.take(two, 1)
    assert room is not None
    one.release()
    assert room.done()


async def test_who_leaves_holds_nothing() -> None:
    held = Held(100)
    one, two, three = (holding(held) for _ in range(3))
    assert held.take(one, 100) is None
    first, second = held.take(two, 70), held.take(three, 30)
    assert first is not None
    assert second is not None
    held.withdraw(two, 70, first)
    one.release()
    assert second.done()
    held.withdraw(three, 30, second)
    assert held.size == 0


async def test_what_connections_have_not_sent_is_counted_until_they_have() -> None:
    held, taker = Held(100), Taker(40)
    one, two = holding(held, taker), holding(held)
    one.count(10)
    assert held.size == 50
    one.count()
    assert held.size == 40
    room = held.take(two, 80)
    assert room is not None
    taker.waiting = 0
    held.press()
    assert room.done()
    assert held.size == 80


async def test_of_ten_thousand_that_take_nothing_the_oldest_are_cut_off() -> None:
    held = Held(1_000_000)
    takers = [Taker() for _ in range(10_000)]
    clients = [holding(held, taker) for taker in takers]
    for taker, client in zip(takers, clients, strict=True):
        taker.waiting = 65_536
        client.count()
        assert held.size <= held.capacity + 65_536
    left = [taker.was_cut for taker in takers].index(False)
    assert all(taker.was_cut for taker in takers[:left])
    assert not any(taker.was_cut for taker in takers[left:])
    assert held.cut == left
    for client in clients:
        client.close()
    assert held.size == 0


async def test_who_takes_something_is_not_cut_off_before_who_takes_nothing() -> None:
    held = Held(100)
    stuck, slow, other = Taker(70), Taker(60), Taker(60)
    first, second, third = holding(held, slow), holding(held, stuck), holding(held, other)
    first.count()
    second.count()
    slow.waiting = 40
    first.count()
    third.count()
    assert (stuck.was_cut, slow.was_cut, other.was_cut) == (True, False, False)
    assert held.size == 100


async def test_what_was_sent_meanwhile_is_no_reason_to_cut_anybody_off() -> None:
    held = Held(100)
    quick, other = Taker(90), Taker(90)
    first, second = holding(held, quick), holding(held, other)
    first.count()
    quick.waiting = 0
    second.count()
    third = Taker(90)
    other.waiting = 5
    holding(held, third).count()
    assert not quick.was_cut
    assert not other.was_cut
    assert held.size == 95


@in_virtual_time
async def test_who_is_stuck_is_cut_off_where_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "STUCK_SECONDS", 0.02)
    monkeypatch.setattr(held_module, "LOOK_SECONDS", 0.0)
    held, taker = Held(100), Taker(90)
    one, two = holding(held, taker), holding(held)
    one.count()
    held.press()
    room = held.take(two, 50)
    assert room is not None
    held.press()
    assert held.cut == 0
    async with asyncio.timeout(5):
        while not room.done():
            await asyncio.sleep(0.01)
            held.press()
    assert taker.was_cut
    assert held.size == 50


async def test_nobody_is_cut_off_where_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(held_module, "LOOK_SECONDS", 0.0)
    held, taker = Held(100), Taker(90)
    holding(held, taker).count()
    held.press()
    assert not taker.was_cut
