"""A view whose log begins late, and whose archive has what is older: the same state, history and ids as of the log
alone, wherever one ends and the other begins."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.archive.log import ArchivedLog
from gateway.catalog.derivation import Expression
from gateway.catalog.view import View
from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import EventLog
from gateway.model.record import NewRecord
from gateway.state.builder import keep_building
from gateway.state.files import path_of, state_of
from tests.archive.kit import START, Desk
from tests.kit.waiting import becomes

TOPIC = "pages"
PARTITIONS = 2
RECORDS = 60
"""Of a partition."""
VIEW = View("v", TOPIC, TOPIC, ("page",), "merge", Expression("has(event.gone)"), tombstone=("page",), determined=True)
CUTS = [(0, 0), (1, 0), (30, 29), (31, 59), (60, 60)]
"""How many records the log has forgotten of each partition, one time after the other."""


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.builder.WAIT", 0.02)
    # So that several batches lie before the hand-over, and several after it.
    monkeypatch.setattr("gateway.state.builder.BATCH_RECORDS", 7)


def filled() -> MemoryLog:
    """Pages that change, are deleted, and are changed again; times go back at times."""
    log, chance = MemoryLog(), random.Random(1)
    log.create_topic(TOPIC, PARTITIONS)
    for partition in range(PARTITIONS):
        for number in range(RECORDS):
            page = f"{partition}-{chance.randrange(6)}"
            event: dict[str, Any] = {"page": page, "n": number, f"m{number % 4}": number / 4}
            if number % 11 == 5:
                event["gone"] = True
            value = None if number % 13 == 7 else orjson.dumps(event)
            time = START + 100 * number + chance.randrange(-150, 150)
            log.append_now(TOPIC, [NewRecord(value, page.encode(), time, partition)])
    return log


def told(path: Path) -> tuple[Any, ...]:
    """What a view knows: how far it is, since when, and each version of each key with all that ids are made of."""
    state = state_of(path)
    assert state is not None
    with closing(sqlite3.connect(path)) as file:
        versions = file.execute(
            "SELECT key, partition, offset, timestamp, seen, value FROM changes ORDER BY key, partition, offset"
        ).fetchall()
        newest = file.execute(
            "SELECT c.key, h.partition, h.offset FROM current c JOIN changes h USING (seq) ORDER BY c.key"
        ).fetchall()
    return state.places, state.keys, state.earliest, state.horizon, versions, newest


async def built(directory: Path, log: EventLog) -> tuple[Any, ...]:
    """The view of a log, once it has read all of it."""
    stop, path = asyncio.Event(), path_of(directory, VIEW)
    task = asyncio.create_task(keep_building(VIEW, log, directory, 1000, SystemClock(), stop))

    def has_all() -> bool:
        state = state_of(path)
        return state is not None and state.ready and all(one.next == RECORDS for one in state.places.values())

    try:
        await becomes(has_all)
    finally:
        stop.set()
        await task
    return told(path)


@pytest.mark.long
async def test_a_view_is_the_same_wherever_the_archive_ends(tmp_path: Path) -> None:
    log = filled()
    await Desk(tmp_path / "table", log, TOPIC).copy()
    alone = await built(tmp_path / "alone", log)
    assert alone[1] > 5
    assert len(alone[4]) > RECORDS
    desk = Desk(tmp_path / "table", log)
    both = ArchivedLog(log, lambda _: desk.archive)
    both.archives = {TOPIC: desk.archive}
    for index, cuts in enumerate(CUTS):
        for partition, cut in enumerate(cuts):
            log.truncate(TOPIC, partition, cut)
        assert await built(tmp_path / str(index), both) == alone, cuts
    # It is the archive that tells it: without it, what the log forgot is not known.
    assert await built(tmp_path / "without", log) != alone
