"""A new version of a derived stream takes over the name once it is as far as the one before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.app.composition import define
from gateway.app.gateway import Gateway
from gateway.definitions import Definitions
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord
from gateway.settings.configuration import configure
from tests.kit.clock import HandClock
from tests.kit.waiting import PATIENCE, becomes

SCHEMAS = Path(__file__).parents[2] / "config" / "schemas"
START = 1_767_225_600_000


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.app.succession.LOOK_SECONDS", 0.02)
    # What takes longer counts as caught up, also where this process was held up meanwhile.
    monkeypatch.setattr("gateway.app.succession.LOOK_WAIT", PATIENCE)


def definitions(tmp_path: Path, version: int) -> tuple[Gateway, Definitions, MemoryLog]:
    row = tmp_path / "schemas" / "row" / "1.0.0.json"
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_bytes(orjson.dumps({"$id": "/row/1.0.0", "title": "row", "type": "object", "properties": {}}))
    path = tmp_path / "gateway.yaml"
    derive = f"{{from: [s], version: {version}, allow_unknown: true, select: {{n: event.n}}}}"
    path.write_text(
        f"schema_repositories: [{SCHEMAS}, {tmp_path / 'schemas'}]\nport: 0\nadmin_port: 0\n"
        f"streams:\n  s: {{}}\n  a: {{schema_title: row, derive: {derive}}}\n"
    )
    configured = configure({"config": str(path)}, {})
    found, _ = define(configured)
    log = MemoryLog()
    return Gateway(configured.settings, found, log), found, log


def put(log: MemoryLog, topic: str, *times: int) -> None:
    for time in times:
        log.append_now(topic, [NewRecord(orjson.dumps({"n": time}), b"k", START + time)])


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await task


def topics(gateway: Gateway) -> tuple[str, ...]:
    return gateway.current.catalog.streams["a"].topics


async def test_the_name_moves_once_the_new_version_is_as_far(tmp_path: Path) -> None:
    gateway, _, log = definitions(tmp_path, 2)
    for topic in ("s", "a"):
        log.create_topic(topic)
    put(log, "a", 1, 2, 3)
    async with running(gateway):
        await becomes(lambda: topics(gateway) == ("a",))
        log.create_topic("a.v2")
        put(log, "a.v2", 1, 2)
        await asyncio.sleep(0.1)
        assert topics(gateway) == ("a",)
        assert gateway.current.catalog.streams["a"].awaited == ("a.v2",)
        put(log, "a.v2", 3)
        await becomes(lambda: topics(gateway) == ("a.v2",))
        # It never goes back.
        put(log, "a", 9)
        await asyncio.sleep(0.1)
        assert topics(gateway) == ("a.v2",)


async def test_a_reload_to_a_new_version_holds_the_name_back(tmp_path: Path) -> None:
    gateway, _, log = definitions(tmp_path, 1)
    for topic in ("s", "a"):
        log.create_topic(topic)
    put(log, "a", 1)
    _, second, _ = definitions(tmp_path, 2)
    async with running(gateway):
        await becomes(gateway.hub.filled.is_set)
        await gateway.take(second)
        assert topics(gateway) == ("a",)
        log.create_topic("a.v2")
        put(log, "a.v2", 1)
        await becomes(lambda: topics(gateway) == ("a.v2",))


async def test_a_version_with_nothing_before_it_has_the_name_at_once(tmp_path: Path) -> None:
    gateway, _, log = definitions(tmp_path, 2)
    log.create_topic("s")
    async with running(gateway):
        await becomes(gateway.hub.filled.is_set)
        assert topics(gateway) == ("a.v2",)


async def test_a_version_that_is_near_the_present_has_caught_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the one before had: its last rows may be of keys that are not there any more."""
    gateway, found, log = definitions(tmp_path, 2)
    clock = HandClock(gateway.clock.now())
    monkeypatch.setattr(gateway.succession, "_clock", clock)
    now = clock.now() - START
    for topic in ("s", "a", "a.v2"):
        log.create_topic(topic)
    put(log, "a", now + 10_000)
    put(log, "a.v2", now - 59_000)
    assert (await gateway.succession.in_force(found)) is found


async def test_while_the_log_is_away_a_name_stays_where_it_is(tmp_path: Path) -> None:
    gateway, found, log = definitions(tmp_path, 2)
    log.create_topic("a")
    put(log, "a", 1)
    log.available = False
    assert (await gateway.succession.in_force(found)) is found
    log.available = True
    held = await gateway.succession.in_force(found)
    assert held.catalog.streams["a"].topics == ("a",)
    log.available = False
    assert (await gateway.succession.in_force(found)).catalog.streams["a"].topics == ("a",)


def hold_first_answer(gateway: Gateway) -> tuple[asyncio.Event, asyncio.Event]:
    """The next question which versions are in force is answered, by what holds now, once the second event is set. The
    first one says that it was asked."""
    asked, told = asyncio.Event(), asyncio.Event()
    answer = gateway.succession.in_force

    async def in_force(definitions: Definitions) -> Definitions:
        is_first = not asked.is_set()
        asked.set()
        found = await answer(definitions)
        if is_first:
            await told.wait()
        return found

    gateway.succession.in_force = in_force  # type: ignore[method-assign]
    return asked, told


async def test_a_reload_while_the_gateway_starts_is_not_undone(tmp_path: Path) -> None:
    gateway, _, log = definitions(tmp_path, 2)
    log.create_topic("a")
    put(log, "a", 1)
    asked, told = hold_first_answer(gateway)
    _, second, _ = definitions(tmp_path, 1)
    async with running(gateway):
        await asked.wait()
        taking = asyncio.create_task(gateway.take(second))
        await becomes(lambda: gateway.current.definitions is second)
        told.set()
        await taking
        await becomes(gateway.hub.filled.is_set)
        assert gateway.current.definitions is second


async def test_a_reload_while_a_name_moves_is_not_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, _, log = definitions(tmp_path, 2)
    moved, ended = asyncio.Event(), asyncio.Event()

    async def wait(*_: Definitions) -> None:
        await moved.wait()
        moved.clear()

    monkeypatch.setattr(gateway.succession, "wait", wait)
    put_in_force = gateway._put_in_force

    async def put_and_tell(found: Definitions) -> list[str]:
        notes = await put_in_force(found)
        ended.set()
        return notes

    log.create_topic("a")
    _, second, _ = definitions(tmp_path, 1)
    async with running(gateway):
        await becomes(gateway.hub.filled.is_set)
        asked, told = hold_first_answer(gateway)
        moved.set()
        await asked.wait()
        await gateway.take(second)
        monkeypatch.setattr(gateway, "_put_in_force", put_and_tell)
        told.set()
        await ended.wait()
        assert gateway.current.definitions is second
