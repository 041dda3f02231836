"""Trials over a log, each in a process of its own: what is read, and what bounds them."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.derive import trials as module
from gateway.derive.trial_process import PROCESSOR_SECONDS
from gateway.derive.trials import FREE, Payment, Trials
from gateway.errors import LogUnavailable, Problem
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from gateway.routes.answers import json_answer
from gateway.schemas.repository import Described, SchemaRepository, registered
from gateway.times import iso_time

CATALOG = Catalog([Stream("many", ("one", "two")), Stream("state", ("state",)), Stream("absent", ("absent",))])
SCHEMAS = SchemaRepository([])
EVERY = b"mine: {derive: {from: [many]}}"
MINUTE = 60_000


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes seconds to start a process; where the time is to be over, a test says so."""
    monkeypatch.setattr(module, "SECONDS", 120.0)
    monkeypatch.setattr(module, "READ_SECONDS", 60.0)


def put(log: MemoryLog, topic: str, *ages: int, **more: Any) -> None:
    """Events of so many milliseconds ago."""
    now = time.time_ns() // 1_000_000
    log.append_now(topic, [NewRecord(orjson.dumps({"age": age, **more}), b"k", now - age) for age in ages])


@asynccontextmanager
async def log_of(*ages: int) -> AsyncIterator[tuple[MemoryLog, Trials]]:
    log = MemoryLog()
    await log.open()
    for topic in ("one", "two", "state"):
        log.create_topic(topic, 2)
    put(log, "one", *ages)
    yield log, Trials(log, SystemClock())
    await log.close()


async def tried(trials: Trials, text: bytes, payment: Payment = FREE) -> dict[str, Any]:
    """What comes of it, as a client reads it."""
    return read(await trials.run(text, 10 * MINUTE, CATALOG, SCHEMAS, payment))


def read(found: dict[str, Any]) -> dict[str, Any]:
    """An answer, as a client reads it."""
    answer: dict[str, Any] = json.loads(bytes(json_answer(found).body))
    return answer


async def test_the_last_minutes_are_read_and_paid_for() -> None:
    read: list[int] = []
    steps: list[int] = []

    async def pace(size: int) -> float:
        read.append(size)
        return 0.0

    def charge(count: int) -> float:
        steps.append(count)
        return 0.0

    async with log_of(30 * MINUTE, 9 * MINUTE, 1000) as (log, trials):
        put(log, "two", 11 * MINUTE, 5 * MINUTE, meta={"dt": "2026-01-01T00:00:00Z"})
        found = await tried(trials, EVERY, Payment("", pace, charge))
        assert found["counts"]["records"] == 3
        assert found["counts"]["errors"] == 2
        assert [row["value"]["age"] for row in found["rows"]] == [5 * MINUTE]
        assert found["complete"]
        assert sum(read) == 3 + sum(len(orjson.dumps({"age": age})) for age in (9 * MINUTE, 1000)) + len(
            orjson.dumps({"age": 5 * MINUTE, "meta": {"dt": "2026-01-01T00:00:00Z"}})
        )
        assert len(steps) == 1
        assert 0 < steps[0] < PROCESSOR_SECONDS * module.STEPS_A_SECOND
        assert await log.describe(["mine"]) == {}


@pytest.mark.parametrize("more", ["", ", where: event.a != 2", ", dedup: {by: [event.n], within: 1m}"])
async def test_every_event_that_passes_is_shown(more: str) -> None:
    """As it is stored: on several lines, with numbers beyond the doubles, nested as deep as an event may be."""
    head = b'{\n "meta": {"dt": "2026-01-01T00:00:00Z"},'
    later = b'{"meta": {"dt": "2026-01-01T01:00:00Z"}, "n": 4, "a": 0}'
    deep = b'{"a":' * 254 + b"{}" + b"}" * 254
    members = [b'"n": 0, "a": 1\r\n}', b'"n": 1, "a": 1e999}', rb'"n": 2, "a": [1e999, "\ud800"]}',
               b'"n": 3, "a": ' + deep + b"}"]  # fmt: skip
    async with log_of() as (log, trials):
        now = time.time_ns() // 1_000_000
        texts = [*(head + one for one in members), later]
        log.append_now("one", [NewRecord(one, b"k", now, partition=0) for one in texts])
        found = await tried(trials, f"mine: {{derive: {{from: [many]{more}}}}}".encode())
        assert (found["stopped"], found["counts"]["errors"]) == (None, 0)
        values = {row["value"]["n"]: row["value"]["a"] for row in found["rows"]}
        assert [values[number] for number in range(3)] == [1, math.inf, [math.inf, "?"]]
        assert values[3] == json.loads(deep)


def described(stream: str) -> Described:
    """What a registry says of a stream: that its events have a member `pin`."""
    document = {"type": "object", "properties": {"pin": {"type": "integer"}}, "additionalProperties": False}
    schema = registered(f"registry/{stream}-value", "1.0.0", document)
    return Described(schema, (schema,))


async def test_what_a_registry_says_of_a_stream_that_is_not_in_the_catalogue_is_not_told() -> None:
    schemas = SCHEMAS.with_registered({"state": described("state"), "vault": described("vault")})
    form = "{name}: {{schema_title: {title}, derive: {{from: [state], select: {{pin: string(offset)}}}}}}"
    vault = Catalog([*CATALOG.streams.values(), Stream("vault", ("vault",))])
    async with log_of() as (_, trials):

        async def told(name: str, title: str, catalog: Catalog) -> str:
            text = form.format(name=name, title=title).encode()
            return str(await trials.run(text, MINUTE, catalog, schemas)).replace(title, "title").replace(name, "mine")

        nothing = await told("nothing", "registry/nothing", CATALOG)
        assert "'mistakes': []" in nothing
        assert await told("vault", "registry/nothing", CATALOG) == nothing
        assert await told("nothing", "registry/vault-value", CATALOG) == nothing
        for name, title in (("vault", "registry/nothing"), ("nothing", "registry/vault-value")):
            assert "pin" in (await told(name, title, vault)).partition("warnings")[0]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_every_log_can_be_tried_on(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    log: EventLog = SqliteLog(tmp_path / "events.db")
    if kind == "kafka":
        log = KafkaLog([request.getfixturevalue("kafka")])
    names = [f"{uuid.uuid4()}.{name}" for name in ("one", "two", "state")]
    await log.open()
    now = time.time_ns() // 1_000_000
    for name in names:
        await log.create(name, 2)
    for topic, count in zip(names, (30, 1, 20), strict=True):
        # The last is later, and the other partition of each topic has none.
        times = [*[now - 120_000] * (count - 1), now - 60_000]
        events = [{"meta": {"dt": iso_time(each)}, "n": number, "k": "k"} for number, each in enumerate(times)]
        await log.append(topic, [NewRecord(orjson.dumps(one), b"k", now - 60_000) for one in events])
    catalog = Catalog([Stream("many", (names[0], names[1])), Stream("state", (names[2],))])
    text = b"a: {schema_title: a, derive: {from: [many], lookup: {s: {in: state, key: event.k}}, select: {n: s.n}}}"
    found = read(await Trials(log, SystemClock()).run(text, 10 * MINUTE, catalog, SCHEMAS))
    await log.close()
    assert found["complete"]
    assert found["counts"] == {"records": 51, "rows": 29, "late": 0, "errors": 0, "waiting": 4}
    assert {row["value"]["n"] for row in found["rows"]} == {18}


async def test_what_is_wrong_is_told_and_nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with log_of(1000) as (log, trials):
        monkeypatch.setattr(log, "reader", None)
        found = await tried(trials, b"mine: {derive: {from: [other]}}")
        assert [one["line"] for one in found["mistakes"]] == [1]
        assert "rows" not in found
        found = await tried(trials, b"mine: {derive: {from: [absent]}}")
        assert (found["counts"]["records"], found["complete"]) == (0, False)


@pytest.mark.long
async def test_too_many_records_are_cut_to_the_newest_and_state_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_RECORDS", 40)
    text = (
        b"mine: {schema_title: a, derive: {from: [many], lookup: {s: {in: state, key: event.k}}, select: {a: s.age}}}"
    )
    async with log_of(*range(590_000, 0, -1000)) as (log, trials):
        found = await tried(trials, EVERY)
        assert 15 <= found["counts"]["records"] <= 40
        assert not found["complete"]
    async with log_of(2000, 1000) as (log, trials):
        put(log, "state", *range(20))
        found = await tried(trials, text)
        assert (found["counts"]["records"], found["complete"]) == (22, True)
        put(log, "state", *range(80))
        found = await tried(trials, text)
        # All are of one key, and so in one of two partitions.
        assert (found["counts"]["records"], found["complete"]) == (22, False)


@pytest.mark.long
async def test_bytes_and_seconds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with log_of(*[1000] * 5) as (_, trials):
        monkeypatch.setattr(module, "BATCH", 1)
        monkeypatch.setattr(module, "READ_BYTES", 20)
        found = await tried(trials, EVERY)
        assert 0 < found["counts"]["records"] < 5
        assert not found["complete"]
        monkeypatch.setattr(module, "READ_BYTES", 1 << 20)

        async def slow(_: int) -> float:
            return 100.0

        monkeypatch.setattr(module, "READ_SECONDS", 0.2)
        found = await tried(trials, EVERY, Payment("", slow))
        assert 0 < found["counts"]["records"] < 5
        assert not found["complete"]


@pytest.mark.long
async def test_there_are_few_at_a_time_and_of_one_client_one() -> None:
    async with log_of(1000) as (log, trials):
        waiting = asyncio.Event()
        goes_on = asyncio.Event()
        describe = log.describe

        async def wait(topics: Any) -> Any:
            waiting.set()
            await goes_on.wait()
            return await describe(topics)

        log.describe = wait  # type: ignore[method-assign]
        first = asyncio.create_task(tried(trials, EVERY, Payment("a")))
        await waiting.wait()
        with pytest.raises(Problem, match="as many trials") as refused:
            await tried(trials, EVERY, Payment("a"))
        assert refused.value.status == 429
        second = asyncio.create_task(tried(trials, EVERY, Payment("b")))
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="as many trials"):
            await tried(trials, EVERY, Payment("c"))
        goes_on.set()
        assert [one["counts"]["records"] for one in await asyncio.gather(first, second)] == [1, 1]
        assert (await tried(trials, EVERY, Payment("a")))["counts"]["records"] == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "too much time or memory"),
        ("import time; time.sleep(60)", "more than 1 s"),
        ("print('x' * 10_000_000)", "too much time or memory"),
    ],
)
async def test_a_process_that_dies_or_hangs_ends_its_trial(
    program: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = asyncio.create_subprocess_exec

    async def other(*_: str, **options: Any) -> Any:
        started.append(await start(sys.executable, "-c", program, **options))
        return started[-1]

    steps: list[int] = []

    def charge(count: int) -> float:
        steps.append(count)
        return 0.0

    monkeypatch.setattr(asyncio, "create_subprocess_exec", other)
    if "sleep" in program:
        monkeypatch.setattr(module, "SECONDS", 1.0)
    async with log_of(1000) as (_, trials):
        found = await tried(trials, EVERY, Payment("", None, charge))
        assert words in found["stopped"]
        assert steps == [PROCESSOR_SECONDS * module.STEPS_A_SECOND]
        assert started[0].returncode is not None
        assert not trials._running


@pytest.mark.parametrize("said", ["no JSON", "[]", "1e999", '{"rows": [1]}', '{"rows": null}', '{"rows": [{}]}'])
async def test_what_a_process_says_and_nobody_can_read_is_a_failure(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = asyncio.create_subprocess_exec

    async def other(*_: str, **options: Any) -> Any:
        return await start(sys.executable, "-c", f"print({said!r})", **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", other)
    async with log_of(1000) as (_, trials):
        with pytest.raises(Problem, match="the trial failed") as caught:
            await tried(trials, EVERY)
        assert caught.value.status == 500
        assert not trials._running


@pytest.mark.long
async def test_what_takes_for_ever_ends_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists made of a long list, in a hundred members: each is within its steps, and all together take hours."""
    monkeypatch.setattr(module, "SECONDS", 4.0)
    one = "[" + ", ".join(["event.l.map(x, x * 2).size()"] * 100) + "].size()"
    members = ", ".join(f'm{number}: "{one}"' for number in range(100))
    text = f"mine: {{schema_title: a, derive: {{from: [many], select: {{{members}}}}}}}".encode()
    async with log_of() as (log, trials):
        put(log, "one", *[1000] * 2000, l=list(range(1000)), meta={"dt": "2026-01-01T00:00:00Z"})
        began = time.monotonic()
        found = await tried(trials, text)
        assert found["mistakes"] == []
        assert found["stopped"]
        assert time.monotonic() - began < 60


async def test_a_log_that_is_away_is_told_and_no_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async with log_of(1000) as (log, trials):

        async def away(_: Any) -> Any:
            raise LogUnavailable("it is away")

        monkeypatch.setattr(log, "bounds", away)
        with pytest.raises(LogUnavailable):
            await tried(trials, EVERY)
        assert not trials._running


@pytest.mark.long
async def test_a_trial_is_given_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []
    start = asyncio.create_subprocess_exec

    async def watched(*command: str, **options: Any) -> Any:
        given.append(options["env"])
        return await start(*command, **options)

    monkeypatch.setenv("GATEWAY_LIMITS", "redis://:secret@host")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    async with log_of(1000) as (_, trials):
        await tried(trials, EVERY)
    assert given[0]["PYTHONPATH"]
    assert "secret" not in str(given)
