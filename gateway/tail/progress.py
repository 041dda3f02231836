"""How far a subscription is behind, and how fast it catches up."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.text import counted, span

BEHIND = 10_000
"""Milliseconds from which a subscription counts as catching up."""
WINDOW = 1.0
"""Seconds over which the rate is measured."""


class CatchUp:
    """Counts events and their times. `until` (ms) is where the range ends, None where it does not."""

    def __init__(self, clock: Clock, until: int | None = None) -> None:
        self._clock = clock
        self._until = until
        self._time: int | None = None
        self._since = clock.monotonic()
        self._counted = 0
        self._rate: float | None = None
        self._began = clock.monotonic()
        self.events = 0

    def note(self, events: int, time: int | None) -> None:
        """So many more came, the last of this time (ms)."""
        self.events += events
        self._counted += events
        # A record without a time is as old as the one before it.
        self._time = time if time is not None and time >= 0 else self._time
        now = self._clock.monotonic()
        if now - self._since >= WINDOW:
            self._rate = self._counted / (now - self._since)
            self._since, self._counted = now, 0

    @property
    def behind(self) -> int:
        """Milliseconds between the newest event that came and now, or the end of the range."""
        if self._time is None:
            return 0
        now = self._clock.now()
        return max(0, (now if self._until is None else min(now, self._until)) - self._time)

    @property
    def catching_up(self) -> bool:
        """Whether it is worth telling."""
        return self.behind >= BEHIND

    def live(self, read: int | None, filtered: bool) -> str:
        """What is said beside a stream that is up to date: of how many events that were `read` how many match."""
        if not filtered:
            return "live · nothing has come yet" if not self.events else f"live · {counted(self.events, 'event')}"
        of = "" if read is None else f" of {counted(max(read, self.events), 'event')}"
        match = "matches" if not of and self.events == 1 else "match"
        return f"live · {self.events:,}{of} {match}"

    def summary(self, read: int | None, filtered: bool) -> str:
        """What is said at the end."""
        seconds = self._clock.monotonic() - self._began
        of = f" of {max(read, self.events):,}" if filtered and read is not None else ""
        return f"{self.events:,}{of} event{'' if self.events == 1 and not of else 's'} in {seconds:.1f} s"

    def told(self) -> str:
        """In words."""
        rate = "" if self._rate is None else f", {self._rate:,.0f} events/s"
        return f"catching up: {span(self.behind)} behind, {counted(self.events, 'event')} so far{rate}"
