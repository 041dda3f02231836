"""What is remembered of filters that take too much: little, of one address, and of that filter alone."""

from __future__ import annotations

import pytest

from gateway.errors import FilterExhausted, Problem
from gateway.feed.selection import Selection
from gateway.filters.compile import compile_filter
from gateway.routes import exhausted
from gateway.routes.exhausted import REMEMBERED, SECONDS, ExhaustedFilters
from tests.kit.clock import LoopClock


def _selection(text: str, topic: str = "a") -> Selection:
    return Selection(frozenset([topic]), compile_filter(text), None, False)


def test_others_are_not_refused_and_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clock = LoopClock()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    ended = ExhaustedFilters(clock)
    asked = _selection("event.a")
    for number in range(3 * REMEMBERED):
        ended.remember(str(number), asked, FilterExhausted(10, 60, 100))
    assert len(ended._ended) == exhausted.REMEMBERED
    last = str(3 * REMEMBERED - 1)
    with pytest.raises(Problem):
        ended.check(last, asked)
    for address, selection in (("x", asked), (last, _selection("event.b")), (last, _selection("event.a", "b"))):
        ended.check(address, selection)
    now = SECONDS
    ended.check(last, asked)
