"""How much of what can be tried is tried: the quick loop takes samples, the long run takes its time."""

from __future__ import annotations

import os

from hypothesis import settings

SOAK_VARIABLE = "GATEWAY_TEST_SOAK"
"""The environment variable that asks for the long form of the tests of faults (`scripts/soak`)."""

USUAL = 100
"""Examples of a property in the long run, where it does not say how many."""


def examples(number: int) -> int:
    """So many in the long run, and as much fewer in the quick loop as that profile asks for."""
    return max(1, number * settings().max_examples // USUAL)


def lasting(short: int, soak: int) -> int:
    """How long, or how many, a fault is in the usual run, and in the soak."""
    return soak if os.environ.get(SOAK_VARIABLE) else short
