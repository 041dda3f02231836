"""The builder of a view: what it does about a log that is away, short, another one, or more than a view may hold."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import TopicPartition
from gateway.observability import telemetry
from gateway.state.builder import keep_building
from gateway.state.files import discard, path_of, state_of
from gateway.state.lookup import State
from tests.kit.disk import small_disk
from tests.kit.waiting import becomes
from tests.routes.viewing import TOPIC, VIEW, page


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SURVEY_SECONDS", "WAIT", "FIRST_PAUSE", "LOCK_SECONDS"):
        monkeypatch.setattr(f"gateway.state.builder.{name}", 0.02)


def log_with(partitions: int, *titles: str) -> MemoryLog:
    """A log with these pages in the first partition."""
    log = MemoryLog()
    log.create_topic(TOPIC, partitions)
    log.append_now(TOPIC, [page(title, n) for n, title in enumerate(titles)])
    return log


@asynccontextmanager
async def building(directory: Path, log: MemoryLog, keys: int = 1000, view: object = VIEW) -> AsyncIterator[None]:
    """A builder that works meanwhile."""
    stop = asyncio.Event()
    task = asyncio.create_task(keep_building(view, log, directory, keys, SystemClock(), stop))  # type: ignore[arg-type]
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


def known(directory: Path) -> State | None:
    """What is stored."""
    return state_of(path_of(directory, VIEW))


def reaches(directory: Path, next_offset: int, partition: int = 0) -> bool:
    """Whether the first record that was not read of a partition is this."""
    state = known(directory)
    return state is not None and partition in state.places and state.places[partition].next == next_offset


async def test_a_view_with_too_many_keys_stops_and_says_so(tmp_path: Path) -> None:
    log = log_with(2, "A", "B")
    async with building(tmp_path, log, keys=3):
        await becomes(lambda: reaches(tmp_path, 2))
        log.append_now(TOPIC, [page("C"), page("D")])
        await becomes(lambda: (state := known(tmp_path)) is not None and state.halted is not None)
    state = known(tmp_path)
    assert state is not None
    assert (state.keys, state.places[0].next) == (2, 2)
    assert "view_keys" in (state.halted or "")


async def test_a_sick_partition_holds_no_other_one_back(tmp_path: Path) -> None:
    log = log_with(2, "A")
    sick = TopicPartition(TOPIC, 1)
    log.refuse(sick, Trouble(Kind.NO_LEADER, "none"))
    async with building(tmp_path, log):
        await becomes(lambda: reaches(tmp_path, 1))
        log.append_now(TOPIC, [page("B"), page("C", partition=1)])
        await becomes(lambda: reaches(tmp_path, 2))
        assert not reaches(tmp_path, 1, 1)
        log.refuse(sick, None)
        await becomes(lambda: reaches(tmp_path, 1, 1))


async def test_partitions_are_added_while_it_is_built(tmp_path: Path) -> None:
    log = log_with(2, "A")
    async with building(tmp_path, log):
        await becomes(lambda: reaches(tmp_path, 1))
        log.add_partitions(TOPIC, 3)
        log.append_now(TOPIC, [page("B", partition=2)])
        await becomes(lambda: reaches(tmp_path, 1, 2))


async def test_a_log_that_is_away_is_waited_for(tmp_path: Path) -> None:
    log = log_with(2, "A")
    log.available = False
    async with building(tmp_path, log):
        await asyncio.sleep(0.1)
        log.available = True
        await becomes(lambda: reaches(tmp_path, 1))
        log.available = False
        await asyncio.sleep(0.1)
        log.available = True
        log.append_now(TOPIC, [page("B")])
        await becomes(lambda: reaches(tmp_path, 2))


async def test_records_that_were_gone_before_they_were_read_are_counted(tmp_path: Path) -> None:
    log = log_with(2, "A")
    async with building(tmp_path, log):
        await becomes(lambda: reaches(tmp_path, 1))
    log.append_now(TOPIC, [page("B"), page("C"), page("D")])
    log.truncate(TOPIC, 0, 3)
    before = telemetry.registry.get_sample_value("gateway_view_lost_total", {"view": "pages"}) or 0
    async with building(tmp_path, log):
        await becomes(lambda: reaches(tmp_path, 4))
    assert telemetry.registry.get_sample_value("gateway_view_lost_total", {"view": "pages"}) == before + 2


async def test_a_log_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    log = log_with(2, "A", "B", "C")
    async with building(tmp_path, log):
        await becomes(lambda: reaches(tmp_path, 3))
    log.cut(TOPIC, 0, 1)
    log.append_now(TOPIC, [page("D")])
    async with building(tmp_path, log):
        await becomes(lambda: reaches(tmp_path, 2))
    state = known(tmp_path)
    assert state is not None
    assert state.keys == 2


async def test_a_topic_with_several_partitions_needs_a_key_that_tells_them_apart(tmp_path: Path) -> None:
    log = log_with(2, "A")
    view = dataclasses.replace(VIEW, determined=False)
    async with building(tmp_path, log, view=view):
        await asyncio.sleep(0.2)
    assert state_of(path_of(tmp_path, view)) is None


async def test_of_two_builders_one_writes_and_the_other_takes_over(tmp_path: Path) -> None:
    log = log_with(2, "A")
    async with building(tmp_path, log):
        async with building(tmp_path, log):
            await becomes(lambda: reaches(tmp_path, 1))
        log.append_now(TOPIC, [page("B")])
        await becomes(lambda: reaches(tmp_path, 2))


async def test_a_file_that_was_taken_away_is_built_again(tmp_path: Path) -> None:
    log = log_with(2, "A", "B")
    async with building(tmp_path, log):
        await becomes(lambda: reaches(tmp_path, 2))
        assert discard(tmp_path, VIEW) == 1
        assert known(tmp_path) is None
        await becomes(lambda: reaches(tmp_path, 2))


async def test_a_full_disk_is_told_and_the_view_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(telemetry, "view_halted", lambda name, reason, pause: told.append(f"{name}: {reason}"))
    monkeypatch.setattr("gateway.state.builder.LONGEST_PAUSE", 0.02)
    log = log_with(1, *(f"page {n}" for n in range(100)))
    with small_disk(tmp_path / "disk", "32m") as disk:
        async with building(disk.directory, log, keys=10_000):
            await becomes(lambda: reaches(disk.directory, 100))
            disk.fill()
            log.append_now(TOPIC, [page(f"page {n} {'x' * 900}", n) for n in range(100, 2000)])
            await becomes(lambda: len(told) > 1)
            assert "pages: database or disk is full" in told
            full = known(disk.directory)
            assert full is not None
            assert full.keys == full.places[0].next < 2000, "position and state go together"
            disk.free()
            await becomes(lambda: reaches(disk.directory, 2000))
        state = known(disk.directory)
        assert state is not None
        assert (state.keys, state.halted) == (2000, None)
