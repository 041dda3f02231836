"""What sessions hold for clients that do not read."""

from __future__ import annotations

from gateway.subscription.held import Held


async def test_who_would_go_over_the_bound_waits_for_those_who_came_before() -> None:
    held = Held(100)
    assert held.take(60) is None
    large, small = held.take(50), held.take(10)
    assert large is not None
    assert small is not None, "it would overtake"
    assert (held.size, held.waits) == (60, 2)
    held.give(60)
    assert large.done()
    assert small.done()
    assert held.size == 60


async def test_one_alone_may_hold_more() -> None:
    held = Held(100)
    assert held.take(1000) is None
    room = held.take(1)
    assert room is not None
    held.give(1000)
    assert room.done()


async def test_who_leaves_holds_nothing() -> None:
    held = Held(100)
    assert held.take(100) is None
    first, second = held.take(70), held.take(30)
    assert first is not None
    assert second is not None
    held.withdraw(70, first)
    held.give(100)
    assert second.done()
    held.withdraw(30, second)
    assert held.size == 0
