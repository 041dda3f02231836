"""Progress on a terminal and elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from gateway.process.progress import Progress


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    """Nobody reads it any more."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError


class Time:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides how rich takes a terminal."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_plain_line_now_and_then() -> None:
    file, time = io.StringIO(), Time()
    with Progress(lambda: f"at {time.now:g}", file=file, plain_seconds=10, monotonic=time) as progress:
        for now in range(35):
            time.now = now
            progress.tick()
        progress.say("line 3: \x1b[31mred\nnext")
        time.now = 39
        progress.tick()
    assert file.getvalue().splitlines() == ["at 10", "at 20", "at 30", "line 3: \\x1b[31mred\\x0anext"]


def test_a_line_that_renews_itself() -> None:
    file = Terminal()
    status = ["first"]
    with Progress(lambda: status[0], lambda: 0.5, file=file) as progress:
        status[0] = "second \x07"
        progress.say("message [bold] \x1b")
        progress.tick()
    written = file.getvalue()
    assert "first" in written
    assert "second \\x07" in written
    assert "━" in written
    assert re.search(r"message \[bold\] \\x1b *\r?\n", written)
    assert "\x07" not in written


def test_where_nobody_reads_it() -> None:
    with Progress(lambda: "status", file=Closed(), plain_seconds=0) as progress:
        progress.tick()
        progress.say("message")
