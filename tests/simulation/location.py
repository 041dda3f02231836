"""Where a client stands, and what it asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.truth import Stored


@dataclass(slots=True)
class Location:
    """Where a client stands in one partition. Until `life` is known, it holds only a time (ms) or an offset."""

    life: int | None
    floor: int = 0
    owed: int = 0
    time: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the client asked for."""

    matches: Callable[[Stored], bool]
    data: Callable[[Stored], Any]
    since: int | None = None
    until: int | None = None
    overlap: int = 0
