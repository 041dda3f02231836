"""Shows the progress of a command on standard error. Messages stand above it.

On a terminal it is one line that renews itself. Elsewhere it is a plain line now and then.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.text import printable

RENEWALS = 5
"""Times a second that the line of a terminal is renewed."""
PLAIN_SECONDS = 10.0
"""Seconds between two plain lines."""
TICK_SECONDS = 0.5
BAR_WIDTH = 20


class Progress:
    """Shows what `status` says while the `with` block runs; `fraction` is how much is done, None where nobody knows.

    Both are called from another thread on a terminal. Where standard error is closed, nothing is shown and the command
    goes on.
    """

    def __init__(
        self,
        status: Callable[[], str],
        fraction: Callable[[], float | None] = lambda: None,
        *,
        file: TextIO | None = None,
        plain_seconds: float = PLAIN_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._fraction = fraction
        self._file: TextIO | None = file or sys.stderr
        self._plain_seconds = plain_seconds
        self._monotonic = monotonic
        self._told = monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        console = Console(file=self._file)
        if self._file is not None and console.is_terminal:
            self._live = Live(get_renderable=self._line, console=console, refresh_per_second=RENEWALS, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError):
                live.stop()

    def tick(self) -> None:
        """Call it now and then; tells the status where that is due and there is no terminal."""
        if self._live is None and self._monotonic() - self._told >= self._plain_seconds:
            self.say(self._status())

    async def keep_telling(self) -> None:
        """`tick` for as long as it is not cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()

    def say(self, message: str) -> None:
        """Tell something in a line of its own."""
        self._told = self._monotonic()
        with suppress(OSError):
            if self._live is not None:
                self._live.console.print(Text(printable(message)), soft_wrap=True)
            elif self._file is not None:
                self._file.write(printable(message) + "\n")
                self._file.flush()

    def _line(self) -> Table:
        text = Text(printable(self._status()), no_wrap=True, overflow="ellipsis")
        fraction = self._fraction()
        line = Table.grid(padding=(0, 1))
        if fraction is None:
            line.add_row(text)
        else:
            line.add_row(ProgressBar(total=1.0, completed=min(1.0, fraction), width=BAR_WIDTH), text)
        return line
