"""Stores the outcome of events: the records that they leave behind and the position, in one append."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.errors import GatewayError, LogError, LogForbids, LogUnavailable, Refused, TopicAbsent, WriterFenced
from gateway.eventlog.port import LogWriter
from gateway.model.record import NewRecord
from gateway.observability import telemetry
from gateway.rules.lane import Item

TICK_SECONDS = 1.0
"""So often a position is stored where nothing but that has changed."""
REST_SECONDS = 0.01
"""Between two appends: what is done meanwhile goes together."""
APPEND_BYTES = 2 * 1024 * 1024
"""Of the records in one append; the last one may go beyond it."""
LONGEST_PAUSE = 10.0
"""Seconds between two tries of an append where the log is away."""


class PositionMoved(GatewayError):
    """The position in the log is not the one that was stored here: another process was at work in between."""


@dataclass(slots=True, eq=False)
class Finished:
    """An event at which nothing is left to be done here, and the records that it leaves. `smaller` makes one that takes
    less room, where the log does not take them."""

    item: Item
    records: list[tuple[str, NewRecord]] = field(default_factory=list)
    smaller: Callable[[str], list[tuple[str, NewRecord]]] | None = None

    @property
    def size(self) -> int:
        """Bytes of its records."""
        return sum(len(new.value or b"") + sum(len(value) for _, value in new.headers) for _, new in self.records)


class Commits:
    """Of one rule. `open_writer` becomes its writer, with all topics there; `position` says how far all is settled;
    `release` is told of each event that is stored."""

    def __init__(
        self,
        rule: str,
        open_writer: Callable[[], Awaitable[LogWriter]],
        position: Callable[[], bytes],
        release: Callable[[Item], None],
    ) -> None:
        self._rule = rule
        self._open = open_writer
        self._position = position
        self._release = release
        self._writer: LogWriter | None = None
        self._stored: bytes | None = None
        self._finished: list[Finished] = []
        self._storing: tuple[list[Finished], bytes] | None = None
        """What an append is about. It stays so where that was cancelled, and nobody knows what the log has of it."""
        self.unstored = 0
        """Events of which the log does not have the outcome yet."""
        self._changed = asyncio.Event()

    async def open(self) -> bytes | None:
        """Become the writer; returns the position. Raises LogError."""
        self._writer = await self._open()
        self._stored = self._writer.position
        return self._stored

    def put(self, finished: Finished) -> None:
        """Store this with the next append."""
        self._finished.append(finished)
        self.unstored += 1
        self._changed.set()

    async def run(self) -> None:
        """Store for ever. Raises WriterFenced, PositionMoved."""
        while True:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass
            await self.flush()
            await asyncio.sleep(REST_SECONDS)

    async def flush(self) -> None:
        """Store all that is finished, and the position; first what a flush was storing that was cancelled. Raises
        WriterFenced, PositionMoved."""
        self._changed.clear()
        if self._storing is not None:
            # A writer that is opened anew says whether the log has it.
            await self.close()
        while True:
            if self._storing is None:
                batch = self._batch()
                self._storing = batch, self._position()
            batch, position = self._storing
            if batch or position != self._stored:
                await self._append(batch, position)
            self._storing = None
            self.unstored -= len(batch)
            for finished in batch:
                self._release(finished.item)
            if not self._finished:
                return

    async def close(self) -> None:
        """Bounded in time, and never raises."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    def _batch(self) -> list[Finished]:
        """What goes into one append; from now on it counts as settled."""
        size = count = 0
        for finished in self._finished:
            size += finished.size
            if count and size > APPEND_BYTES:
                break
            count += 1
        batch, self._finished = self._finished[:count], self._finished[count:]
        for finished in batch:
            finished.item.window.settle(finished.item.record.offset)
        return batch

    async def _append(self, batch: Sequence[Finished], position: bytes) -> None:
        """Append once, for as long as that takes. After a failure the log says itself whether it has the records."""
        pause = 0.1
        shrunk: set[Finished] = set()
        while True:
            try:
                if self._writer is None:
                    self._writer = await self._open()
                    if self._writer.position == position:
                        break
                    if self._writer.position != self._stored:
                        raise PositionMoved(f"rule {self._rule}: another process has moved its position")
                await self._writer.append([record for one in batch for record in one.records], position)
                break
            except WriterFenced:
                raise
            except (LogUnavailable, Refused, TopicAbsent, LogForbids) as error:
                telemetry.rule_waits(self._rule, str(error))
                await self.close()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except LogError as error:
                # A record that is too large stays so.
                await self.close()
                if not any(one.records for one in batch):
                    raise
                self._shrink(batch, shrunk, str(error))
        self._stored = position

    def _shrink(self, batch: Sequence[Finished], shrunk: set[Finished], reason: str) -> None:
        """Make the largest one smaller; what cannot be stored even so is lost, and told of."""
        largest = max(batch, key=lambda one: one.size)
        if largest in shrunk or largest.smaller is None:
            telemetry.rule_lost(self._rule, reason)
            largest.records = []
        else:
            shrunk.add(largest)
            largest.records = largest.smaller(reason)
