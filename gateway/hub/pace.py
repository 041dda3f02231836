"""The pace of the hub: how long a topic rests after a delivery, so that events share a write and none is late for it
without need. Pure: the times are given.

Deliveries have a budget of processor time. While they stay within it, nothing rests. Beyond it, the topics that have
taken most of it rest, just so long that the budget is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import NamedTuple

SHARE = 0.25
"""The part of a core that deliveries may take, those of all topics together, before events wait for each other."""
BURST_SECONDS = 1.0
"""The budget of this many seconds may be spent at once, so that a burst is no reason to rest."""
READ_SECONDS = 0.00015
"""The processor time of a read of the log beside the delivery of its records. It is done in parts, between which
other work runs, so it cannot be measured each time."""
SHARED = 2
"""Records that have to share a write if a topic rests; where fewer do, they would be late for little."""
SMOOTH = 16
"""So many deliveries it takes until the time between two records is known anew."""
LONGEST_SPACING = 1.0
"""Seconds between two records from which on they are rare, whatever comes between."""
MOST = 0.999
"""Who owes this part of the average, or more, is one of those that owe most: with one topic that is the one."""


class Load(NamedTuple):
    """What a delivery had of one topic: its records, their bytes, and how many clients they went to, none if nobody
    waits for such records."""

    records: int
    size: int
    clients: int = 0


class _Topic:
    """`debt` is the processor time (seconds) that was spent on the topic and is not paid for by the budget yet."""

    __slots__ = ("begun", "debt", "length", "read_at", "spacing")

    def __init__(self, now: float) -> None:
        self.debt = 0.0
        self.spacing = LONGEST_SPACING
        """Seconds from one record to the next; what came last counts most."""
        self.read_at = now - LONGEST_SPACING
        self.begun = self.length = 0.0
        """The rest: when it began, and its seconds."""

    def rest(self, now: float, seconds: float) -> None:
        """Rest from now on."""
        self.begun, self.length = now, seconds

    def left(self, now: float) -> float:
        """Seconds that it still rests; none where the clock has gone back."""
        return max(0.0, self.length - (now - self.begun)) if now >= self.begun else 0.0


_DEBT = attrgetter("debt")


class Pace:
    """`flush_interval` (seconds) and `flush_bytes` bound a rest.

    The budget comes in steadily, and is shared equally by the topics that owe. So a topic that takes less than its
    share owes nothing soon after each delivery, whatever the others take."""

    def __init__(self, flush_interval: float, flush_bytes: int) -> None:
        self._interval = flush_interval
        self._bytes = flush_bytes
        self._topics: dict[str, _Topic] = {}
        self._owing: list[_Topic] = []
        self._resting: dict[str, _Topic] = {}
        self._paid_at = 0.0

    @property
    def rests(self) -> bool:
        """Whether a topic rests, as of the last look."""
        return bool(self._resting)

    def resting(self, now: float) -> dict[str, float]:
        """The topics that rest, each with the seconds that are left."""
        left = {name: topic.left(now) for name, topic in self._resting.items()}
        self._resting = {name: topic for name, topic in self._resting.items() if left[name] > 0}
        return {name: left[name] for name in self._resting}

    def spent(self, begun: float, now: float, seconds: float, loads: Mapping[str, Load], more: bool = False) -> None:
        """A delivery that began at `begun` is over, and took this much time of the processor. `more`: the log has
        more already, so that what is there has waited long enough."""
        self._pay(now)
        # A write costs about the same whatever is in it.
        a_write = (READ_SECONDS + seconds) / sum([load.clients + 1 for load in loads.values()])
        given = {}
        for name, load in loads.items():
            topic = self._topics.get(name) or self._topics.setdefault(name, _Topic(begun))
            if not topic.debt:
                self._owing.append(topic)
            cost = a_write * (load.clients + 1)
            topic.debt += cost
            longest = self._longest(topic, load, begun, now)
            given[name] = cost, longest
            if not load.clients and not more and longest >= SHARED * topic.spacing:
                # Nobody waits for it, so that it is read in as few calls as may be.
                self._begin(name, longest, now)
        over = self._owed() - SHARE * BURST_SECONDS
        if over <= 0:
            return
        for name, load in loads.items():
            topic, (cost, longest) = self._topics[name], given[name]
            if not self._owes_most(topic):
                continue
            if more or not self._saves(topic, cost):
                topic.debt = max(0.0, topic.debt - cost)
            elif load.clients:
                self._begin(name, min(over / SHARE, longest), now)
        self._forgive(SHARE * (BURST_SECONDS + self._interval))

    def _begin(self, name: str, seconds: float, now: float) -> None:
        self._topics[name].rest(now, seconds)
        self._resting[name] = self._topics[name]

    def _longest(self, topic: _Topic, load: Load, begun: float, now: float) -> float:
        """The longest rest of a topic whose records come as these did."""
        since, topic.read_at = min(max(begun - topic.read_at, 1e-6), LONGEST_SPACING), begun
        topic.spacing += (since / load.records - topic.spacing) / SMOOTH
        return min(self._interval, self._bytes * since / max(1, load.size)) - max(0.0, now - begun)

    def _saves(self, topic: _Topic, cost: float) -> bool:
        """Whether rests would help a topic to keep to the budget: after deliveries of this cost, they are so long that
        enough records come to share the next one."""
        return cost * len(self._owing) / SHARE >= SHARED * topic.spacing

    def _owes_most(self, topic: _Topic) -> bool:
        return topic.debt >= MOST * self._owed() / len(self._owing)

    def _owed(self) -> float:
        return sum([topic.debt for topic in self._owing])

    def _pay(self, now: float) -> None:
        """Share what has come in since the last time among those that owe; nobody gets more than it owes."""
        income, self._paid_at = SHARE * max(0.0, now - self._paid_at), now
        if not self._owing:
            return
        self._owing.sort(key=_DEBT)
        for index, topic in enumerate(self._owing):
            paid = min(topic.debt, income / (len(self._owing) - index))
            topic.debt -= paid
            income -= paid
        self._owing = [topic for topic in self._owing if topic.debt > 0]

    def _forgive(self, most: float) -> None:
        """What is owed beyond this cannot be saved by resting."""
        owed = self._owed()
        if owed > most:
            for topic in self._owing:
                topic.debt *= most / owed


class Stopwatch:
    """Measures the processor time of one piece of work that others may interrupt. What they take is not its own.

    `used` gives the seconds of the processor that this thread has had. What it waited for others is not among them: a
    rest that is longer for it would let no more events share a write."""

    def __init__(self, used: Callable[[], float]) -> None:
        self._used = used
        self._from = 0.0
        self.seconds = 0.0

    def begin(self) -> None:
        """The work begins."""
        self.seconds, self._from = 0.0, self._used()

    def pause(self) -> None:
        """Others run."""
        self.seconds += max(0.0, self._used() - self._from)

    def resume(self) -> None:
        """The work goes on."""
        self._from = self._used()
