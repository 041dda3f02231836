"""A stream asks its filter in steps, pays for it, and is ended where the filter always needs too much."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.cooperative import FairLock
from gateway.errors import FilterExhausted
from gateway.feed import feed as feed_module
from gateway.feed.cache import BlockCache
from gateway.feed.judge import ROUND, Effort, Judge
from gateway.feed.selection import Selection
from gateway.filters.compile import FilterBounds, compile_filter
from gateway.filters.fields import compile_fields
from gateway.hub.history_segment import HistorySegment
from gateway.model.event import parse_again
from gateway.model.record import Record
from tests.feed.test_feed import feed_of, ring_of

DEAR = "event.l.all(x, event.l.all(y, x == y))"


def selection(text: str = DEAR, steps: int = 2_000) -> Selection:
    return Selection(frozenset({"t"}), compile_filter(text, FilterBounds(filter_max_steps=steps)))


def history_segment(count: int) -> HistorySegment:
    value = b'{"l":[' + b",".join([b"1"] * 200) + b"]}"
    records = [Record("t", 0, offset, 0, None, value, ()) for offset in range(count)]
    return HistorySegment(1, [], records, set(), {}, 0)


async def test_a_dear_filter_lets_others_run_and_is_paid_for() -> None:
    lock, paid, rounds = FairLock(), [0], 0

    def charge(steps: int) -> float:
        paid[0] += steps
        return 7.0

    async def live() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    chosen = selection()
    judge = Judge(chosen, lock, charge)
    running = asyncio.create_task(live())
    async with lock:
        found, effort = await judge.history_segment(chosen, history_segment(60))
    running.cancel()
    judge.count(effort)
    assert found == [None] * 60
    assert effort == Effort(60, 60, 60 * 2_000)
    assert paid[0] == effort.steps
    assert judge.owed == 7.0
    # About a tenth of a millisecond each, and half of one between two turns of five rounds.
    assert rounds >= 20


async def test_a_filter_that_always_needs_too_much_ends_its_stream() -> None:
    judge = Judge(selection(), FairLock(), None)
    judge.count(Effort(ROUND - 1, ROUND - 1, 1))
    with pytest.raises(FilterExhausted, match=r"2,000 steps \(filter_max_steps\) on 100 of the last 100"):
        judge.count(Effort(1, 1, 1))


async def test_one_that_needs_too_much_on_some_events_does_not() -> None:
    judge = Judge(selection(), FairLock(), None)
    for _ in range(10):
        judge.count(Effort(ROUND, ROUND // 2, 1))


async def test_without_a_filter_nothing_is_paid() -> None:
    unfiltered = Selection(frozenset({"t"}))
    judge = Judge(unfiltered, FairLock(), lambda steps: 1.0)
    found, effort = await judge.history_segment(unfiltered, history_segment(2))
    judge.count(effort)
    assert len(found) == 2
    assert found[0] is not None
    assert judge.owed == 0
    assert await judge.segment(cast(Any, None), cast(Any, None)) is None


@pytest.mark.parametrize("capacity", [0, 10**7])
async def test_who_waits_for_the_same_segment_has_its_events_parsed_once(
    monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    ring, cache, lock = ring_of(2, records=3), BlockCache(capacity), FairLock()
    parsed: list[bytes] = []

    def counted(data: bytes) -> dict[str, Any]:
        parsed.append(data)
        return parse_again(data)

    monkeypatch.setattr(feed_module, "parse_again", counted)

    async def follow(text: str) -> list[int]:
        chosen = Selection(frozenset({"alpha"}), compile_filter(text))
        feed, judge, sent = feed_of(ring, cache, chosen), Judge(chosen, lock, None), []
        for number in range(2):
            segment = ring.segment(number)
            assert segment is not None
            judged = await judge.segment(feed, segment)
            assert judged is not None
            sent += list(judged.chosen)
        return sent

    sent = await asyncio.gather(*(follow(f"event.n % 3 == {number}") for number in range(3)))
    assert sent == [[0, 0], [1, 1], [2, 2]]
    assert len(parsed) == 2 * 4
    await follow("event.n == 17")
    # Who comes later, and alone, finds what the cache has room for.
    assert len(parsed) == (2 * 4 if capacity else 4 * 4)


async def test_what_is_remembered_of_a_long_filter_is_as_short_as_of_a_short_one() -> None:
    """An entry counts with the same bytes, whoever asks, and anybody may ask."""
    ring, cache, text = ring_of(1), BlockCache(10**7), f"event.n == 1 || event.text == '{'long' * 900}'"
    for chosen in (
        Selection(frozenset({"alpha"}), compile_filter(text)),
        Selection(frozenset({"alpha"}), None, compile_fields("n," + "long" * 900)),
    ):
        feed, segment = feed_of(ring, cache, chosen), ring.segment(0)
        assert segment is not None
        await Judge(chosen, FairLock(), None).segment(feed, segment)
        assert feed.block(0) is not None
    assert len(list(cache.entries())) >= 6
    assert all(len(repr(key)) < 300 for key, _ in cache.entries())
