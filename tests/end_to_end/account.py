"""Accounts of faults: what clients should have got, what they got, and how long it took until they went on."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.end_to_end.follower import Follower
from tests.end_to_end.stream import Transcript

HEADS = ("fault", "clients", "events", "lost", "repeated", "gaps told", "seconds to heal")


class Line(NamedTuple):
    """A line of the table: events of all clients together; the seconds until the last of them went on."""

    fault: str
    clients: int
    events: int
    lost: int
    repeated: int
    gaps: int
    seconds: float | None

    def cells(self) -> tuple[str, ...]:
        """As text."""
        seconds = "–" if self.seconds is None else f"{self.seconds:.1f}"
        return (*(f"{value:,}" if isinstance(value, int) else value for value in self[:-1]), seconds)


def table(lines: Sequence[Line]) -> list[str]:
    """The lines in columns, as in Markdown."""
    rows = [HEADS, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    text = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in rows]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return [text[0], rule, *text[1:]]


class Account:
    """Counts the events of the clients of one fault; `close` writes its line, and fails where one is amiss."""

    def __init__(self, lines: list[Line], fault: str) -> None:
        self._lines = lines
        self._fault = fault
        self._clients = self._events = self._lost = self._repeated = self._gaps = 0
        self._began = time.monotonic()
        self._seconds: float | None = None

    def count(self, client: Transcript, *partitions: Iterable[int], gaps: int = 0) -> None:
        """A client should have had these numbers, those of each partition in this order, and so many gaps."""
        for partition in partitions:
            expected = list(partition)
            known = frozenset(expected)
            self._check([number for number in client.numbers if number in known], expected)
        strange = set(client.numbers).difference(*(set(partition) for partition in partitions))
        assert not strange, f"{self._fault}: {sorted(strange)[:5]} were not to come"
        self._close_client(client, gaps)

    def count_offsets(self, client: Transcript, topic: str, first: int, last: int, gaps: int = 0) -> None:
        """A client should have had every number from first to last, except just those of the gaps that it was told. The
        numbers are the offsets of the events in partition 0."""
        expected: list[int] = []
        following = first
        for frame in client.frames:
            if frame.name == "message":
                following = max(following, frame.document["n"] + 1)
            elif frame.name == "gap":
                told = frame.document
                place = {"topic": topic, "partition": 0, "requested": following - 1, "reason": "expired"}
                assert told == {**place, "resumed": told["resumed"]}, f"{self._fault}: told {told}, read {following}"
                assert told["resumed"] > following, f"{self._fault}: a gap without loss: {told}"
                expected += range(first, following)
                first = following = told["resumed"]
        self._check(client.numbers, [*expected, *range(first, last + 1)])
        self._close_client(client, gaps)

    def begin(self) -> None:
        """From now on clients may go on: the fault has happened, and where it ends, has ended."""
        self._began = time.monotonic()

    async def heal(self, clients: Iterable[Follower], number: int | None = None) -> None:
        """Wait until each client has had another event, or that of a number."""
        waits = (
            client.events(len(client.numbers) + 1) if number is None else client.have(number) for client in clients
        )
        await asyncio.gather(*waits)
        self.healed(time.monotonic() - self._began)

    def healed(self, seconds: float) -> None:
        """How long it took until the last client went on."""
        self._seconds = max(seconds, self._seconds or 0.0)

    def add(self, clients: int, events: int, lost: int, repeated: int, gaps: int = 0) -> None:
        """What was counted elsewhere."""
        self._clients += clients
        self._events += events
        self._lost += lost
        self._repeated += repeated
        self._gaps += gaps

    def close(self) -> None:
        """Write the line. Nothing was lost and nothing repeated."""
        line = Line(self._fault, self._clients, self._events, self._lost, self._repeated, self._gaps, self._seconds)
        self._lines.append(line)
        assert (line.lost, line.repeated) == (0, 0), f"{self._fault}: {line}"

    def _check(self, numbers: Sequence[int], expected: Sequence[int]) -> None:
        came, wanted = Counter(numbers), Counter(expected)
        self.add(0, len(numbers), (wanted - came).total(), (came - wanted).total())
        once = list(dict.fromkeys(numbers))
        if came == wanted:
            assert once == list(expected), f"{self._fault}: not in order: {once[:20]}"

    def _close_client(self, client: Transcript, gaps: int) -> None:
        told = client.named("gap")
        assert len(told) == gaps, f"{self._fault}: told {[frame.data for frame in told]}"
        self._clients += 1
        self._gaps += gaps
