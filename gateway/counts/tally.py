"""Tallies of parts of a partition, and what follows from them for the whole. Pure.

A partition is cut into blocks of fixed offsets. The content of a block never changes, so that its tally may be kept.
Where there are more blocks than may be looked at, some are, at even distances. The records between two of them count
as if they were like these, spread evenly over the time between them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.counts.grid import Grid

BLOCK = 256
"""Offsets of a block."""
MOST_VALUES = 10_000
"""Different values that are counted; any others that come later are not, and the answer says so."""
ENTRY_BYTES = 100
"""What an entry of a dictionary takes, about."""

Values = dict[bytes, int]
"""How often a value came, by its JSON."""


@dataclass(slots=True)
class Tally:
    """Of one block: `looked` records were looked at, of which `counts` match, by bucket since the epoch; `first` and
    `last` are the least and the greatest timestamp of all of them."""

    looked: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    values: Values = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    def look(self, timestamp: int) -> None:
        """A record was looked at."""
        self.looked += 1
        self.first = timestamp if self.first is None else min(self.first, timestamp)
        self.last = timestamp if self.last is None else max(self.last, timestamp)

    def count(self, bucket: int, values: Iterable[bytes]) -> None:
        """It matches, and has these values."""
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        for value in values:
            self.values[value] = self.values.get(value, 0) + 1

    def within(self, grid: Grid) -> bool:
        """Whether all that it has seen lies in this span, so that it counts for it as it is."""
        return self.first is None or self.last is None or (grid.start <= self.first and self.last < grid.end)

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return ENTRY_BYTES * (3 + len(self.counts) + len(self.values)) + sum(map(len, self.values))


class Piece(NamedTuple):
    """Offsets of a partition from `begin` to just before `end`, and what was found there; None where nobody looked."""

    begin: int
    end: int
    tally: Tally | None


class Counted(NamedTuple):
    """The answer: events by bucket, the commonest values, and how many records it rests on. Not `exact`: what was not
    looked at is estimated."""

    grid: Grid
    counts: list[int]
    values: list[tuple[bytes, int]]
    scanned: int
    exact: bool


class Total:
    """Adds up what was found in partitions."""

    def __init__(self, grid: Grid, exact: bool) -> None:
        """`exact`: nothing is missing besides."""
        self._grid = grid
        self._counts = [0.0] * grid.length
        self._values: dict[bytes, float] = {}
        self._scanned = 0
        self._exact = exact

    def add(self, pieces: Sequence[Piece]) -> Iterator[None]:
        """Add a partition, whose pieces are in the order of their offsets, piece by piece."""
        gap = 0
        before: Piece | None = None
        for piece in pieces:
            if piece.tally is None:
                gap += piece.end - piece.begin
                continue
            if gap:
                self._fill(gap, before, piece)
            self._count(piece.tally)
            before, gap = piece, 0
            yield
        if gap:
            self._fill(gap, before, None)

    def answer(self, most: int) -> Counted:
        """The counts, with the `most` commonest values."""
        commonest = heapq.nsmallest(most, self._values.items(), key=lambda one: (-one[1], one[0]))
        return Counted(
            self._grid,
            [round(count) for count in self._counts],
            [(value, max(1, round(count))) for value, count in commonest],
            self._scanned,
            self._exact,
        )

    def _count(self, tally: Tally) -> None:
        self._scanned += tally.looked
        for bucket, count in tally.counts.items():
            self._counts[self._grid.bucket(bucket * self._grid.step)] += count
        self._add(tally.values, 1.0)

    def _add(self, found: Mapping[bytes, int], factor: float) -> None:
        values = self._values
        for value, count in found.items():
            if value in values or len(values) < MOST_VALUES:
                values[value] = values.get(value, 0.0) + count * factor
            else:
                self._exact = False

    def _fill(self, gap: int, before: Piece | None, after: Piece | None) -> None:
        """Add what a gap of so many offsets may hold: as the pieces on both sides of it, or that on the one side."""
        self._exact = False
        grid = self._grid
        beside = [piece for piece in (before, after) if piece is not None]
        tallies = [piece.tally for piece in beside if piece.tally is not None]
        width = sum(piece.end - piece.begin for piece in beside)
        matched = sum(count for tally in tallies for count in tally.counts.values())
        if not width or not matched:
            return
        last = before.tally.last if before is not None and before.tally is not None else None
        first = after.tally.first if after is not None and after.tally is not None else None
        start = grid.start if last is None else min(max(last, grid.start), grid.end - 1)
        end = grid.end if first is None else min(max(first, start + 1), grid.end)
        spread(grid, start, end, matched * gap / width, self._counts)
        for tally in tallies:
            self._add(tally.values, gap / width)


def spread(grid: Grid, start: int, end: int, amount: float, counts: list[float]) -> None:
    """Add an amount to the buckets from one time to another, to each by its share of the time."""
    rate = amount / (end - start)
    for index in range(grid.bucket(start), min(grid.bucket(end - 1) + 1, len(counts))):
        begin = grid.start + index * grid.step
        counts[index] += rate * (min(end, begin + grid.step) - max(start, begin))
