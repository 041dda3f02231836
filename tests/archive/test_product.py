"""The gateway over a log that forgets and an archive that does not: the same bytes, ids included, wherever one ends and
the other begins."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.archive.log import ArchivedLog
from gateway.archive.threads import Arguments, Result, Threads
from gateway.catalog.stream import Stream
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, TopicPartition
from tests.archive.kit import START, Desk
from tests.routes.kit import running

TOPICS = {"one": 2, "two": 1}
PARTITIONS = [TopicPartition(topic, number) for topic, count in TOPICS.items() for number in range(count)]
RECORDS = 60
"""Of a partition; the ring holds a part of them alone."""
PATH = "/v2/stream/all"
LINES = {"accept": "application/x-ndjson"}
SMALL: dict[str, Any] = {"ring_bytes": 65_536, "flush_bytes": 4096, "replay_cache_bytes": 0, "ring_fill": 0.0}


class Slow(Threads):
    """Threads whose every call takes so many seconds more."""

    seconds = 0.0

    async def run(
        self, seconds: float, call: Callable[Arguments, Result], *given: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """See Threads."""
        await asyncio.sleep(self.seconds)
        return await super().run(seconds, call, *given, **named)


class OverMemory(ArchivedLog):
    """With what the kit of the routes does to a log in memory."""

    def __init__(self, memory: MemoryLog, desk: Desk) -> None:
        super().__init__(memory, lambda _: desk.archive)
        self.archives = dict.fromkeys(TOPICS, desk.archive)
        self.memory = memory
        self.threads = self.slow = Slow(2, "test")

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """See MemoryLog."""
        self.memory.create_topic(topic, partitions)


def fill(memory: MemoryLog, chance: random.Random) -> None:
    """Records of 2 KB, whose times interleave, go back at times, and are shared by some."""
    for topic, count in TOPICS.items():
        memory.create_topic(topic, count)
    for partition in PARTITIONS:
        new = [
            NewRecord(
                b'{"n":%d,"of":"%s/%d","text":"%s"}' % (n, partition.topic.encode(), partition.partition, b"x" * 2000),
                b"k%d" % (n % 5),
                START + 100 * n + chance.randrange(-150, 150),
                partition.partition,
            )
            for n in range(RECORDS)
        ]
        memory.append_now(partition.topic, new)


def told(body: str) -> list[str]:
    """What a response says that does not depend on when it says it: all frames but heartbeats and the welcome."""
    return [frame for frame in body.split("\n\n") if frame.startswith("event: ")]


@pytest.mark.long
async def test_replays_are_the_same_at_every_point_of_a_cut(tmp_path: Path) -> None:
    chance = random.Random(1)
    memory = MemoryLog()
    fill(memory, chance)
    writer = Desk(tmp_path / "table", memory, *TOPICS)
    await writer.copy()
    log = OverMemory(memory, Desk(tmp_path / "table", memory))
    streams = [Stream("all", tuple(TOPICS))]
    # The range ends before the newest records, so that it is finished.
    asked = f"{PATH}?since={START - 1000}&until={START + 100 * (RECORDS - 4)}"
    async with running(log, streams, **SMALL) as site:  # type: ignore[arg-type]
        whole = told((await site.get(asked)).text)
        assert len(whole) > 3 * (RECORDS - 8)
        settled = await site.get(asked, headers=LINES)
        assert settled.headers["etag"]
        ids = [frame.split("\n")[1].removeprefix("id: ") for frame in whole]
        places = [chance.randrange(len(ids) - 3) for _ in range(3)]
        for cut in range(1, RECORDS + 1):
            for partition in PARTITIONS:
                memory.truncate(*partition, cut if partition.partition == 0 else RECORDS - cut)
            if cut % 20 == 0:
                await writer.copy()
                lines = await site.get(asked, headers=LINES)
                assert lines.headers["etag"] == settled.headers["etag"]
                is_same = lines.content == settled.content
                assert is_same, f"lines differ where the log begins at {cut}"
            again = told((await site.get(asked)).text)
            is_same = again == whole  # A difference of this length would take pytest down.
            assert is_same, f"the log begins at {cut}"
            place = places[cut % 3]
            after = told((await site.get(asked, headers={"last-event-id": ids[place]})).text)
            is_same = after == whole[place + 1 :]
            assert is_same, f"the log begins at {cut}, resumed at {ids[place]}"


@pytest.mark.long
async def test_a_slow_archive_changes_no_event_and_no_order(tmp_path: Path) -> None:
    """Heartbeats come by the clock. All else is the same."""
    memory = MemoryLog()
    fill(memory, random.Random(1))
    await Desk(tmp_path / "table", memory, *TOPICS).copy()
    for partition in PARTITIONS:
        memory.truncate(*partition, 50)
    log = OverMemory(memory, Desk(tmp_path / "table", memory))
    asked = f"{PATH}?since={START - 1000}&until={START + 100 * (RECORDS - 4)}"
    streams = [Stream("all", tuple(TOPICS))]
    async with running(log, streams, **SMALL, heartbeat=0.2) as site:  # type: ignore[arg-type]
        fast = (await site.get(asked)).text
        log.slow.seconds = 0.3
        slow = (await site.get(asked)).text
    assert slow != fast
    assert told(slow) == told(fast)
    assert slow.count("\nid: ") > fast.count("\nid: ")


@pytest.mark.long
async def test_without_its_archive_a_gap_is_told(tmp_path: Path) -> None:
    """So what the test above sees comes from the archive."""
    memory = MemoryLog()
    fill(memory, random.Random(1))
    asked = f"{PATH}?since={START - 1000}&until={START + 100 * (RECORDS - 4)}"
    async with running(memory, [Stream("all", tuple(TOPICS))], **SMALL) as site:
        first = (await site.get(f"{asked}&limit=9")).text
        begun = [line[4:] for line in first.split("\n") if line.startswith("id: [")][-1]
        for partition in PARTITIONS:
            memory.truncate(*partition, 20)
        assert "event: gap" in (await site.get(asked, headers={"last-event-id": begun})).text
