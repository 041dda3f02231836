"""Time as derived streams have it: that of the events, by each partition's own newest. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from gateway.intake.validate import time_of_value
from gateway.times import iso_time

BEGINNING = -(2**63)
"""Before every time; the clock of a partition from which nothing was read."""
_MINUTES = 4_096
"""Minutes that are remembered: events come about in the order of time."""


def time_reader(path: str | None) -> Callable[[dict[str, Any]], int | None]:
    """A function for the time of an event (ms), as the stream's `timestamp_field` has it, else `meta.dt`; it gives
    None where there is none, or none that can be read."""
    names = tuple((path or "meta.dt").split("."))
    minutes: dict[str, int] = {}

    def read(event: dict[str, Any]) -> int | None:
        found: Any = event
        for name in names:
            if found.__class__ is not dict:
                return None
            found = found.get(name)
        if found.__class__ is not str or len(found) != 24 or not found.isascii():
            return time_of_value(found)
        # The commonest form, 2026-01-31T12:00:00.000Z, is read by its minute.
        minute, seconds, fraction = minutes.get(found[:17]), found[17:19], found[20:23]
        if minute is None:
            if len(minutes) >= _MINUTES:
                minutes.clear()
            start = time_of_value(found[:17] + "00.000Z")
            if start is not None and found[16] == ":":
                minutes[found[:17]] = start
        elif found[19] == "." and found[23] == "Z" and seconds.isdigit() and fraction.isdigit() and seconds < "60":
            return minute + int(seconds) * 1_000 + int(fraction)
        return time_of_value(found)

    return read


_written: dict[int, str] = {}
"""Minutes as they are written, up to their seconds."""


def written_time(time: int) -> str:
    """`iso_time` of milliseconds since 1970, in a third of the time: rows come about in the order of time."""
    minute, rest = divmod(time, 60_000)
    head = _written.get(minute)
    if head is None:
        text = iso_time(minute * 60_000)
        if len(text) != 24 or text[10] != "T":
            return iso_time(time)
        if len(_written) >= _MINUTES:
            _written.clear()
        head = _written[minute] = text[:17]
    return f"{head}{rest // 1_000:02}.{rest % 1_000:03}Z"


class Openings:
    """Where a replay of one partition has to begin, so that all that is open is known again.

    What an event began is open until a time. Of two events the later one counts only where it is open for longer: so
    few are kept, in the order of both.
    """

    __slots__ = ("_grain", "_kept")

    def __init__(self, grain: int) -> None:
        """Times are rounded up to `grain` milliseconds, which bounds how many are kept."""
        self._grain = grain
        self._kept: deque[tuple[int, int, int]] = deque()

    def note(self, until: int, offset: int, newest: int) -> None:
        """What the record at this offset began is open until then (ms); the partition's clock was at `newest` (ms)
        before it."""
        kept = self._kept
        if not kept or until > kept[-1][0]:
            kept.append((-(-until // self._grain) * self._grain, offset, newest))

    def first(self, low: int) -> tuple[int, int] | None:
        """The first offset that is still needed now that all partitions are at `low` (ms), and the clock before it."""
        kept = self._kept
        while kept and kept[0][0] <= low:
            kept.popleft()
        return kept[0][1:] if kept else None


class Opened(Protocol):
    """What tells of one partition where a replay has to begin."""

    def first(self, low: int) -> tuple[int, int] | None:
        """The first offset that is still needed now that all is told up to `low`, and the partition's clock before it;
        None where nothing is."""
        ...


class Place:
    """One partition: its clock (the newest time in it), the next offset, and where a replay begins."""

    __slots__ = ("from_start", "newest", "next", "openings", "rank")

    def __init__(self, rank: int, openings: Any, from_start: bool) -> None:
        self.rank = rank
        """Its place among all, by topic in the order of the declaration: of two records of one time, which is first."""
        self.openings = openings
        """The operator's own, an `Opened`."""
        self.from_start = from_start
        """Whether all of it is needed, being a state that is looked into."""
        self.newest = BEGINNING
        self.next = 0
