"""A log in memory whose appends fail as a test wishes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.errors import LogUnavailable
from gateway.eventlog.memory.log import MemoryLog, MemoryWriter
from gateway.mirror.record import SourcePosition
from gateway.model.record import NewRecord, TopicPartition
from tests.mirror.kit import NAME


class Writer(MemoryWriter):
    """Fails as the log says: `lose` appends store nothing, `deaf` ones store and do not say so."""

    log: Log

    async def append(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        """See LogWriter."""
        kind = self.log.failures.pop(0) if self.log.failures else ""
        if kind == "lose":
            raise LogUnavailable("lost")
        places = await super().append(records, position)
        self.log.appends.append(len(records))
        if kind == "deaf":
            raise LogUnavailable("not heard")
        await self.log.let.wait()
        return places


class Log(MemoryLog):
    """A log in memory whose writers fail as a test says, and stop while `let` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.appends: list[int] = []
        self.let = asyncio.Event()
        self.let.set()

    async def writer(self, name: str) -> Writer:
        """See EventLog."""
        before = await super().writer(name)
        writer = Writer(self, name, before.position)
        writer.log = self
        self.writers[name] = writer
        return writer

    @property
    def position(self) -> SourcePosition:
        """What is kept."""
        return SourcePosition.decode(self.writers[NAME].position)
