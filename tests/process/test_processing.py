"""Derived streams and rules side by side: what goes on, what begins anew, and what a reload changes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.app.composition import define
from gateway.derive import keep
from gateway.derive.operator import DEFAULT_BOUNDS
from gateway.derive.run import Runner
from gateway.errors import LogForbids, WriterFenced
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, TopicPartition
from gateway.observability import telemetry
from gateway.process.processing import Declared, Processing
from gateway.settings.configuration import configure
from gateway.settings.table import Settings
from tests.end_to_end.process import eventually

SCHEMAS = Path(__file__).parents[2] / "config" / "schemas"
START = """
schema_repositories: [{schemas}, {own}]
streams:
  wiki.change: {{}}
  dead: {{schema_title: gateway/error}}
"""
DOUBLE = "  double: {{schema_title: row, derive: {{from: [wiki.change], select: {{n: event.n * {factor}}}}}}}\n"
BROKEN = "  broken: {schema_title: row, derive: {from: [wiki.change], select: {n: event.n}}}\n"
RULE = """
rules:
  copy:
    on: [double]
    do: [{{produce: {{stream: copied}}}}]
    dead_stream: dead
"""


class Place:
    """A configuration that is written again and again."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "gateway.yaml"
        self._own = directory / "schemas"
        title = self._own / "row" / "1.0.0.json"
        title.parent.mkdir(parents=True)
        row = {"type": "object", "properties": {"n": {"type": "integer"}, "meta": {"type": "object"}}}
        title.write_bytes(orjson.dumps(row | {"$id": "/row/1.0.0", "title": "row"}))

    def declared(self, *parts: str) -> Declared:
        """What these parts declare, as the process gets it."""
        self.path.write_text(START.format(schemas=SCHEMAS, own=self._own) + "".join(parts))
        configured = configure({"config": str(self.path)}, {})
        definitions, _ = define(configured)
        made: Declared = pickle.loads(pickle.dumps(Declared(definitions, configured.rules)))
        return made


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def brief_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.derive.run.WAIT", 0.02)


class KeptLog(MemoryLog):
    """A log whose records outlive its closing."""

    async def close(self) -> None:
        pass


@pytest.fixture
def log() -> KeptLog:
    return KeptLog()


@asynccontextmanager
async def running(log: MemoryLog, declared: Declared) -> AsyncIterator[Processing]:
    processing, stop = Processing(Settings(), log), asyncio.Event()
    task = asyncio.create_task(processing.run(declared, stop))
    try:
        yield processing
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


async def put(log: MemoryLog, *numbers: int) -> None:
    for number in numbers:
        event = {"meta": {"dt": "2026-01-01T00:00:00Z", "id": str(number)}, "n": number}
        await log.append("wiki.change", [NewRecord(orjson.dumps(event), None, 1_767_225_600_000)])


async def numbers_in(log: MemoryLog, topic: str) -> list[int]:
    if topic not in await log.describe([topic]):
        return []
    reader = await log.reader({TopicPartition(topic, 0): 0})
    found = [record for batch in await reader.fetch(0.0) for record in getattr(batch, "records", ())]
    await reader.close()
    return [orjson.loads(record.value)["n"] for record in found if record.value]


async def come(log: MemoryLog, topic: str, expected: list[int]) -> None:
    async def there() -> bool:
        return await numbers_in(log, topic) == expected

    await eventually(there, f"{expected} in {topic}", 10)


def counted(name: str, stream: str) -> float:
    family = name.removesuffix("_total")
    return telemetry.own_figures().counts.get((family, name, (("stream", stream),)), 0.0)


async def test_streams_and_rules_run_and_go_on_where_they_were(log: KeptLog, place: Place) -> None:
    await log.create("wiki.change", 1)
    declared = place.declared(DOUBLE.format(factor=2), "  copied: {schema_title: row}\n", RULE.format())
    before = counted("gateway_derive_rows_total", "double")
    async with running(log, declared):
        await put(log, 1, 2)
        await come(log, "double", [2, 4])
    await put(log, 3)
    async with running(log, declared):
        await come(log, "double", [2, 4, 6])
        # A new rule begins with what comes after its first start.
        await eventually(lambda: ends_with(log, "copied", 6), "the rule", 10)
    assert counted("gateway_derive_rows_total", "double") == before + 3


async def ends_with(log: MemoryLog, topic: str, number: int) -> bool:
    return (await numbers_in(log, topic))[-1:] == [number]


@pytest.mark.parametrize("failure", [ZeroDivisionError, MemoryError, LogForbids])
async def test_one_that_fails_is_begun_anew_and_the_others_go_on(
    log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    monkeypatch.setattr(keep, "FIRST_PAUSE", 0.01)
    run, fails = Runner.run, 3

    async def failing(runner: Runner, stop: asyncio.Event) -> None:
        nonlocal fails
        if runner.name == "broken" and fails:
            fails -= 1
            raise failure()
        await run(runner, stop)

    monkeypatch.setattr(Runner, "run", failing)
    await log.create("wiki.change", 1)
    before = counted("gateway_derive_halts_total", "broken")
    async with running(log, place.declared(DOUBLE.format(factor=2), BROKEN)):
        await put(log, 1)
        await come(log, "double", [2])
        await come(log, "broken", [1])
    assert counted("gateway_derive_halts_total", "broken") == before + 3


async def test_pauses_grow_and_are_bounded(log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keep, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(keep, "LONGEST_PAUSE", 0.004)
    pauses: list[float] = []
    stop = asyncio.Event()

    async def failing(runner: Runner, stop: asyncio.Event) -> None:
        raise ZeroDivisionError

    def halted(stream: str, reason: str, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 5:
            stop.set()

    monkeypatch.setattr(Runner, "run", failing)
    monkeypatch.setattr(telemetry, "derive_halted", halted)
    declared = place.declared(BROKEN)
    processing = Processing(Settings(), log)
    async with asyncio.timeout(10):
        await keep.keep_deriving(declared.derived[0], declared.definitions, log, DEFAULT_BOUNDS, processing.clock, stop)
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004]


async def test_one_that_another_process_took_over_is_left_until_that_is_gone(
    log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other makes rows for a while, then none of what comes."""
    monkeypatch.setattr(keep, "STANDBY_SECONDS", 0.0)
    seen: list[tuple[int, int]] = [(0, 0), (1, 1), (2, 2), (2, 2), (-1, 3), (2, 3), (2, 4)]
    starts: list[int] = []
    stop, rest, looks = asyncio.Event(), keep._rest, 0

    async def fenced(runner: Runner, stop: asyncio.Event) -> None:
        starts.append(looks)
        if len(starts) == 2:
            stop.set()
            return
        raise WriterFenced("derive double")

    async def length(_: MemoryLog, topics: Sequence[str]) -> int:
        return seen[looks][topics[0] == "wiki.change"]

    async def looked(stop: asyncio.Event, seconds: float) -> None:
        nonlocal looks
        looks += 1
        await rest(stop, seconds)

    monkeypatch.setattr(Runner, "run", fenced)
    monkeypatch.setattr(keep, "_length", length)
    monkeypatch.setattr(keep, "_rest", looked)
    ends, tell = 0, telemetry.derive_ends

    def ended(stream: str) -> None:
        # While another derives it, this process tells of no lag.
        nonlocal ends
        ends += 1
        tell(stream)

    monkeypatch.setattr(telemetry, "derive_ends", ended)
    declared = place.declared(DOUBLE.format(factor=2))
    processing = Processing(Settings(), log)
    async with asyncio.timeout(10):
        await keep.keep_deriving(declared.derived[0], declared.definitions, log, DEFAULT_BOUNDS, processing.clock, stop)
    assert starts == [0, len(seen) - 1]
    assert ends == 2


async def test_how_far_topics_reach(log: KeptLog) -> None:
    assert await keep._length(log, ["wiki.change"]) == -1
    await log.create("wiki.change", 2)
    await put(log, 1, 2, 3)
    assert await keep._length(log, ["wiki.change", "absent"]) == 3


async def test_a_reload_begins_the_new_ends_the_old_and_leaves_the_others(
    log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    run = Runner.run

    async def told(runner: Runner, stop: asyncio.Event) -> None:
        begun.append(runner.name)
        await run(runner, stop)

    monkeypatch.setattr(Runner, "run", told)
    await log.create("wiki.change", 1)
    double = DOUBLE.format(factor=2)
    async with running(log, place.declared(double)) as processing:
        await put(log, 1)
        await come(log, "double", [2])
        await processing.take(place.declared(double, BROKEN))
        await come(log, "broken", [1])
        assert begun == ["double", "broken"]
        await processing.take(place.declared(BROKEN))
        await put(log, 2)
        await come(log, "broken", [1, 2])
        assert await numbers_in(log, "double") == [2]
        # A version is another derivation: it is begun, from the first record, in a topic of its own.
        again = BROKEN.replace("derive: {", "derive: {version: 2, ")
        await processing.take(place.declared(again))
        await come(log, "broken.v2", [1, 2])
    assert begun == ["double", "broken", "broken"]


async def test_a_reload_before_the_log_is_open_holds(log: KeptLog, place: Place) -> None:
    await log.create("wiki.change", 1)
    await put(log, 1)
    processing, stop = Processing(Settings(), log), asyncio.Event()
    await processing.take(place.declared(DOUBLE.format(factor=3)))
    task = asyncio.create_task(processing.run(place.declared(DOUBLE.format(factor=2)), stop))
    await come(log, "double", [3])
    stop.set()
    await task


async def test_what_does_not_end_is_cancelled(log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.process.processing.GRACE_SECONDS", 0.01)
    monkeypatch.setattr("gateway.process.processing.CANCEL_SECONDS", 0.01)
    begun = asyncio.Event()

    async def deaf(runner: Runner, stop: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As a library does that swallows the first.
            await asyncio.Event().wait()

    monkeypatch.setattr(Runner, "run", deaf)
    async with running(log, place.declared(DOUBLE.format(factor=2))):
        await begun.wait()


def test_nothing_is_processed_where_nothing_is_declared(place: Place) -> None:
    assert place.declared().is_empty
    assert not place.declared(DOUBLE.format(factor=2)).is_empty
    rule = RULE.format().replace("double", "wiki.change")
    assert not place.declared("  copied: {schema_title: row}\n", rule).is_empty


def test_what_a_stream_has_nothing_to_do_with_does_not_begin_it_anew(place: Place) -> None:
    double, processing = DOUBLE.format(factor=2), Processing(Settings(), MemoryLog())

    def concern(declared: Declared) -> object:
        return {name: found for name, found, _ in processing._wanted(declared)}["stream", "double"]

    first = concern(place.declared(double))
    assert concern(place.declared(double, "  other: {}\n")) == first
    assert concern(place.declared(double, "error_stream: dead\n")) != first
