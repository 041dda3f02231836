"""A log whose values are framed as they are appended and freed of it as they are read, by the log over logs that
converts. To its users it is a log like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.offer import Fate
from gateway.eventlog.port import LogWriter
from gateway.forms.convert import Forms
from gateway.forms.frame import framed
from gateway.forms.log import ConvertingLog
from gateway.forms.registry import Registry
from gateway.model.record import NewRecord, TopicPartition
from tests.eventlog.kit import WAIT, MemoryBench

NUMBER = 7


async def _answer(path: str) -> Any:
    assert path == f"/schemas/ids/{NUMBER}"
    return {"schema": "{}", "schemaType": "JSON"}


class FramedLog(ConvertingLog):
    """Over a log in memory."""

    def __init__(self, memory: MemoryLog) -> None:
        super().__init__(memory, (), Registry(_answer, SystemClock()))
        self._memory = memory

    def _form(self, topic: str) -> Forms | None:
        return Forms("json-schema", "string")

    async def open(self) -> None:
        """See EventLog. The one schema is known from the start, as it is in the long run."""
        await super().open()
        self.registry.want([NUMBER])
        async with asyncio.timeout(WAIT):
            while not self.registry.has(NUMBER):
                await self.registry.news(WAIT)

    async def offer(self, topic: str, records: Sequence[NewRecord]) -> list[Fate]:
        """See EventLog."""
        return await super().offer(topic, list(map(_framed, records)))

    async def append(self, topic: str, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See EventLog."""
        return await super().append(topic, list(map(_framed, records)))

    async def writer(self, name: str) -> LogWriter:
        """See EventLog."""
        return _FramedWriter(await super().writer(name))

    async def delete(self, topic: str) -> None:
        """See DeletingLog."""
        await self._memory.delete(topic)


class _FramedWriter:
    def __init__(self, inner: LogWriter) -> None:
        self._inner = inner
        self.close = inner.close

    @property
    def position(self) -> bytes | None:
        """See LogWriter."""
        return self._inner.position

    async def append(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        """See LogWriter."""
        return await self._inner.append([(topic, _framed(new)) for topic, new in records], position)


def _framed(new: NewRecord) -> NewRecord:
    return new if new.value is None else new._replace(value=framed(NUMBER, new.value))


class FramedBench(MemoryBench):
    """Values of which each has five bytes more than it is read with."""

    def __init__(self, memory: MemoryLog) -> None:
        super().__init__(memory)
        self.log = FramedLog(memory)
