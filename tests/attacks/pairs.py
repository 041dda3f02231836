"""Random expressions against random events, in a process of its own, so that one that hangs can be told and ended.

    python -m tests.attacks.pairs SEED PAIRS

It says a line `trying EXPRESSION` before each expression, as JSON, and at the end what it counted, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from gateway.errors import InvalidExpression
from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject
from tests.attacks.grammar import Grammar
from tests.speed import slowness

EVENTS = 200
"""Each expression is asked about so many."""
COMPILE_SECONDS = 0.1
"""Of the processor's time, that a compilation may take at the most, on one as fast as most (`tests.speed`)."""
EVENT_SECONDS = 0.05
"""The same, that an expression may take on one event. `/healthz` has to be answered within five times as much."""
TRIES = 3
"""What takes longer is tried again: the least time counts."""


def least(call: Callable[[], object], bound: float) -> float:
    """CPU seconds of a call; of the fastest of some where it took too long."""
    taken = bound
    for _ in range(TRIES):
        begun = time.thread_time()
        call()
        taken = min(taken, time.thread_time() - begun) if taken < bound else time.thread_time() - begun
        if taken < bound:
            break
    return taken


def refused(text: str) -> bool:
    """Whether it is no filter."""
    try:
        compile_filter(text)
    except InvalidExpression:
        return True
    return False


def main(seed: int, pairs: int) -> None:
    """Try, and tell. Raises AssertionError where something takes too long."""
    grammar = Grammar(seed)
    events = [grammar.event() for _ in range(EVENTS)]
    counted = {"pairs": 0, "expressions": 0, "refused": 0, "matches": 0}
    worst = {"compile": 0.0, "event": 0.0}
    while counted["pairs"] < pairs:
        text = grammar.expression()
        print("trying", json.dumps(text), flush=True)  # noqa: T201
        counted["expressions"] += 1
        taken = least(lambda: refused(text), COMPILE_SECONDS)  # noqa: B023
        worst["compile"] = max(worst["compile"], taken)
        assert taken < COMPILE_SECONDS or taken < COMPILE_SECONDS * slowness(), f"{taken:.3f} s to compile {text}"
        if refused(text):
            counted["refused"] += 1
            continue
        found = compile_filter(text)
        for number, event in enumerate(events):
            begun = time.thread_time()
            matched = found.matches(Subject(event, "t", 0, number, 7, b"key"))
            taken = time.thread_time() - begun
            if taken > EVENT_SECONDS:
                again = lambda: found.matches(Subject(event, "t", 0, 1, 7, b"key"))  # noqa: B023, E731
                taken = least(again, EVENT_SECONDS)
                assert taken < EVENT_SECONDS * slowness(), f"{taken:.3f} s on event {number} of {text}"
            worst["event"] = max(worst["event"], taken)
            counted["matches"] += matched
        counted["pairs"] += EVENTS
    told = {name: f"{seconds * 1000:.1f} ms" for name, seconds in worst.items()}
    print(json.dumps({**counted, **told, "seed": seed}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
