"""What a derived stream has to give: functions over the whole input at once, written without an engine.

An event is `(time, key, number)`, a partition a list of them. The number may be missing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

Event = tuple[int, str, Any]
REFUSED, CANARY = "refused", "canary"
"""Keys of events that `where` refuses, and of canaries."""
Partitions = list[list[Event]]
NEVER = -(10**18)
"""Before every time."""


class Appeared(list[Event]):
    """A partition that was not there before: its clock begins as far as the others had come, and `late`."""

    def __init__(self, events: list[Event], clock: int) -> None:
        super().__init__(events)
        self.clock = clock


ABSENT = Appeared([], 10**18)
"""A partition that is not there, and that nothing waits for."""


Figures = tuple[int, Any, Any]
"""Of a group: how many events, the sum of their numbers, the greatest of them."""


def figures(events: list[Event]) -> Figures:
    """Exactly, and rounded once."""
    numbers = [number for _, _, number in events if number is not None]
    total: Any = None
    if numbers:
        exact = sum(map(Fraction, numbers))
        total = float(exact) if any(isinstance(number, float) for number in numbers) else int(exact)
    return len(events), total, max(numbers, default=None)


def _ends(partitions: Partitions, late: int) -> int:
    return min(max([_begun(part), *(time for time, _, _ in part)]) for part in partitions) - late


def _begun(part: list[Event]) -> int:
    return part.clock if isinstance(part, Appeared) else NEVER


def _judged(partitions: Partitions) -> list[tuple[Event, int, tuple[int, int]]]:
    """Each event with the clock of its partition before it, and its place."""
    found = []
    for number, part in enumerate(partitions):
        own = _begun(part)
        for offset, event in enumerate(part):
            if event[1] not in (REFUSED, CANARY):
                found.append((event, own, (number, offset)))
            own = max(own, event[0])
    return found


Told = Counter[tuple[Any, ...]]
Late = set[tuple[int, int]]


def windows(partitions: Partitions, late: int, size: int, step: int) -> tuple[Told, Late]:
    groups: dict[tuple[int, str], list[Event]] = defaultdict(list)
    refused: Late = set()
    for event, own, place in _judged(partitions):
        starts = range(-(-(event[0] - size + 1) // step) * step, event[0] + 1, step)
        ends = [start + size for start in starts]
        open_ends = [end for end in ends if end > own - late]
        for end in open_ends:
            groups[end, event[1]].append(event)
        if not open_ends:
            refused.add(place)
    told = Counter(
        (key, end - size, end, *figures(group))
        for (end, key), group in groups.items()
        if end <= _ends(partitions, late)
    )
    return told, refused


def _in_time(partitions: Partitions, late: int) -> tuple[list[tuple[Event, tuple[int, int]]], Late]:
    kept, refused = [], set()
    for event, own, place in _judged(partitions):
        if event[0] <= own - late:
            refused.add(place)
        else:
            kept.append((event, place))
    return sorted(kept, key=lambda one: (one[0][0], one[1])), refused


def sessions(partitions: Partitions, late: int, gap: int) -> tuple[Told, Late]:
    kept, refused = _in_time(partitions, late)
    by_key: dict[str, list[list[Event]]] = defaultdict(list)
    for event, _ in kept:
        runs = by_key[event[1]]
        if runs and event[0] < runs[-1][-1][0] + gap:
            runs[-1].append(event)
        else:
            runs.append([event])
    told: Told = Counter()
    for key, runs in by_key.items():
        for run in runs:
            if run[-1][0] + gap <= _ends(partitions, late):
                told[key, run[0][0], run[-1][0] + gap, *figures(run)] += 1
    return told, refused


def sliding(partitions: Partitions, late: int, size: int, holds: Callable[[Figures], bool] | None) -> tuple[Told, Late]:
    kept, refused = _in_time(partitions, late)
    by_key: dict[str, list[Event]] = defaultdict(list)
    for event, _ in kept:
        by_key[event[1]].append(event)
    told: Told = Counter()
    for key, events in by_key.items():
        before: tuple[int, bool] | None = None
        for time in sorted({event[0] for event in events if event[0] <= _ends(partitions, late)}):
            found = figures([event for event in events if time - size <= event[0] <= time])
            true = holds is None or holds(found)
            if holds is None or (true and not (before is not None and before[1] and before[0] >= time - size)):
                told[key, time - size, time, *found] += 1
            before = time, true
    return told, refused


def _strictly(partitions: Partitions, late: int) -> tuple[list[tuple[Event, tuple[int, int]]], Late]:
    """In the order of time, those that are not late: an event of the very time that is waited for is not."""
    judged = _judged(partitions)
    refused = {place for event, own, place in judged if event[0] < own - late}
    kept = [(event, place) for event, _, place in judged if place not in refused]
    return sorted(kept, key=lambda one: (one[0][0], one[1])), refused


def latest(partitions: Partitions, late: int) -> tuple[Told, Late]:
    kept, refused = _strictly(partitions, late)
    end = _ends(partitions, late)
    return Counter((key, time, time, place) for (time, key, _), place in kept if time < end), refused


def lookup(partitions: Partitions, late: int) -> tuple[Told, Late]:
    """The last partition is that of the state, whose rows are their places."""
    kept, refused = _strictly(partitions, late)
    end, state_partition, told = _ends(partitions, late), len(partitions) - 1, Counter[tuple[Any, ...]]()
    for (time, key, _), place in kept:
        if place[0] != state_partition and time < end:
            rows = [
                other
                for (then, named, _), other in kept
                if other[0] == state_partition and named == key and then <= time
            ]
            told[key, time, time, (*place, rows[-1][1] if rows else None)] += 1
    return told, refused


def dedup(partitions: Partitions, late: int, within: int) -> tuple[Told, Late]:
    kept, refused = _in_time(partitions, late)
    told: Told = Counter()
    for index, (event, place) in enumerate(kept):
        earlier = [other for other, _ in kept[:index] if other[1] == event[1] and other[0] >= event[0] - within]
        if not earlier and event[0] <= _ends(partitions, late):
            told[event[1], event[0], event[0], place] += 1
    return told, refused
