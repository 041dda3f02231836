"""Measures how fast a mirror is, and how far behind its source."""

from __future__ import annotations

from collections import deque

from gateway.clock import Clock
from gateway.text import counted, span

WINDOW_SECONDS = 5.0
"""The rate is that of the last seconds."""

SAMPLES = 100
"""How many points of the past are kept."""


class Meter:
    """Counts. `lag` (ms) is how old the newest event was when it came; None where events have no time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = clock.monotonic()
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)
        self.events = 0
        self.gaps = 0
        self.returned = 0
        """Events that came again, and were left out."""
        self.lag: int | None = None
        self.state = ""
        """Of the connection to the source: connecting, open or waiting."""

    def note(self, time: int | None, now: int) -> None:
        """An event of this time came (both in ms since the epoch)."""
        if time is not None:
            self.lag = max(0, now - time)

    def idle(self) -> None:
        """The source had nothing to send."""
        self.lag = 0

    def stored(self, count: int) -> None:
        """This many events are in the log."""
        self.events += count
        now = self._clock.monotonic()
        if self._samples and now - self._samples[-1][0] < WINDOW_SECONDS / SAMPLES:
            time, before = self._samples.pop()
            self._samples.append((time, before + count))
        else:
            self._samples.append((now, count))

    @property
    def rate(self) -> float:
        """Events a second, over the last seconds."""
        now = self._clock.monotonic()
        recent = sum(count for time, count in list(self._samples) if now - time <= WINDOW_SECONDS)
        return recent / max(0.1, min(WINDOW_SECONDS, now - self._started))

    def told(self) -> str:
        """All of it in words."""
        parts = [counted(self.events, "event"), f"{self.rate:,.0f} events/s"]
        if self.lag is not None:
            parts.append(f"{span(self.lag)} behind")
        if self.gaps:
            parts.append(counted(self.gaps, "gap"))
        if self.returned:
            parts.append(f"{self.returned:,} came again")
        if self.state != "open":
            parts.append(self.state)
        return ", ".join(part for part in parts if part)
