"""Reports rejected events: to the metrics, and as dead letters to the error streams, which nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from gateway.catalog.stream import Stream
from gateway.clock import Clock
from gateway.cooperative import Yielder
from gateway.definitions import Current
from gateway.errors import LogError
from gateway.eventlog.offer import Fate
from gateway.intake.error_event import error_event, named
from gateway.intake.outcome import Rejected
from gateway.intake.store import Store
from gateway.intake.validate import InvalidEvent
from gateway.observability import telemetry

MAXIMUM_WAITING = 10_000
"""Invalid events that are being made into others; of more than these there is only the metric."""


class ErrorStreams:
    """One for a process."""

    def __init__(self, store: Store, current: Current, clock: Clock) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0

    def tell(self, refused: Sequence[Rejected]) -> None:
        """Count these, and begin to make events of them."""
        found: list[tuple[Rejected, Stream]] = []
        for one in refused:
            name = one.stream or named(one.piece.event)[0]
            stream = None if name is None else self._current.catalog.streams.get(name)
            telemetry.intake_events("" if stream is None else stream.name, "invalid", 1)
            target = self._current.definitions.error_stream_of(stream)
            # What is wrong with an error event is not told by another one.
            if target is not None and stream is not target:
                found.append((one, target))
        if found:
            self._waiting += len(found)
            task = asyncio.create_task(self._run(found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Return when all of them are handed over."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, found: Sequence[tuple[Rejected, Stream]]) -> None:
        work = Yielder()
        for refused, target in found:
            await work.give_way()
            try:
                self._put(refused, target)
            except Exception as error:
                telemetry.mistake("error streams", error)
            finally:
                self._waiting -= 1

    def _put(self, refused: Rejected, target: Stream) -> None:
        if self._waiting > MAXIMUM_WAITING:
            telemetry.error_event_lost(target.name, "there are too many at once")
            return
        catalog, schemas = self._current.catalog, self._current.schemas
        piece = refused.piece
        try:
            made = error_event(piece.text, piece.event, refused.detail, target, catalog, schemas, self._clock.now())
        except InvalidEvent as error:
            telemetry.error_event_lost(target.name, str(error))
            return
        self._store.put(made, partial(_tell_lost, target.name))


def _tell_lost(stream: str, fates: Sequence[Fate]) -> None:
    for fate in fates:
        if isinstance(fate, LogError):
            telemetry.error_event_lost(stream, str(fate))
