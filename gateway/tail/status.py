"""Shows the state of the connection beside the events.

On a terminal it is a line that comes and goes. Elsewhere it is a line now and then.
"""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.clock import Clock

REFRESH = 0.2
"""Seconds between two states of the line on a terminal."""
REPEAT = 10.0
"""Seconds between two lines elsewhere."""


class StatusLine:
    """`show` the present state, `say` a line that stays, `hide` when there is nothing more to say."""

    def __init__(self, console: Console, clock: Clock, quiet: bool = False) -> None:
        self._console = console
        self._clock = clock
        self._quiet = quiet
        self._live: Live | None = None
        self._shown = -REPEAT

    def show(self, text: str, at_once: bool = False) -> None:
        """Reports now and then, however often it is called, except for urgent lines."""
        now = self._clock.monotonic()
        terminal = self._console.is_terminal
        if self._quiet or (not at_once and now - self._shown < (REFRESH if terminal else REPEAT)):
            return
        self._shown = now
        if not terminal:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        line = Text(text, style="dim italic", no_wrap=True, overflow="ellipsis")
        if self._live is None:
            self._live = Live(line, console=self._console, auto_refresh=False, transient=True)
            self._live.start(refresh=True)
        else:
            self._live.update(line, refresh=True)

    def say(self, text: str) -> None:
        """Something to be read later too; also where the rest is quiet."""
        self._console.print(Text(text, style="bold red"), soft_wrap=True)

    @property
    def comes_and_goes(self) -> bool:
        """Whether there is a line on a terminal, which costs no room."""
        return self._console.is_terminal and not self._quiet

    def close(self, text: str) -> None:
        """The last line; nothing where all is quiet."""
        self.hide()
        if not self._quiet:
            self._console.print(Text(text, style="dim"), soft_wrap=True)

    def break_line(self) -> None:
        """A key was pressed that the terminal shows: what follows stands on a line of its own."""
        self.hide()
        if self._console.is_terminal:
            self._console.print()

    def hide(self) -> None:
        """Take the line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._shown = -REPEAT
