"""`window: {gap}`: the events of a key until it rests for the gap. Pure."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Any

from gateway.catalog.derivation import Derivation, Window
from gateway.derive.aggregate import Aggregate
from gateway.derive.clock import Place
from gateway.derive.grouped import Grouping
from gateway.derive.identity import Key
from gateway.derive.operator import Held
from gateway.derive.row import Results, RowMaker, key_order
from gateway.model.record import Record


class Session:
    """A key's events that lie less than the gap apart."""

    __slots__ = ("closed", "group", "into", "key", "last", "places", "start")

    def __init__(self, key: Key, time: int, group: list[Aggregate]) -> None:
        self.key = key
        self.start = self.last = time
        self.group = group
        self.places: set[int] = set()
        """Partitions of which it has events, by their rank."""
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


class SessionOpenings:
    """The first event of each session in one partition, in the order of the partition."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[tuple[Session, int, int]] = deque()

    def note(self, session: Session, offset: int, newest: int) -> None:
        """The session has its first event of this partition."""
        self._kept.append((session, offset, newest))

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

    def openings(self) -> SessionOpenings:
        """A session is open until it is told."""
        return SessionOpenings()

    def take(self, event: dict[str, Any], record: Record, time: int, place: Place) -> None:
        """Add the event to its session, or begin one; sessions that it lies between become one."""
        low = place.newest - self._late
        if time <= low:
            self._results.older(record, low - time)
            return
        key = self._grouping.key(event, record)
        if isinstance(key, str):
            self._results.invalid(record, key)
            return
        session = self._session(key, time)
        for aggregate, value in zip(session.group, self._grouping.values(event, record), strict=True):
            aggregate.add(value)
        if place.rank not in session.places:
            session.places.add(place.rank)
            place.openings.note(session, record.offset, place.newest)

    def _session(self, key: Key, time: int) -> Session:
        open_ones = self._open.setdefault(key, [])
        near = [one for one in open_ones if one.start - self._gap < time < one.last + self._gap]
        if not near:
            self._held.add()
            session = Session(key, time, self._grouping.empty())
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
            self._held.add(-1)
        return session

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
                continue
            if session.last + self._gap > low:
                self._expect(session)
            else:
                ended.append(session)
        for session in sorted(ended, key=lambda one: (one.last, key_order(one.key), one.start)):
            session.closed = True
            self._held.add(-1)
            left = self._open[session.key]
            left.remove(session)
            if not left:
                del self._open[session.key]
            self._grouping.tell(session.key, session.group, session.start, session.last + self._gap)
