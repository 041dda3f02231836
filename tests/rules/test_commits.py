"""What a stop in the middle of an append leaves behind: each record and its position, or neither, and nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import LogWriter
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.rules.commits import Commits, Finished, PositionMoved
from gateway.rules.lane import Item
from gateway.rules.tries import first_tries
from gateway.rules.window import Window
from tests.rules.kit import values

NAME, SOURCE, DEAD = "purge", "wiki.page-create", "wiki.purge-dead"


class Halting:
    """A writer that stands still in each append while it is told to, before the log has the records or after."""

    def __init__(self, writer: LogWriter, desk: Desk) -> None:
        self._writer = writer
        self._desk = desk

    @property
    def position(self) -> bytes | None:
        return self._writer.position

    async def append(
        self, records: Sequence[tuple[str, NewRecord]], position: bytes
    ) -> list[tuple[TopicPartition, int]]:
        if self._desk.halts == "before":
            await self._desk.halt()
        found = await self._writer.append(records, position)
        if self._desk.halts == "after":
            await self._desk.halt()
        return found

    async def close(self) -> None:
        await self._writer.close()


class Desk:
    """The commits of a rule, and what it has in hand of one partition."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.log.create_topic(SOURCE)
        self.log.create_topic(DEAD)
        self.window = Window(0)
        self.halts = ""
        self.halted = asyncio.Event()
        self.released: list[int] = []
        self.commits = Commits(NAME, self._open, self.position, lambda item: self.released.append(item.record.offset))

    async def _open(self) -> LogWriter:
        return Halting(await self.log.writer(NAME), self)

    async def halt(self) -> None:
        self.halts = ""
        self.halted.set()
        await asyncio.Event().wait()

    def position(self) -> bytes:
        return f"{self.window.low()} {self.window.settled()}".encode()

    def finish(self, offset: int) -> None:
        """An event is dead."""
        record = Record(SOURCE, 0, offset, 0, None, b"{}")
        self.window.begin(offset)
        item = Item(record, {}, self.window, first_tries(NAME, record))
        self.commits.put(Finished(item, [(DEAD, NewRecord(b"%d" % offset))]))

    async def dead(self) -> list[bytes | None]:
        return [record.value for record in await values(self.log, DEAD)]


@pytest.mark.parametrize("halts", ["before", "after"])
async def test_what_a_stop_cuts_off_is_stored_once(halts: str) -> None:
    desk = Desk()
    await desk.commits.open()
    desk.finish(0)
    desk.halts = halts
    running = asyncio.create_task(desk.commits.run())
    await desk.halted.wait()
    desk.finish(1)
    running.cancel()
    await asyncio.wait([running])
    await desk.commits.flush()
    assert await desk.dead() == [b"0", b"1"]
    assert desk.released == [0, 1]
    assert desk.commits.unstored == 0
    assert (await desk.log.writer(NAME)).position == desk.position() == b"2 []"


@pytest.mark.parametrize("halts", ["before", "after"])
async def test_a_flush_that_is_cut_off_may_be_called_again(halts: str) -> None:
    desk = Desk()
    await desk.commits.open()
    desk.finish(0)
    for _ in range(3):
        desk.halts = halts
        desk.halted.clear()
        flushing = asyncio.create_task(desk.commits.flush())
        halted = asyncio.create_task(desk.halted.wait())
        await asyncio.wait([flushing, halted], return_when=asyncio.FIRST_COMPLETED)
        flushing.cancel()
        halted.cancel()
        await asyncio.wait([flushing, halted])
    desk.halts = ""
    await desk.commits.flush()
    assert await desk.dead() == [b"0"]
    assert desk.released == [0]


async def test_what_was_cut_off_is_left_to_whoever_has_taken_over() -> None:
    desk = Desk()
    await desk.commits.open()
    desk.finish(0)
    desk.halts = "before"
    flushing = asyncio.create_task(desk.commits.flush())
    await desk.halted.wait()
    flushing.cancel()
    await asyncio.wait([flushing])
    other = await desk.log.writer(NAME)
    await other.append([(DEAD, NewRecord(b"other"))], b"elsewhere")
    with pytest.raises(PositionMoved):
        await desk.commits.flush()
    assert await desk.dead() == [b"other"]
