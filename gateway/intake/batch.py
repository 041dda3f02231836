"""Group commit: records for a topic that arrive while an append to it is under way go together in the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.catalog.stream import Stream
from gateway.cooperative import give_way
from gateway.errors import LogError, LogForbids, LogUnavailable, Refused, TopicAbsent
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import EventLog
from gateway.eventlog.trouble import Trouble, trouble_with
from gateway.model.record import NewRecord
from gateway.observability import telemetry

BATCH_RECORDS = 2000
BATCH_BYTES = 4 * 1024 * 1024
"""The bounds of one append, whichever is reached first."""

FAILURES = (LogUnavailable, LogForbids, Refused, TopicAbsent)
"""The fate of an event that the log did not store, through no fault of its own."""

WITHDRAWN = LogUnavailable("the log does not answer; the event is not stored")
"""The fate of an event that was not handed to the log, and will not be."""


@dataclass(eq=False, slots=True)
class Waiting:
    """Records of one request for one topic. `tell` is called once it is known what became of all of them. That is in
    the step in which the log has answered: whoever waits needs no further turn of the loop. `may_go` is asked when
    their append begins: False where it is too late for it."""

    records: Sequence[NewRecord]
    size: int
    tell: Callable[[list[Fate]], None]
    may_go: Callable[[], bool] | None = None
    answered: bool = False

    def answer(self, fates: list[Fate]) -> None:
        """Say what became of them. A mistake in what is done with it keeps nothing from the others."""
        if not self.answered:
            self.answered = True
            try:
                self.tell(fates)
            except Exception as error:
                telemetry.intake_broken(error)


class _Lane:
    """The records to append to one topic."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.waiting: deque[Waiting] = deque()
        self.task: asyncio.Task[None] | None = None


class Batcher:
    """Appends to the topics of streams, and creates those that are not there; `created` is called when one was."""

    def __init__(self, log: EventLog, created: Callable[[], None]) -> None:
        self._log = log
        self._created = created
        self._lanes: dict[str, _Lane] = {}
        self.failing: dict[str, Trouble] = {}
        """The topics whose last append failed, and why."""
        self.size = 0
        """Bytes that wait or are on their way."""

    def put(
        self,
        stream: Stream,
        records: Sequence[NewRecord],
        tell: Callable[[list[Fate]], None],
        may_go: Callable[[], bool] | None = None,
    ) -> Waiting:
        """Append records to the stream's first topic as soon as may be. `tell`: see Waiting."""
        topic = stream.topics[0]
        lane = self._lanes.get(topic)
        if lane is None:
            lane = self._lanes[topic] = _Lane(stream)
        lane.stream = stream
        size = sum([len(new.value or b"") for new in records])
        waiting = Waiting(records, size, tell, may_go)
        self.size += size
        lane.waiting.append(waiting)
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(lane, topic))
        return waiting

    def withdraw(self, waiting: Waiting) -> bool:
        """Take back what is not on its way yet; False where it is, and so may be stored."""
        for lane in self._lanes.values():
            if waiting in lane.waiting:
                lane.waiting.remove(waiting)
                self.size -= waiting.size
                return True
        return False

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)
            await give_way()

    async def _run(self, lane: _Lane, topic: str) -> None:
        try:
            while lane.waiting:
                batch = _next_batch(lane.waiting)
                try:
                    await self._append(lane.stream, topic, batch)
                finally:
                    self.size -= sum(waiting.size for waiting in batch)
                await give_way()
        finally:
            lane.task = None

    async def _append(self, stream: Stream, topic: str, batch: Sequence[Waiting]) -> None:
        batch = [waiting for waiting in batch if not self._is_too_late(waiting)]
        records = [new for waiting in batch for new in waiting.records]
        if not records:
            return
        try:
            fates = await self._offer(stream, topic, records)
            self._note(topic, next((fate for fate in fates if isinstance(fate, FAILURES)), None))
        except LogError as error:
            self._note(topic, error)
            fates = [error] * len(records)
        except BaseException as error:
            # A mistake of our own; none of the requests may wait for ever.
            for waiting in batch:
                waiting.answer([LogUnavailable(repr(error))] * len(waiting.records))
            if isinstance(error, Exception):
                telemetry.intake_broken(error)
                return
            raise
        start = 0
        for waiting in batch:
            end = start + len(waiting.records)
            waiting.answer(fates[start:end])
            start = end

    @staticmethod
    def _is_too_late(waiting: Waiting) -> bool:
        late = waiting.may_go is not None and not waiting.may_go()
        if late:
            waiting.answer([WITHDRAWN] * len(waiting.records))
        return late

    def _note(self, topic: str, error: LogError | None) -> None:
        """Remember why the last append to the topic failed, or that it did not."""
        if error is None:
            if self.failing.pop(topic, None) is not None:
                telemetry.append_works(topic)
            return
        trouble = self.failing[topic] = trouble_with(error)
        telemetry.append_failed(topic, str(trouble))

    async def _offer(self, stream: Stream, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        try:
            return await self._log.offer(topic, records)
        except TopicAbsent:
            await self._log.create(topic, stream.partitions, stream.retention)
            self._created()
            return await self._log.offer(topic, records)


def _next_batch(waiting: deque[Waiting]) -> list[Waiting]:
    """The first that wait, up to the bounds; at least one."""
    batch = [waiting.popleft()]
    count, size = len(batch[0].records), batch[0].size
    while waiting and count + len(waiting[0].records) <= BATCH_RECORDS and size + waiting[0].size <= BATCH_BYTES:
        batch.append(waiting.popleft())
        count += len(batch[-1].records)
        size += batch[-1].size
    return batch
