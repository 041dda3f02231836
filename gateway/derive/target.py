"""The topic that a derived stream is stored in, and the records for it: rows, canary events, and what was refused."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.definitions import Definitions
from gateway.derive.lanes import Work
from gateway.derive.refusal import error_record
from gateway.derive.row import Refused, Results, Row
from gateway.errors import LogUnavailable
from gateway.eventlog.port import EventLog, TopicState
from gateway.intake.validate import InvalidEvent
from gateway.model.record import NewRecord, TopicPartition

CANARY_KEY = b"\xffcanary"
"""Of canary events in a compacted topic; no row has it, since it is no UTF-8."""


class Target:
    """Of one derived stream, or a lane of it. `say` takes what an operator should know."""

    def __init__(self, work: Work, definitions: Definitions, clock: Clock, say: Callable[[str], None]) -> None:
        assert work.stream.derive is not None
        self._work = work
        self._stream = work.stream
        self._derivation = work.stream.derive
        self._definitions = definitions
        self._clock = clock
        self._say = say
        self._partitions = [0]
        """Those of its topic that it stores rows in."""
        self._count = 1
        """Of all partitions of its topic."""
        self._told_refused = 0

    async def create(self, log: EventLog, partitions: int, read: Sequence[TopicPartition]) -> None:
        """Create its topic, with as many partitions as the first source has (`partitions`) where no number is declared;
        and the errors'. `read` are the partitions that are read. Raises LogError."""
        source = self._definitions.catalog.streams[self._derivation.sources[0]]
        own = self._stream.partitions
        await log.create(
            self._stream.topics[0], partitions if own == source.partitions else own, self._stream.retention
        )
        errors = self._definitions.error_stream_of(self._stream)
        if errors is not None:
            await log.create(errors.topics[0], errors.partitions, errors.retention)
        state = (await log.describe(self._stream.topics)).get(self._stream.topics[0])
        if not isinstance(state, TopicState):
            raise LogUnavailable(f"nothing is known of its topic: {state or 'it is not there'}")
        self._count = state.partitions
        self._partitions = list(range(self._count))
        if self._work.lane is not None:
            self._partitions = sorted({place.partition % self._count for place in read})

    def records(self, results: Results, canary: Row | None) -> list[tuple[str, NewRecord]]:
        """What is to be stored, each with its topic."""
        topic = self._stream.topics[0]
        made = [(topic, self._record(row)) for row in results.rows]
        if canary is not None:
            made += [(topic, record) for record in self._canaries(canary)]
        return made + self._errors(results.refused)

    def _record(self, row: Row) -> NewRecord:
        # A row is in the partition of its key, as its event is; without a key, in one of the same number. A lane has
        # partitions of its own: in those of others its times would not rise.
        partition = row.partition if row.key is None or self._work.lane is not None else None
        if partition is not None:
            partition %= self._count
        elif self._work.lane is not None:
            partition = self._partitions[zlib.crc32(row.key or b"") % len(self._partitions)]
        return NewRecord(row.value, row.key, max(row.timestamp, 0), partition)

    def _canaries(self, canary: Row) -> list[NewRecord]:
        """One for each partition. A topic that is compacted takes no record without a key."""
        key = CANARY_KEY if self._stream.retention.compacted else None
        return [NewRecord(canary.value, key, canary.timestamp, number) for number in self._partitions]

    def _errors(self, refused: Sequence[Refused]) -> list[tuple[str, NewRecord]]:
        """What was refused, for the error stream."""
        if not refused:
            return []
        target = self._definitions.error_stream_of(self._stream)
        schema = None if target is None else self._definitions.schemas.taken_by(target)
        made = []
        for one in refused:
            if target is None or schema is None:
                self._lost(one.reason)
                continue
            try:
                record = error_record(one, self._stream.name, self._derivation, target, schema, self._clock.now())
            except InvalidEvent as error:
                self._lost(f"{error}: {one.reason}")
            else:
                made.append((target.topics[0], record))
        return made

    def _lost(self, reason: str) -> None:
        self._told_refused += 1
        if self._told_refused == 1:
            self._say(f"refused, and there is no error stream that takes it: {reason}")
