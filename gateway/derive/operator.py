"""The base of the five operators. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.derive.clock import Opened, Place
from gateway.errors import GatewayError
from gateway.model.record import Record
from gateway.model.setting import MAXIMUM_BYTES, integer


@dataclass(frozen=True)
class DeriveBounds:
    """What one derived stream may hold, and read again."""

    derive_held: int = integer(
        200_000,
        "items",
        "groups, waiting events and looked-up rows that a derived stream may hold; at this bound it stops",
        1_000,
        1 << 40,
    )
    derive_held_bytes: int = integer(
        67_108_864,
        "bytes",
        "stored size of the keys, waiting events and looked-up rows that a derived stream may hold; at this bound it "
        "stops",
        1 << 20,
        MAXIMUM_BYTES,
    )
    derive_replay_bound: int = integer(
        10_000_000,
        "records",
        "records that a derived stream may read again after a restart; beyond this it does not start",
        1_000,
        1 << 40,
    )


DEFAULT_BOUNDS = DeriveBounds()


class TooMuchHeld(GatewayError):
    """A derived stream would have to hold more than it may."""


class Operator(Protocol):
    """Takes the events of all partitions, in any order of the partitions; what comes out does not depend on it."""

    def openings(self) -> Opened:
        """A new one for a partition."""
        ...

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """An event of a source, for which `where` holds; before its time has moved the clock of its place."""
        ...

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """A record of a stream that is looked into; None is a deletion."""
        ...

    def settle(self, low: int) -> None:
        """No event before `low` (ms) will be taken any more: that is how far all partitions have come, less what an
        event may be late."""
        ...


class Held:
    """Counts what an operator holds. Raises TooMuchHeld where that is more than it may be."""

    __slots__ = ("_bounds", "count", "size")

    def __init__(self, bounds: DeriveBounds) -> None:
        self._bounds = bounds
        self.count = 0
        self.size = 0

    def add(self, count: int = 1, size: int = 0) -> None:
        """More is held, or less."""
        self.count += count
        self.size += size
        if self.count > self._bounds.derive_held:
            raise TooMuchHeld(
                f"it would hold {self.count} groups, events and rows of state, and {self._bounds.derive_held} are "
                "allowed (derive_held)"
            )
        if self.size > self._bounds.derive_held_bytes:
            raise TooMuchHeld(
                f"it would hold keys, events and rows of state of {self.size} bytes, and "
                f"{self._bounds.derive_held_bytes} are allowed (derive_held_bytes)"
            )


class NoOpenings:
    """Of an operator that holds nothing."""

    __slots__ = ()

    def first(self, low: int) -> None:
        """Nothing is needed again."""
        return
