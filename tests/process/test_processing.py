"""Derived streams and rules side by side: what goes on, what begins anew, and what a reload changes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from gateway.app.composition import define
from gateway.definitions import Definitions
from gateway.derive import keep
from gateway.derive.lanes import Work
from gateway.derive.operator import DEFAULT_BOUNDS
from gateway.derive.run import Runner
from gateway.errors import LogForbids, WriterFenced
from gateway.eventlog.memory.log import MemoryLog
from gateway.model.record import NewRecord, TopicPartition
from gateway.observability import telemetry
from gateway.process.processing import Declared, Processing
from gateway.settings.configuration import configure
from gateway.settings.table import Settings
from tests.end_to_end.process import WAIT, eventually

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
        async with asyncio.timeout(WAIT):
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

    await eventually(there, f"{expected} in {topic}")


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
        await eventually(lambda: ends_with(log, "copied", 6), "the rule")
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
        if runner._stream.name == "broken" and fails:
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
    async with asyncio.timeout(WAIT):
        await keep.keep_deriving(
            Work(declared.derived[0]), declared.definitions, log, DEFAULT_BOUNDS, processing.clock, stop
        )
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004]


async def test_of_two_gateways_one_works_and_the_other_takes_over(log: KeptLog, place: Place) -> None:
    """A stream and a rule: neither is done by both, and nothing is lost or repeated when the first ends."""
    await log.create("wiki.change", 1)
    declared = place.declared(DOUBLE.format(factor=2), "  copied: {schema_title: row}\n", RULE.format())
    pieces = {"derive double", "rule copy"}
    async with running(log, declared) as second:
        async with running(log, declared) as first:

            async def divided() -> bool:
                # The first to come has both until the other is there.
                return [len(first.doing), len(second.doing)] == [1, 1]

            await eventually(divided, "the work is divided")
            assert first.doing | second.doing == pieces
            await put(log, 1)
            await come(log, "double", [2])
            await come(log, "copied", [2])
        await eventually(lambda: are_done(pieces, second), "the other has all")
        await put(log, 2)
        await come(log, "double", [2, 4])
        await come(log, "copied", [2, 4])


async def are_done(pieces: set[str], *processes: Processing) -> bool:
    return set().union(*(one.doing for one in processes)) == pieces


async def test_what_another_process_has_taken_over_is_put_down(
    log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And begun again, where nobody else turns out to do it; it tells of no lag meanwhile."""
    monkeypatch.setattr("gateway.process.pieces.FENCED_SECONDS", 0.01)
    run, fenced = Runner.run, 2
    ends: list[str] = []

    async def taken_over(runner: Runner, stop: asyncio.Event) -> None:
        nonlocal fenced
        if fenced:
            fenced -= 1
            raise WriterFenced("derive double")
        await run(runner, stop)

    def ended(stream: str, lane: int | None = None) -> None:
        ends.append(stream)

    monkeypatch.setattr(Runner, "run", taken_over)
    monkeypatch.setattr(telemetry, "derive_ends", ended)
    await log.create("wiki.change", 1)
    async with running(log, place.declared(DOUBLE.format(factor=2))):
        await put(log, 1)
        await come(log, "double", [2])
        assert ends == ["double", "double"]


async def test_what_can_do_no_more_is_left_until_it_changes(log: KeptLog, place: Place) -> None:
    begun: list[str] = []

    async def derive(work: Work, definitions: Definitions, stop: asyncio.Event) -> None:
        begun.append(work.name)

    processing, stop = Processing(Settings(), log, derive=derive), asyncio.Event()
    task = asyncio.create_task(processing.run(place.declared(DOUBLE.format(factor=2)), stop))
    await eventually(lambda: has_begun(begun, 1), "the first")
    for factor in (2, 2, 3):
        await processing.take(place.declared(DOUBLE.format(factor=factor)))
    await eventually(lambda: has_begun(begun, 2), "the second")
    stop.set()
    await task
    assert begun == ["derive double", "derive double"]


async def has_begun(begun: list[str], count: int) -> bool:
    return len(begun) >= count


async def test_a_reload_begins_the_new_ends_the_old_and_leaves_the_others(
    log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    run = Runner.run

    async def told(runner: Runner, stop: asyncio.Event) -> None:
        begun.append(runner._stream.name)
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
    assert not processing.doing
    task = asyncio.create_task(processing.run(place.declared(DOUBLE.format(factor=2)), stop))
    await come(log, "double", [3])
    stop.set()
    await task


async def test_what_does_not_end_is_cancelled(log: KeptLog, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.process.pieces.GRACE_SECONDS", 0.01)
    monkeypatch.setattr("gateway.process.pieces.CANCEL_SECONDS", 0.01)
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
        return dict(processing._wanted(declared, map(Work, declared.derived)))["derive double"].concern

    first = concern(place.declared(double))
    assert concern(place.declared(double, "  other: {}\n")) == first
    assert concern(place.declared(double, "error_stream: dead\n")) != first


async def test_a_rule_that_a_reload_changes_loses_and_repeats_nothing(log: KeptLog, place: Place) -> None:
    """Whatever of it is under way."""
    await log.create("wiki.change", 1)
    copied, rule = "  copied: {schema_title: row}\n", RULE.format()
    double = DOUBLE.format(factor=2)
    expected = [2 * number for number in range(1, 61)]
    async with running(log, place.declared(double, copied, rule)) as processing:
        await put(log, 1)
        await come(log, "copied", [2])
        for concurrency in (1, 2, 3):
            first = 20 * (concurrency - 1) + 1
            await put(log, *range(max(first, 2), first + 20))
            await asyncio.sleep(0.01 * concurrency)
            await processing.take(place.declared(double, copied, f"{rule}    concurrency: {concurrency}\n"))

        async def are_there() -> bool:
            return len(await numbers_in(log, "copied")) >= len(expected)

        await eventually(are_there, "all copies")
    assert sorted(await numbers_in(log, "copied")) == expected
