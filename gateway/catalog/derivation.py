"""The declaration of a derived stream: the `derive` of its configuration, as it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DEFAULT_LATE = 10_000
"""Milliseconds that an event may come after the newest of its partition where nothing else is said."""

Operator = Literal["select", "window", "latest", "lookup", "dedup"]


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression of CEL, and the line that it stands at."""

    text: str
    line: int = field(default=0, compare=False)


Members = tuple[tuple[str, Expression], ...]
"""Members of a row by their names, in the order in which they are written."""


@dataclass(frozen=True, slots=True)
class Window:
    """Times that are put together, in milliseconds.

    `every`: [start, start + size), one begins each `step`. `gap`: a session, which ends where the next event of its key
    is `size` or more later. `last`: [time - size, time] of each event.
    """

    kind: Literal["every", "gap", "last"]
    size: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class Lookup:
    """The row of another stream that was the latest of its key at the event's time, which expressions see as `name`."""

    name: str
    stream: str
    key: tuple[Expression, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Dedup:
    """Drops an event that has an earlier one of its key at most `within` milliseconds before."""

    by: tuple[Expression, ...]
    within: int


@dataclass(frozen=True, slots=True)
class Derivation:
    """The declaration of a derived stream. `late` and `since` are in milliseconds, `since` back from now.

    At most one of `window`, `latest`, `lookups` and `dedup` is there. Without `select` (as `passes` says) an event
    passes as it is.
    """

    sources: tuple[str, ...]
    where: Expression | None = None
    select: Members = ()
    by: Members = ()
    window: Window | None = None
    late: int = DEFAULT_LATE
    having: Expression | None = None
    latest: Members = ()
    delete: Expression | None = None
    lookups: tuple[Lookup, ...] = ()
    dedup: Dedup | None = None
    version: int = 1
    since: int | None = None
    allow_unknown: bool = False
    line: int = field(default=0, compare=False)
    source_lines: tuple[int, ...] = field(default=(), compare=False)

    @property
    def operator(self) -> Operator:
        """Which of the five it is."""
        if self.window is not None:
            return "window"
        if self.latest:
            return "latest"
        if self.lookups:
            return "lookup"
        return "select" if self.dedup is None else "dedup"

    @property
    def passes(self) -> bool:
        """Whether events pass as they are."""
        return not self.select and not self.latest and self.window is None

    @property
    def key(self) -> Members:
        """What the key of a result's record is made of; empty where it is that of the source's."""
        return self.latest or self.by

    @property
    def inputs(self) -> tuple[str, ...]:
        """All streams that it reads: its sources, then those that it looks into."""
        return tuple(dict.fromkeys((*self.sources, *(lookup.stream for lookup in self.lookups))))

    @property
    def horizon(self) -> int:
        """Milliseconds of its sources that have to be read again to know what it knew; 0 for none. Of a session it is
        the shortest: it goes on for as long as events come."""
        if self.window is not None:
            # Whether `last` told a key before depends on what was counted then.
            return self.late + self.window.size * (2 if self.window.kind == "last" else 1)
        if self.dedup is not None:
            return self.late + self.dedup.within
        return self.late if self.latest or self.lookups else 0


def topic_of(name: str, version: int) -> str:
    """The topic of a derived stream: its name, and its version from the second on."""
    return name if version == 1 else f"{name}.v{version}"
