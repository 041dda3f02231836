"""Worlds of records whose times are any number of 64 bits: -1, other negative ones, microseconds, the year 3000.

Positions by offset do not care, so everybody ends with just what the log has, as in the worlds of losses: nothing is
lost and nothing comes twice, over any number of connections, and where retention takes something.
"""

from __future__ import annotations

from tests.simulation.losses import World
from tests.simulation.process import EPOCH

TIMES = (-1, -1, -1, -7, 0, 1, -(1 << 63), (1 << 63) - 1, EPOCH * 1000, 32_503_680_000_000)


class OddTimes(World):
    """Nothing is cut here: an id whose record is gone says by its time what it means, and these say nothing."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.kinds = ["append", "append", "append", "delete", "down"]

    def time_of(self, number: int) -> int:
        usual = super().time_of(number)
        return self.random.choice([usual, usual, usual, *TIMES])
