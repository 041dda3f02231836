"""The window remembers for its time, and is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.window import Window


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 20)), max_size=60))
def test_nothing_is_forgotten_within_its_time(steps: list[tuple[float, int]]) -> None:
    window = Window(10.0, 1000)
    now = 100.0
    added: dict[int, float] = {}
    for pause, thing in steps:
        now += pause
        window.add(thing, now)
        added[thing] = now
        assert all(window.has(other, now) for other, when in added.items() if now - when <= 10)
        assert not any(window.has(other, now) for other, when in added.items() if now - when > 15)


def test_the_number_is_bounded_and_the_newest_are_kept() -> None:
    window = Window(1e9, 300)
    for number in range(10_000):
        window.add(("stream", str(number)), 1.0)
        assert len(window) <= 300
    assert all(window.has(("stream", str(number)), 1.0) for number in range(9_800, 10_000))
    assert not window.has(("stream", "9000"), 1.0)


def test_a_window_of_no_time_remembers_the_newest_alone() -> None:
    window = Window(0.0, 300)
    window.add("a", 1.0)
    window.add("b", 1.0)
    assert not window.has("a", 1.0)
