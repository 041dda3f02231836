"""How much of what can be tried is tried: the quick loop takes samples, the long run takes its time."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100
"""Examples of a property in the long run, where it does not say how many."""


def examples(number: int) -> int:
    """So many in the long run, and as much fewer in the quick loop as that profile asks for."""
    return max(1, number * settings().max_examples // USUAL)
