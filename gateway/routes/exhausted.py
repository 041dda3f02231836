"""Remembers the streams that ended because of an expensive filter, and refuses them at once when they come back.

A browser's EventSource comes back after `event: error`, and stops for good after an error status.
"""

from __future__ import annotations

from collections import OrderedDict

from gateway.clock import Clock
from gateway.errors import FilterExhausted
from gateway.feed.selection import Selection

REMEMBERED = 1_000
"""The number of newest entries that are kept."""
SECONDS = 60.0
"""After which the same may be tried again: there are other events by then."""

_Key = tuple[str, frozenset[str], str]


class ExhaustedFilters:
    """Remembers who was ended, with which filter on which topics."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended: OrderedDict[_Key, tuple[float, FilterExhausted]] = OrderedDict()

    def remember(self, address: str, selection: Selection, error: FilterExhausted) -> None:
        """This stream was ended for it."""
        if selection.filter is not None:
            key = (address, selection.topics, selection.filter.text)
            self._ended[key] = (self._clock.monotonic() + SECONDS, error)
            self._ended.move_to_end(key)
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)

    def check(self, address: str, selection: Selection) -> None:
        """Raises the same problem where the stream would be one that was ended lately."""
        if selection.filter is None or not self._ended:
            return
        until, error = self._ended.get((address, selection.topics, selection.filter.text), (0.0, None))
        if error is not None and until > self._clock.monotonic():
            raise error.problem
