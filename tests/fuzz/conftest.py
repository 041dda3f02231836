"""Shows at the end of the run what was tried."""

from __future__ import annotations

import pytest

from tests.fuzz.kit import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table of the fuzzers that ran in this process."""
    if lines := table():
        terminalreporter.section("fuzzers")
        for line in lines:
            terminalreporter.write_line(line)
