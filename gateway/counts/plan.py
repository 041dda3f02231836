"""Which records are looked at for an answer, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from gateway.counts.tally import BLOCK, Piece, Tally
from gateway.model.record import TopicPartition

COARSE = 32
"""Blocks that are looked at first, over all partitions and the whole span: where the time is over soon, all of it is
known a little."""
Ranges = Mapping[TopicPartition, tuple[int, int]]
"""Of each partition the first offset of a span, and the one just behind it."""
_NOTHING: Mapping[TopicPartition, Sequence[Piece]] = MappingProxyType({})


class Stretch(NamedTuple):
    """Blocks of one partition that follow each other, as offsets."""

    partition: TopicPartition
    begin: int
    end: int


class Plan:
    """The blocks of a span that are to be looked at, and what is known of them by now: at most `most` records, but for
    parts of blocks at the ends, and one block of each partition. Of more blocks, one in 2, 4, 8 … is chosen by its
    number, so that spans that overlap choose the same ones. What is `known` already is not looked at: pieces of each
    partition, in the order of offsets."""

    def __init__(self, ranges: Ranges, most: int, known: Mapping[TopicPartition, Sequence[Piece]] = _NOTHING) -> None:
        self._ranges = ranges
        self._known = known
        unknown = {partition: _between(known.get(partition, ()), *ends) for partition, ends in ranges.items()}
        blocks = sum(len(_numbers(*ends)) for spans in unknown.values() for ends in spans)
        self._stride = _stride(blocks, most // BLOCK)
        self.blocks: dict[TopicPartition, dict[int, Piece]] = {
            partition: {piece.begin: piece for ends in spans for piece in self._chosen(*ends)}
            for partition, spans in unknown.items()
        }
        """By the offset at which a block begins."""

    def _chosen(self, begin: int, end: int) -> list[Piece]:
        numbers = _numbers(begin, end)
        first = -(-numbers.start // self._stride) * self._stride
        chosen = range(first, numbers.stop, self._stride) or numbers[:1]
        return [Piece(max(begin, one * BLOCK), min(end, (one + 1) * BLOCK), None) for one in chosen]

    def note(self, partition: TopicPartition, begin: int, tally: Tally) -> None:
        """Note the tally of a block."""
        found = self.blocks[partition]
        found[begin] = found[begin]._replace(tally=tally)

    def pieces(self) -> list[list[Piece]]:
        """All of each partition, in the order of offsets."""
        found = []
        for partition, blocks in self.blocks.items():
            pieces = sorted([*blocks.values(), *self._known.get(partition, ())], key=lambda piece: piece.begin)
            found.append(_whole(pieces, *self._ranges[partition]))
        return found

    def rounds(self) -> list[list[Stretch]]:
        """What has not been looked at yet: in each round one stretch of each partition, which are read together."""
        coarse = max(self._stride, _stride(sum(map(len, self.blocks.values())) * self._stride, COARSE))
        rounds = self._rounds(lambda number: number % coarse == 0)
        return rounds + (self._rounds(lambda number: number % coarse != 0) if coarse > self._stride else [])

    def _rounds(self, wanted: Callable[[int], bool]) -> list[list[Stretch]]:
        by_partition = [self._stretches(partition, wanted) for partition in self.blocks]
        longest = max(map(len, by_partition), default=0)
        return [[found[index] for found in by_partition if index < len(found)] for index in range(longest)]

    def _stretches(self, partition: TopicPartition, wanted: Callable[[int], bool]) -> list[Stretch]:
        found: list[Stretch] = []
        for begin, end, tally in self.blocks[partition].values():
            if tally is not None or not wanted(begin // BLOCK):
                continue
            if found and found[-1].end == begin:
                found[-1] = found[-1]._replace(end=end)
            else:
                found.append(Stretch(partition, begin, end))
        return found


def _numbers(begin: int, end: int) -> range:
    """The blocks of a span."""
    return range(begin // BLOCK, -(-end // BLOCK))


def _between(known: Sequence[Piece], begin: int, end: int) -> list[tuple[int, int]]:
    """What of a span these pieces leave."""
    return [(piece.begin, piece.end) for piece in _whole(known, begin, end) if piece.tally is None]


def _stride(count: int, most: int) -> int:
    """Every how-manieth of so many blocks is chosen, for there to be about `most`."""
    stride = 1
    while -(-count // stride) > max(1, most):
        stride *= 2
    return stride


def _whole(chosen: Sequence[Piece], begin: int, end: int) -> list[Piece]:
    """The same with pieces for what is between them."""
    pieces: list[Piece] = []
    for piece in chosen:
        if begin < piece.begin:
            pieces.append(Piece(begin, piece.begin, None))
        pieces.append(piece)
        begin = piece.end
    if begin < end:
        pieces.append(Piece(begin, end, None))
    return pieces
