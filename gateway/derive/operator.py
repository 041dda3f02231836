"""The base of the five operators. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.derive.clock import Opened, Place
from gateway.errors import GatewayError
from gateway.model.record import Record


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one derived stream may hold: `count` of groups, events that wait, and rows of a state that is looked into;
    and the bytes of those events and rows as they are stored."""

    count: int = 500_000
    size: int = 256 * 1024 * 1024


DEFAULT_BOUNDS = Bounds()


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

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.count = 0
        self.size = 0

    def add(self, count: int = 1, size: int = 0) -> None:
        """More is held, or less."""
        self.count += count
        self.size += size
        if self.count > self._bounds.count:
            raise TooMuchHeld(
                f"it would hold {self.count} groups, events and rows of state, and {self._bounds.count} are allowed "
                "(derive_held)"
            )
        if self.size > self._bounds.size:
            raise TooMuchHeld(
                f"it would hold events and rows of state of {self.size} bytes, and {self._bounds.size} are allowed "
                "(derive_held_bytes)"
            )


class NoOpenings:
    """Of an operator that holds nothing."""

    __slots__ = ()

    def first(self, low: int) -> None:
        """Nothing is needed again."""
        return
