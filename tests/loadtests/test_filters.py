"""The filters of the measurement mean in Python what they mean in the gateway."""

from __future__ import annotations

import pytest

from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject
from gateway.model.event import parse_event
from loadtests.events import wiki, wiki_events
from loadtests.filters import FILTERS, expected

EVENTS = 300


@pytest.mark.long
@pytest.mark.parametrize("kind", FILTERS)
def test_a_filter_is_the_same_in_python(kind: str) -> None:
    payload, make = wiki(), wiki_events()
    events = [(parse_event(payload(seq)), make(seq)) for seq in range(EVENTS)]
    for each in FILTERS[kind](10_000)[:: 10_000 // 60]:
        compiled = compile_filter(each.expression)
        for event, plain in events:
            found = compiled.matches(Subject(event, "load", 0, 0, 0, None))
            assert found == ((each.wiki is None or plain["wiki"] == each.wiki) and each.matches(plain))


@pytest.mark.long
@pytest.mark.parametrize(("kind", "some"), [("indexed", True), ("unindexed", True), ("nothing", False)])
def test_filters_let_through_what_they_are_meant_to(kind: str, some: bool) -> None:
    counts = expected(FILTERS[kind](10_000), EVENTS)
    assert len(counts) == 10_000
    assert bool(sum(counts)) == some
    assert max(counts) < EVENTS / 2


def test_filters_are_different() -> None:
    assert len({each.expression for each in FILTERS["indexed"](10_000)}) == 10_000
    assert len({each.expression for each in FILTERS["unindexed"](1000)}) == 1000
