"""What failed in a run, in few lines each, for whoever sees only the end of several runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "GATEWAY_TEST_FAILURES"
"""Names a file to which the failures are added."""
LINES = 10
"""The most of one."""
WIDTH = 200


class Failures:
    """Writes them down at the end of a run."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """In the process that started all others."""
        if hasattr(config, "workerinput"):
            return
        reports = [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]
        if reports and (path := os.environ.get(VARIABLE)):
            with Path(path).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for report in reports for line in brief(report))


def brief(report: pytest.TestReport | pytest.CollectReport) -> list[str]:
    """Which test it was, where it failed, and how the message begins."""
    crash = getattr(report.longrepr, "reprcrash", None)
    place, message = (f"{crash.path}:{crash.lineno}", crash.message) if crash else ("", report.longreprtext)
    told = [line[:WIDTH] for line in message.splitlines() if line.strip()]
    return [f"FAILED {report.nodeid} {place}".rstrip(), *(f"    {line}" for line in told[:LINES])]
