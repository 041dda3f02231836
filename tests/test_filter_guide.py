"""Each expression of the cookbook compiles, and finds events of the sample feed, but not all where it is to choose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.wiki import WikiSample
from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject

GUIDE = (Path(__file__).parent.parent / "docs/FILTERS.md").read_text()
EXPRESSIONS = "".join(re.findall(r"^```cel\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)).splitlines()
EVERYTHING = {
    'event.meta.domain.endsWith(".example")',
    'event["$schema"] == "/wiki/change/1.0.0"',
    'event.meta.exists(name, name == "request_id")',
    'topic == "wiki.change" && partition == 0',
    "timestamp > 1700000000000",
    "key == null",
}
"""What holds of every change of the sample."""
START = 1_790_000_000_000
EVENTS = 5000


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    """Changes as the demo makes them."""
    sample = WikiSample(7, START)
    events: list[dict[str, Any]] = [sample.next(START + 50 * number)[0] for number in range(EVENTS)]
    return [Subject(event, "wiki.change", 0, place, START + 50 * place, None) for place, event in enumerate(events)]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_it_finds_events_of_the_sample(expression: str, subjects: list[Subject]) -> None:
    found = sum(map(compile_filter(expression).matches, subjects))
    assert found > 0
    assert (found == len(subjects)) == (expression in EVERYTHING)


def test_what_fails_is_not_matched_and_its_opposite_neither(subjects: list[Subject]) -> None:
    """What the guide says of fields that may be missing."""
    larger, negated = compile_filter("event.length.new > 500"), compile_filter("!(event.length.new > 500)")
    without = [subject for subject in subjects if "length" not in subject.event]
    assert without
    assert not any(larger.matches(subject) or negated.matches(subject) for subject in without)
