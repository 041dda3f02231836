"""The buckets of time that events are counted in. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_BUCKETS = 1_000
USUAL_BUCKETS = 60
_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_STEP = re.compile(r"(\d{1,12})(ms|s|m|h|d|w)", re.ASCII)
_ROUND = (
    *(count for count in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(1_000 * count for count in (1, 2, 5, 10, 15, 30)),
    *(60_000 * count for count in (1, 2, 5, 10, 15, 30)),
    *(3_600_000 * count for count in (1, 2, 3, 6, 12)),
    *(86_400_000 * count for count in (1, 2)),
    *(604_800_000 * count for count in (1, 2, 4, 13, 26, 52)),
)
"""Steps in milliseconds that people count in."""


class Grid(NamedTuple):
    """From `start` to just before `end`, in buckets of `step`; all in milliseconds since the epoch. `start` is a
    multiple of `step`, `end` need not be one: the last bucket may be shorter."""

    start: int
    end: int
    step: int

    @property
    def length(self) -> int:
        """The number of buckets."""
        return -(-(self.end - self.start) // self.step)

    def bucket(self, time: int) -> int:
        """The bucket of a time within the grid."""
        return (time - self.start) // self.step


def by_step(since: int, until: int, step: int) -> Grid:
    """The buckets of this step that cover a span."""
    return Grid(since // step * step, until, step)


def by_buckets(since: int, until: int, buckets: int) -> Grid:
    """Buckets of a step that people count in: at most so many, or one more where the span begins within one."""
    least = -(-(until - since) // buckets)
    step = next((one for one in _ROUND if one >= least), None)
    if step is None:
        longest = _ROUND[-1]
        step = -(-least // longest) * longest
    return by_step(since, until, step)


def read_step(text: str) -> int | None:
    """A step such as `30s`, `1m` or `1h` in milliseconds; None for what is none."""
    match = _STEP.fullmatch(text.strip())
    step = int(match[1]) * _UNITS[match[2]] if match else 0
    return step if 0 < step < 2**63 else None


def written_step(step: int) -> str:
    """The same in its largest whole unit."""
    unit = max((unit for unit in _UNITS if step % _UNITS[unit] == 0), key=_UNITS.__getitem__)
    return f"{step // _UNITS[unit]}{unit}"
