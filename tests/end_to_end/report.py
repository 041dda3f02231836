"""A table at the end of a run: what was cut, and what was lost by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

Report = Callable[[str, int, int, int, int, float], None]
"""(name, events, lost, repeated, gaps, seconds): a row; `seconds` from the fault to the next event."""


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    events: int
    lost: int
    repeated: int
    gaps: int
    seconds: float

    def __str__(self) -> str:
        counts = f"{self.events:>7} {self.lost:>5} {self.repeated:>9} {self.gaps:>5}"
        return f"{self.name:<58} {counts} {self.seconds:>8.1f}"


_HEAD = f"{'fault':<58} {'events':>7} {'lost':>5} {'repeated':>9} {'gaps':>5} {'healed in s':>8}"
_ROWS = pytest.StashKey[list[_Row]]()


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Report:
    """Adds a row to the table."""
    rows = pytestconfig.stash.setdefault(_ROWS, [])
    return lambda *values: rows.append(_Row(*values))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("faults")
        terminalreporter.line(_HEAD)
        for row in rows:
            terminalreporter.line(str(row))
