"""The filter router: finds those of the live feeds of the same streams for which a segment holds something."""

from __future__ import annotations

from typing import Generic, TypeVar

from gateway.feed.feed import subject_at
from gateway.feed.timeline import Timeline
from gateway.filters.compile import Filter
from gateway.filters.index import FilterIndex
from gateway.filters.values import Meter, OutOfSteps
from gateway.hub.segment import Item, Segment
from gateway.observability import telemetry

Listener = TypeVar("Listener")

LIVE_STEPS = 100
"""Steps that a filter may take on one event while the hub delivers, when everybody waits: about 25 µs at the worst."""
ASK_STEPS = 3
"""The cost of asking a filter at all, in steps."""
DELIVERY_STEPS = 300_000
"""The most steps that all filters together may take in one delivery, no matter how many and how cheap they are. It
is some 75 ms at worst."""


class _Group(Generic[Listener]):
    """Those who ask for the same filter."""

    __slots__ = ("filter", "listeners", "spent")

    def __init__(self, asked: Filter) -> None:
        self.filter = asked
        self.listeners: dict[Listener, None] = {}
        self.spent = 0
        """Steps that the filter has taken since somebody is here."""


class FilterRouter(Generic[Listener]):
    """Judges each record once for all filters that it may match. A filter that nothing matches costs nothing, and one
    that the index knows costs nothing but for its candidates, however many there are."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.users = 0
        self.clients = 0
        """Live clients of all who have joined."""
        self._unfiltered: dict[Listener, None] = {}
        self._groups: dict[str, _Group[Listener]] = {}
        self._dear: dict[_Group[Listener], None] = {}
        self._index: FilterIndex[_Group[Listener]] = FilterIndex()

    def join(self, listener: Listener, asked: Filter | None) -> None:
        """Take a listener in, with the filter that it asks for."""
        if asked is None:
            self._unfiltered[listener] = None
            return
        group = self._groups.get(asked.text)
        if group is None:
            group = self._groups[asked.text] = _Group(asked)
            self._index.add(group, asked.clauses)
        group.listeners[listener] = None

    def leave(self, listener: Listener, asked: Filter | None) -> None:
        """Let a listener go that had joined with this filter."""
        if asked is None:
            del self._unfiltered[listener]
            return
        group = self._groups[asked.text]
        del group.listeners[listener]
        if not group.listeners:
            del self._groups[asked.text]
            self._index.remove(group)

    def spent(self, asked: Filter) -> int:
        """Steps that this filter has taken since somebody listens to it."""
        return self._groups[asked.text].spent

    def listeners(self) -> list[Listener]:
        """All who have joined."""
        return [*self._unfiltered, *(listener for group in self._groups.values() for listener in group.listeners)]

    def affected(self, segment: Segment, budget: Meter | None = None) -> list[tuple[Listener, list[int] | None]]:
        """The clients that may receive a part of the segment, each with the indices of the records that its filter
        matches; None if it has no filter. The budget of the delivery pays for the work."""
        topics = self.timeline.topics
        if segment.topics.isdisjoint(topics):
            return []
        matching: dict[_Group[Listener], list[int]] = {}
        if segment.gap is not None and segment.gap.partition.topic in topics:
            # A gap is told to everybody.
            matching = {group: [] for group in self._groups.values()}
        if self._groups:
            self._judge(segment, matching, [DELIVERY_STEPS] if budget is None else budget)
        affected: list[tuple[Listener, list[int] | None]] = [(listener, None) for listener in self._unfiltered]
        for group, indices in matching.items():
            affected += [(listener, indices) for listener in group.listeners]
        return affected

    def take_dear(self) -> list[Listener]:
        """The clients that could not receive the last segment, because their filter takes too much to be live."""
        dear, self._dear = self._dear, {}
        return [listener for group in dear for listener in group.listeners]

    def _judge(self, segment: Segment, matching: dict[_Group[Listener], list[int]], budget: Meter) -> None:
        meter, dear = [0], self._dear
        for index, item in segment.select(self.timeline.topics):
            if item.data is None:
                continue
            try:
                subject = subject_at(segment, index)
                candidates = list(self._index.candidates(subject.event))
            except Exception as error:
                _pass_over(item, error)
                continue
            # An equal share of half of what is left: the dearest of many have too little first, and what they have
            # spent in vain leaves enough for the others.
            share = budget[0] // (2 * len(candidates) or 1)
            for group in candidates:
                if group in dear:
                    continue
                if share < group.filter.base_steps:
                    dear[group] = None
                    continue
                allowed = meter[0] = min(LIVE_STEPS, group.filter.steps, share)
                try:
                    if group.filter.judge(subject, meter):
                        matching.setdefault(group, []).append(index)
                except OutOfSteps:
                    dear[group] = None
                except Exception as error:
                    # The event does not match this filter; the others are asked all the same.
                    _pass_over(item, error)
                spent = allowed - max(0, meter[0])
                group.spent += spent
                budget[0] -= spent + ASK_STEPS
        for group in dear:
            matching.pop(group, None)


def _pass_over(item: Item, error: Exception) -> None:
    telemetry.record_mistake(*item.partition, item.consumed.offset, error)
