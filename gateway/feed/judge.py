"""Evaluates the filters of streams that read on their own, in steps that let others run.

Live filters are evaluated while the hub delivers (`router.py`), where each may take only a few steps. Streams whose
filters need more read on their own, here. One step is under way at a time in the process. After each step the event
loop goes round for the live clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.cooperative import FairLock, Yielder
from gateway.errors import FilterExhausted
from gateway.feed.feed import LARGE_SEGMENT, Chosen, Feed
from gateway.feed.selection import Selection
from gateway.filters.compile import Filter
from gateway.filters.subject import Subject
from gateway.filters.values import OutOfSteps
from gateway.hub.history_segment import HistorySegment
from gateway.hub.segment import Segment
from gateway.observability import telemetry

Charge = Callable[[int], float]
"""Told how many steps were spent; gives the seconds until they are paid for."""
AHEAD_SEGMENTS, AHEAD_BYTES = 16, 16_384
"""So many segments are judged ahead, of so many bytes each."""
ROUND = 100
"""Events after which it is looked how many of them a filter had too few steps for: more than half end its stream."""


class Effort(NamedTuple):
    """The cost of judging: the events that the filter was asked about, those for which it ran out of steps, and all
    steps."""

    asked: int = 0
    exhausted: int = 0
    steps: int = 0


class Judged(NamedTuple):
    """The part of a segment that is sent, by index, and the cost of choosing it."""

    chosen: Chosen
    effort: Effort


class Bench:
    """Asks a filter about one record after the other, and counts."""

    __slots__ = ("_filter", "_meter", "asked", "exhausted", "steps")

    def __init__(self, asked: Filter | None) -> None:
        self._filter = asked
        self._meter = [0]
        self.asked = self.exhausted = self.steps = 0

    def matches(self, subject: Subject) -> bool:
        """Whether the filter is true; where it has too few steps, it does not match."""
        if self._filter is None:
            return True
        meter, allowed = self._meter, self._filter.steps
        meter[0] = allowed
        self.asked += 1
        try:
            found = self._filter.judge(subject, meter)
        except OutOfSteps:
            self.exhausted += 1
            found = False
        self.steps += allowed - max(0, meter[0])
        return found

    @property
    def effort(self) -> Effort:
        """The cost so far."""
        return Effort(self.asked, self.exhausted, self.steps)


class Judge:
    """The cost of one stream. Each stream pays for its filter in full, even if another one has asked it before. So
    the price does not depend on other streams."""

    __slots__ = ("_asked", "_charge", "_exhausted", "_filter", "_lock", "_reads", "_topics", "owed")

    def __init__(self, selection: Selection, lock: FairLock, charge: Charge | None) -> None:
        self._filter = selection.filter
        self._reads = selection.reads
        self._topics = selection.topics
        self._lock = lock
        self._charge = charge
        self._asked = self._exhausted = 0
        self.owed = 0.0
        """Seconds until what was spent is paid for, as of the last payment."""

    def pay(self, steps: int) -> float:
        """Pay for steps, and learn the seconds until they are paid for."""
        self.owed = self._charge(steps) if self._charge is not None and self._filter is not None else 0.0
        return self.owed

    def must_ask(self, feed: Feed, segment: Segment) -> bool:
        """Whether a segment has still to be looked into, so that others are let run meanwhile."""
        return self._is_dear(segment) and feed.judged(segment) is None

    def _is_dear(self, segment: Segment) -> bool:
        if self._filter is not None:
            return not segment.topics.isdisjoint(self._topics)
        return self._reads and segment.size > LARGE_SEGMENT and segment.size_of(self._topics) > LARGE_SEGMENT

    async def segment(self, feed: Feed, segment: Segment) -> Judged | None:
        """The part of a segment of the ring that is sent; None if choosing it takes no time. Raises FilterExhausted."""
        if not self._is_dear(segment):
            return None
        judged: Judged | None = feed.judged(segment)
        if judged is None:
            with feed.wait_for(segment):
                async with self._lock.turn(segment.size):
                    judged = feed.judged(segment) or await self._judge(feed, segment)
                    await self._look_ahead(feed, segment)
        self.count(judged.effort)
        return judged

    async def _look_ahead(self, feed: Feed, judged: Segment) -> None:
        """Judge some small segments behind this one too: who catches up would wait for a turn for each."""
        yielder = Yielder()
        for segment in feed.following(judged.number, AHEAD_SEGMENTS):
            if segment.size > AHEAD_BYTES or yielder.is_due or feed.judged(judged) is None:
                return  # Where there is no room to remember one, it is not judged before its time.
            if self.must_ask(feed, segment):
                await self._judge(feed, segment)
                judged = segment

    async def _judge(self, feed: Feed, segment: Segment) -> Judged:
        selection, bench = feed.selection, Bench(self._filter)
        chosen: Chosen = {}
        subjects = feed.subjects(segment)
        await self._lock.give_way()
        for index, item in segment.select(selection.topics):
            if item.data is None or (item.canary and not selection.canary):
                continue
            subject = subjects[index]
            if bench.matches(subject) and (data := selection.cut(item.data, subject)) is not None:
                chosen[index] = data
            await self._lock.give_way()
        judged = Judged(chosen, bench.effort)
        feed.remember(segment, judged)
        return judged

    async def history_segment(self, selection: Selection, segment: HistorySegment) -> tuple[list[bytes | None], Effort]:
        """The part of each record of the past that is sent, under the lock; `count` is due."""
        if not selection.reads:
            return selection.choose_all(segment), Effort()
        bench, chosen = Bench(self._filter), []
        for index, record in enumerate(segment.records):
            data = record.value
            if data is not None and (selection.canary or index not in segment.canaries):
                subject = segment.subject(index)
                chosen.append(selection.cut(data, subject) if bench.matches(subject) else None)
            else:
                chosen.append(None)
            await self._lock.give_way()
        return chosen, bench.effort

    def count(self, effort: Effort) -> None:
        """Pay, and look whether the filter has too few steps again and again. Raises FilterExhausted."""
        if self._filter is None:
            return
        self.pay(effort.steps)
        telemetry.tally.exhausted += effort.exhausted
        self._asked += effort.asked
        self._exhausted += effort.exhausted
        if self._asked < ROUND:
            return
        if 2 * self._exhausted > self._asked:
            raise FilterExhausted(self._filter.steps, self._exhausted, self._asked)
        self._asked = self._exhausted = 0
