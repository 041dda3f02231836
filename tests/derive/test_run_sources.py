"""A derived stream over sources that change, and over some that are far apart in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.derive.identity import record_key
from gateway.derive.operator import DeriveBounds
from gateway.derive.run import Runner
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.port import EventLog
from gateway.model.record import NewRecord, Record, TopicPartition
from gateway.times import iso_time
from tests.derive.events import SOURCE, at, configured, engine, give
from tests.derive.test_run import START, WINDOW, event, runner, running, stored, until
from tests.end_to_end.process import eventually

pytestmark = pytest.mark.usefixtures("short_waits")


def has_read(one: Runner, count: int) -> Callable[[], Awaitable[bool]]:
    async def read() -> bool:
        return one.read >= count

    return read


def counts(found: list[Record]) -> list[tuple[str, str, int]]:
    """The rows of windows: key, start and count."""
    made = [orjson.loads(record.value or b"") for record in found]
    return [(row["key"], row["window_start"], row["count"]) for row in made if row["meta"].get("domain") != "canary"]


@pytest.mark.usefixtures("looks_often")
@pytest.mark.parametrize("live", [True, False])
async def test_a_new_partition_makes_no_row_be_stored_again(tmp_path: Path, live: bool) -> None:
    log, catalog = MemoryLog(), configured(tmp_path, WINDOW)
    await log.create(SOURCE)
    times = [19_000, 31_000, 29_000, 51_000]
    await log.append(SOURCE, [event(START + time, "a") for time in times])

    new = [event(START + 18_000, "a"), event(START + 41_000, "a"), event(START + 90_000, "b")]
    one = other = runner(catalog, log, [])
    async with running(one):
        assert len(await until(log, "a", 2)) == 2
        if live:
            log.add_partitions(SOURCE, 2)
            await log.append(SOURCE, [record._replace(partition=1) for record in new])
            await eventually(has_read(one, 7), "the new partition is read")
    if not live:
        log.add_partitions(SOURCE, 2)
        await log.append(SOURCE, [record._replace(partition=1) for record in new])
        other = runner(catalog, log, [])
    async with running(other):
        await eventually(has_read(other, 7 if live else 3), "the new partition is read")
        await log.append(SOURCE, [event(START + 90_000, "b")._replace(partition=0)])
        found = await until(log, "a", 3)
    first, second, third = (iso_time(START + start) for start in (0, 20_000, 40_000))
    assert counts(found) == [("a", first, 1), ("a", second, 2), ("a", third, 2)]


async def test_a_topic_beside_others_that_is_created_again_makes_no_row_be_stored_again(
    log: EventLog, tmp_path: Path
) -> None:
    declaration = WINDOW.replace("[wiki.change]", "[wiki.change, t]")
    catalog, said = configured(tmp_path, "t: {}", declaration), list[str]()
    for topic, key in ((SOURCE, "a"), ("t", "b")):
        await log.create(topic)
        await log.append(topic, [event(START + time, key) for time in (19_000, 31_000, 29_000, 51_000)])
    async with running(runner(catalog, log, said)):
        assert len(await until(log, "a", 4)) == 4
    await log.delete("t")  # type: ignore[attr-defined]
    await log.create("t")
    await log.append("t", [event(START + time, "b") for time in (18_000, 33_000, 41_000, 90_000)])
    await log.append(SOURCE, [event(START + 90_000, "a")])
    async with running(runner(catalog, log, said)):
        found = await until(log, "a", 6)
    first, second, third = (iso_time(START + start) for start in (0, 20_000, 40_000))
    told = [("a", first, 1), ("b", first, 1), ("a", second, 2), ("b", second, 2), ("a", third, 1), ("b", third, 1)]
    assert counts(found) == told
    assert said[0] == "a: the topic t is another one; it is read from its beginning"
    assert [line.rpartition(": ")[2] for line in said[1:]] == [
        "its last window ends 21000 ms before what is waited for"
    ]


async def test_a_lane_tells_what_waited_for_the_partitions_of_others(tmp_path: Path) -> None:
    """The whole stream had not told it, and none of its records may come in the lane."""
    log, catalog = MemoryLog(spans_hosts=True), configured(tmp_path, WINDOW)
    await log.create(SOURCE, 2)
    await log.append(SOURCE, [event(START, "a")._replace(partition=0), event(START, "b")._replace(partition=1)])
    await log.append(SOURCE, [event(START + 60_000, "a")._replace(partition=0)])
    one = runner(catalog, log, [])
    async with running(one):
        await eventually(has_read(one, 3), "the events")
    assert await stored(log, "a") == []
    async with running(runner(catalog, log, [], lane=0)):
        found = await until(log, "a", 1)
    assert counts(found) == [("a", iso_time(START), 1)]
    await log.append(SOURCE, [event(START + 60_000, "b")._replace(partition=1)])
    async with running(runner(catalog, log, [], lane=0)), running(runner(catalog, log, [], lane=1)):
        found = await until(log, "a", 2)
    assert counts(found) == [("a", iso_time(START), 1), ("b", iso_time(START), 1)]


async def test_a_position_of_an_older_version_is_gone_on_from(log: EventLog, tmp_path: Path) -> None:
    catalog = configured(tmp_path, WINDOW)
    await log.create(SOURCE)
    await log.append(SOURCE, [event(START + time, "a") for time in (19_000, 31_000)])
    async with running(runner(catalog, log, [])):
        await until(log, "a", 1)
    writer = await log.writer("derive a")
    form, version, made, (low, topics) = orjson.loads(writer.position or b"")
    assert (form, low) == (3, START + 21_000)
    await writer.append([], orjson.dumps([1, version, made, topics]))
    await log.append(SOURCE, [event(START + 90_000, "a")])
    async with running(runner(catalog, log, [])):
        found = await until(log, "a", 2)
    assert counts(found) == [("a", iso_time(START), 1), ("a", iso_time(START + 20_000), 1)]


async def looked_up(log: EventLog, count: int) -> list[Any]:
    """The names in the rows, once there are so many."""
    names: list[Any] = []

    async def there() -> bool:
        rows = [orjson.loads(record.value or b"{}") for record in await stored(log, "a")]
        names[:] = [row.get("name") for row in rows if row["meta"].get("domain") != "canary"]
        return len(names) >= count

    await eventually(there, f"{count} rows")
    return names


def one_after_the_other(seconds: int) -> dict[str, list[NewRecord]]:
    """Rows of a state that came from one topic first, and then from another; each has canaries all the time. After
    that, events that look them up."""
    records: dict[str, list[NewRecord]] = {"eqiad.state": [], "codfw.state": [], SOURCE: []}
    for second in range(2 * seconds):
        time = START + second * 1_000
        topic = "eqiad.state" if second < seconds else "codfw.state"
        row = orjson.dumps({"meta": {"dt": iso_time(time)}, "name": f"{topic} {second}"})
        records[topic].append(NewRecord(row, record_key((second % 50,)), time))
        if second % 100 == 99:
            for each in records.values():
                each.append(event(time + 1_000, "canary", None))
    end = START + 2 * seconds * 1_000
    records[SOURCE] += [event(end, "k", number) for number in range(50)]
    for each in records.values():
        each.append(event(end + 60_000, "canary", None))
    return records


@pytest.mark.parametrize("restarts", [False, True])
async def test_topics_that_were_active_one_after_the_other_are_read_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    """Nothing is held of the second one while the first is read: neither at the first start nor at another."""
    for name in ("gateway.derive.run.BATCH_RECORDS", "gateway.derive.sources.BATCH_RECORDS"):
        monkeypatch.setattr(name, 50)
    monkeypatch.setattr("gateway.derive.run.MUCH", 100)
    log = MemoryLog()
    derive = "from: [wiki.change], lookup: {page: {in: state, key: [event.n]}}, select: {n: event.n, name: page.name}"
    catalog = configured(tmp_path, "state: {topics: [eqiad.state, codfw.state]}", f"a: {{derive: {{{derive}}}}}")
    bounds = DeriveBounds(derive_held=100_000 if restarts else 800)
    for topic, records in one_after_the_other(5_000).items():
        await log.create(topic)
        await log.append(topic, records)
    one = runner(catalog, log, [], bounds=bounds)
    async with running(one):
        names = await looked_up(log, 50)
    assert names == [f"codfw.state {9_950 + number}" for number in range(50)]
    if restarts:
        again = runner(catalog, log, [], bounds=DeriveBounds(derive_held=800))
        end = START + 20_000_000
        await log.append(SOURCE, [event(end, "k", 7)])
        for topic in ("eqiad.state", "codfw.state", SOURCE):
            await log.append(topic, [event(end + 60_000, "canary", None)])
        async with running(again):
            names = await looked_up(log, 51)
        assert again.replayed > 10_000
        assert names[50:] == ["codfw.state 9957"]


class Asked:
    """A follower that has something in one partition, and tells which were asked for."""

    def __init__(self, has: TopicPartition) -> None:
        self.has = has
        self.calls: list[Any] = []

    async def fetch(self, wait: float, partitions: Any = None) -> list[Any]:
        self.calls.append(partitions)
        return ["something"] if partitions is None or self.has in partitions else []


async def test_a_silent_partition_that_is_furthest_behind_keeps_none_of_the_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.derive.run.MUCH", 0)
    monkeypatch.setattr("gateway.derive.run.REST_SECONDS", 60)
    catalog = configured(tmp_path, "a: {derive: {from: [wiki.change], latest: {k: event.k}, select: {n: event.n}}}")
    made = engine(catalog, "a", 4)
    places = [TopicPartition(SOURCE, number) for number in range(4)]
    for number, clock in enumerate(("00:00:00", "01:00:00", "02:00:00", "05:00:00")):
        give(made, [at(clock, k=1)], partition=number)
    one = runner(catalog, MemoryLog(), [])
    asked = Asked(places[1])
    for _ in range(3):
        assert await one._fetch(made, asked, places) == ["something"]  # type: ignore[arg-type, comparison-overlap]
    # The silent one is asked once, and then the furthest behind of the others.
    assert asked.calls == [[places[0]], places[1:3], [places[1]], [places[1]]]
    nothing = Asked(places[3])
    one._silent_until.clear()
    for _ in range(2):
        assert await one._fetch(made, nothing, places) == ["something"]  # type: ignore[arg-type, comparison-overlap]
    assert nothing.calls == [[places[0]], places[1:3], None, None]
