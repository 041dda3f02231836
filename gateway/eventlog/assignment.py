"""Divides pieces of work among all processes that work on a log. Pure.

A piece stays with the process that holds it, unless that one does not want it any more, or has more than others could
have. It moves in two rounds: first it is given to nobody, so that its holder puts it down; then to another. So work is
handed over in order, and what a process is in the middle of is not done twice. Where a holder is gone, there is nothing
to wait for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import orjson

FORM = 1


class Claimant(NamedTuple):
    """A process: the pieces that it can do, those that it has not put down yet, and when it was last given some."""

    wants: frozenset[str]
    holds: frozenset[str]
    generation: int


NOTHING = Claimant(frozenset(), frozenset(), 0)


def assign(claimants: Mapping[str, Claimant]) -> dict[str, frozenset[str]]:
    """What each of these processes is to do now. The same for the same claims, whoever computes it."""
    holders = _holders(claimants)
    targets: dict[str, str] = {}
    loads = dict.fromkeys(sorted(claimants), 0)
    wanted: dict[str, list[str]] = {}
    for name in loads:
        for piece in claimants[name].wants:
            wanted.setdefault(piece, []).append(name)
    # Those that few can do come first.
    pieces = sorted(wanted, key=lambda piece: (len(wanted[piece]), piece))
    for piece in pieces:
        if (holder := holders.get(piece)) in wanted[piece]:
            targets[piece] = str(holder)
            loads[str(holder)] += 1
    for piece in pieces:
        if piece not in targets:
            targets[piece] = min(wanted[piece], key=lambda name: loads[name])
            loads[targets[piece]] += 1
    _balance(pieces, wanted, targets, loads)
    given: dict[str, set[str]] = {name: set() for name in claimants}
    for piece, name in targets.items():
        if holders.get(piece, name) == name:
            given[name].add(piece)
    return {name: frozenset(found) for name, found in given.items()}


def _holders(claimants: Mapping[str, Claimant]) -> dict[str, str]:
    """Who holds each piece. Of two that believe so, the one that was given it later is right."""
    holders: dict[str, str] = {}
    for name in sorted(claimants, key=lambda name: (claimants[name].generation, name)):
        holders |= dict.fromkeys(claimants[name].holds, name)
    return holders


def _balance(
    pieces: Iterable[str], wanted: Mapping[str, list[str]], targets: dict[str, str], loads: dict[str, int]
) -> None:
    """Move pieces to those that have fewer by two or more. Each move makes the loads more equal, so it ends."""
    moved = True
    while moved:
        moved = False
        for piece in pieces:
            least = min(wanted[piece], key=lambda name: loads[name])
            if loads[least] + 1 < loads[targets[piece]]:
                loads[targets[piece]] -= 1
                loads[least] += 1
                targets[piece] = least
                moved = True


def encode(claimant: Claimant) -> bytes:
    """As a process tells it to the others."""
    return orjson.dumps([FORM, sorted(claimant.wants), sorted(claimant.holds), claimant.generation])


def decode(told: bytes) -> Claimant:
    """What a process has told. One that says something else gets nothing."""
    try:
        form, wants, holds, generation = orjson.loads(told)
        found = Claimant(frozenset(wants), frozenset(holds), generation)
    except (ValueError, TypeError):
        return NOTHING
    are_names = all(isinstance(one, str) for one in found.wants | found.holds)
    return found if form == FORM and type(generation) is int and are_names else NOTHING


def encode_given(pieces: Iterable[str]) -> bytes:
    """What one process is given."""
    return orjson.dumps(sorted(pieces))


def decode_given(told: bytes) -> frozenset[str]:
    """What it was given; nothing where that cannot be read."""
    try:
        found = orjson.loads(told)
    except ValueError:
        return frozenset()
    return frozenset(one for one in found if isinstance(one, str)) if isinstance(found, list) else frozenset()


class Claims:
    """What a process wants, holds and is given, as its membership keeps it."""

    def __init__(self) -> None:
        self.wants: frozenset[str] = frozenset()
        self.given: frozenset[str] = frozenset()
        self.generation = 0
        self._holds: set[str] = set()

    def want(self, pieces: Iterable[str]) -> bool:
        """Set what it can do; whether that is something else than before."""
        wants = frozenset(pieces)
        is_other, self.wants = wants != self.wants, wants
        return is_other

    def release(self, piece: str) -> bool:
        """It has put the piece down; whether it held it."""
        is_held = piece in self._holds
        self._holds.discard(piece)
        self.given -= {piece}
        return is_held

    def give(self, pieces: frozenset[str], generation: int) -> bool:
        """It is given these, and no others; whether that is something else than before."""
        self.generation = generation
        is_other, self.given = pieces != self.given, pieces
        self._holds |= pieces
        return is_other

    @property
    def claimant(self) -> Claimant:
        """As the others see it."""
        return Claimant(self.wants, frozenset(self._holds), self.generation)


class ClaimingMembership(ABC):
    """The half of each Membership that has nothing to do with its log."""

    def __init__(self) -> None:
        self._claims = Claims()

    @property
    def given(self) -> frozenset[str]:
        """See Membership."""
        return self._claims.given

    @property
    def held(self) -> frozenset[str]:
        """See Membership."""
        return self._claims.claimant.holds

    def want(self, pieces: Collection[str]) -> None:
        """See Membership."""
        if self._claims.want(pieces):
            self._tell()

    def release(self, piece: str) -> None:
        """See Membership."""
        if self._claims.release(piece):
            self._tell()

    @abstractmethod
    def _tell(self) -> None:
        """Let the others know soon what this process claims."""
