"""Accounts of faults: what clients should have got, what they got, and how long it took until they went on."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.columns import columns
from tests.end_to_end.follower import Follower
from tests.end_to_end.stream import Transcript

REPORT_VARIABLE = "GATEWAY_TEST_FAULTS"
"""The environment variable with the file that the table is written to."""

HEADS = (
    "fault",
    "seconds it lasted",
    "load meanwhile",
    "clients",
    "events",
    "lost",
    "repeated",
    "gaps told",
    "seconds to heal",
)
TEXTS = {"fault", "load meanwhile"}
"""Columns that stand to the left."""


ABOUT = (
    "# Faults",
    "",
    "Written by `scripts/soak`, not by hand: what befell the gateway, and what its clients got. Every event has a",
    "number; one that did not come is lost, one that came twice repeated. Seconds to heal: from the end of the",
    "fault until the last client had another event.",
)


class Line(NamedTuple):
    """A line of the table: events of all clients together; the seconds until the last of them went on."""

    fault: str
    lasted: float | None
    load: str
    clients: int
    events: int
    lost: int
    repeated: int
    gaps: int
    seconds: float | None

    def cells(self) -> tuple[str, ...]:
        """As text."""
        return tuple(_cell(value) for value in self)


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


def table(lines: Sequence[Line]) -> list[str]:
    """The lines in columns, as in Markdown."""
    return columns(HEADS, [line.cells() for line in lines], TEXTS)


def write_report(path: Path, about: Sequence[str], table: Sequence[str], notes: Sequence[str] = ()) -> None:
    """A table as a document; what it says stands for this run alone. `about` is its title, and what it tells."""
    processor = next((line for line in Path("/proc/cpuinfo").read_text().split("\n") if "model name" in line), "")
    machine = (
        f"{processor.partition(':')[2].strip() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    )
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine}, Python {platform.python_version()}."
    below = ["", *(f"- {note}" for note in notes)] if notes else []
    path.write_text("\n".join([*about, "", made, "", *table, *below, ""]))


class Account:
    """Counts the events of the clients of one fault; `close` writes its line, and fails where one is amiss."""

    def __init__(self, lines: list[Line], fault: str, load: str = "–") -> None:
        self._lines = lines
        self._fault = fault
        self._load = load
        self._struck: float | None = None
        self._lasted: float | None = None
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
            if frame.is_message:
                following = max(following, frame.document["n"] + 1)
            elif frame.event == "gap":
                told = frame.document
                place = {"topic": topic, "partition": 0, "requested": following - 1, "reason": "expired"}
                assert told == {**place, "resumed": told["resumed"]}, f"{self._fault}: told {told}, read {following}"
                assert told["resumed"] > following, f"{self._fault}: a gap without loss: {told}"
                expected += range(first, following)
                first = following = told["resumed"]
        self._check(client.numbers, [*expected, *range(first, last + 1)])
        self._close_client(client, gaps)

    def struck(self) -> None:
        """The fault begins."""
        self._struck = time.monotonic()

    def begin(self) -> None:
        """From now on clients may go on: the fault has happened, and where it ends, has ended."""
        self._began = time.monotonic()
        if self._struck is not None:
            self._lasted = self._began - self._struck

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
        counts = self._clients, self._events, self._lost, self._repeated, self._gaps
        line = Line(self._fault, self._lasted, self._load, *counts, self._seconds)
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
