"""`window: {gap}`: the events of a key until it rests for the gap. Pure."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Any

from gateway.catalog.derivation import Derivation, Window
from gateway.derive.aggregate import Aggregate
from gateway.derive.clock import Place
from gateway.derive.grouped import Grouping
from gateway.derive.identity import Key, key_size
from gateway.derive.operator import Held
from gateway.derive.row import Results, RowMaker, key_order
from gateway.model.record import Record


class Session:
    """A key's events that lie less than the gap apart."""

    __slots__ = ("closed", "group", "into", "key", "last", "places", "size", "start")

    def __init__(self, key: Key, time: int, group: list[Aggregate]) -> None:
        self.key = key
        self.start = self.last = time
        self.group = group
        self.places: set[int] = set()
        """Partitions of which it has events, by their rank."""
        self.size = 0
        """What it counts for."""
        self.closed = False
        self.into: Session | None = None
        """The one that it was found to be a part of."""

    def whole(self) -> Session:
        """The session that this one is a part of by now, or is."""
        found = self
        while found.into is not None:
            found = found.into
        # The next one who asks has not so far to go.
        one = self
        while one.into is not None:
            one.into, one = found, one.into
        return found


FEW = 64
"""So many that are of no use any more may be kept, and as many as are of use."""


class SessionOpenings:
    """The first event of each session in one partition, in the order of the partition."""

    __slots__ = ("_enough", "_kept")

    def __init__(self) -> None:
        self._kept: deque[tuple[Session, int, int]] = deque()
        self._enough = FEW
        """With more, it forgets those that have ended or are a part of others: one that goes on for ever may stand
        before them."""

    def note(self, session: Session, offset: int, newest: int) -> None:
        """The session has its first event of this partition."""
        self._kept.append((session, offset, newest))
        if len(self._kept) > self._enough:
            first: dict[Session, tuple[Session, int, int]] = {}
            for one, at, clock in self._kept:
                if not (whole := one.whole()).closed:
                    first.setdefault(whole, (whole, at, clock))
            self._kept = deque(first.values())
            self._enough = FEW + 2 * len(self._kept)

    def first(self, low: int) -> tuple[int, int] | None:
        """See `Opened`."""
        while self._kept and self._kept[0][0].whole().closed:
            self._kept.popleft()
        return self._kept[0][1:] if self._kept else None


class Sessions:
    """A session ends where the next event of its key is the gap or more later."""

    def __init__(self, derivation: Derivation, window: Window, rows: RowMaker, results: Results, held: Held) -> None:
        self._grouping = Grouping(derivation, rows)
        self._late = derivation.late
        self._gap = window.size
        self._results = results
        self._held = held
        self._open: dict[Key, list[Session]] = {}
        self._ends: list[tuple[int, int, Session]] = []
        """A heap of sessions by when each ended as it was put in; it may have gone on since."""
        self._count = 0
        self._merged = 0
        """How many in the heap are a part of others by now."""

    def openings(self) -> SessionOpenings:
        """A session is open until it is told."""
        return SessionOpenings()

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """Add the event to its session, or begin one; sessions that it lies between become one."""
        key = self._results.admitted(self._grouping.key, event, record, time - (place.newest - self._late))
        if key is None:
            return
        session = self._session(key, time)
        for aggregate, value in zip(session.group, self._grouping.values(event, record), strict=True):
            aggregate.add(value)
        if self._grouping.keeps_values:
            self._weigh(session)
        if place.rank not in session.places:
            session.places.add(place.rank)
            place.openings.note(session, record.offset, place.newest)

    def _session(self, key: Key, time: int) -> Session:
        open_ones = self._open.setdefault(key, [])
        near = [one for one in open_ones if one.start - self._gap < time < one.last + self._gap]
        if not near:
            self._held.add()
            session = Session(key, time, self._grouping.empty())
            self._weigh(session)
            open_ones.append(session)
            self._expect(session)
            return session
        session, *others = near
        session.start, session.last = min(session.start, time), max(session.last, time)
        for other in others:
            session.start, session.last = min(session.start, other.start), max(session.last, other.last)
            for aggregate, more in zip(session.group, other.group, strict=True):
                aggregate.merge(more)
            session.places |= other.places
            other.into = session
            open_ones.remove(other)
            self._held.add(-1, -other.size)
            self._merged += 1
        if others:
            self._weigh(session)
            self._forget_merged()
        return session

    def _weigh(self, session: Session) -> None:
        size = key_size(session.key) + self._grouping.size(session.group)
        self._held.add(0, size - session.size)
        session.size = size

    def _forget_merged(self) -> None:
        """Their ends may be far, and there may be many."""
        if self._merged > FEW + len(self._ends) // 2:
            self._ends = [one for one in self._ends if one[2].into is None]
            heapify(self._ends)
            self._merged = 0

    def _expect(self, session: Session) -> None:
        self._count += 1
        heappush(self._ends, (session.last + self._gap, self._count, session))

    def look(self, stream: str, event: dict[str, Any] | None, record: Record, time: int, place: Place) -> None:
        """Nothing is looked into."""

    def settle(self, low: int) -> None:
        """Tell the sessions that have ended, in the order of their ends."""
        ended: list[Session] = []
        while self._ends and self._ends[0][0] <= low:
            _, _, session = heappop(self._ends)
            if session.into is not None:
                self._merged -= 1
                continue
            if session.last + self._gap > low:
                self._expect(session)
            else:
                ended.append(session)
        for session in sorted(ended, key=lambda one: (one.last, key_order(one.key), one.start)):
            session.closed = True
            self._held.add(-1, -session.size)
            left = self._open[session.key]
            left.remove(session)
            if not left:
                del self._open[session.key]
            self._grouping.tell(session.key, session.group, session.start, session.last + self._gap)
