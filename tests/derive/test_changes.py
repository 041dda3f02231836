"""What was told stays so where the sources change: at a random cut a partition appears, begins again with other
records, or goes. Beside that, partitions are mixed and cut as in `test_interleavings`, and faults are planted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.catalog import Catalog
from gateway.derive.clock import BEGINNING
from gateway.derive.engine import Engine, event_of
from gateway.derive.operator import DeriveBounds
from gateway.derive.position import PartitionPosition, Position
from gateway.model.record import Record, TopicPartition
from tests.derive import oracle
from tests.derive.events import SOURCE, at, configured, engine, give, record, refused, rows
from tests.derive.test_interleavings import (
    CASES,
    CUTS,
    LATE,
    NEW,
    PARTITIONS,
    Case,
    Run,
    catalog_of,
    difference,
    events_for,
    log_of,
    place,
    records,
)


class Changing(Run):
    """At a cut, one partition of the log changes: it appears, begins again with other records, or goes."""

    def __init__(self, case: Case, catalog: Catalog, log: list[list[Record]], chance: random.Random) -> None:
        super().__init__(case, catalog, log, chance)
        self.changes = chance.randrange(1, CUTS)
        """The cut at which it does."""
        # The source has partitions up to a number.
        self.number = PARTITIONS - 1 if place(case, PARTITIONS - 1).topic == SOURCE else PARTITIONS - 2
        self.read = [0] * PARTITIONS
        """How far the partitions were read by then."""
        self.low = BEGINNING
        """Up to when all was told by then."""
        self.renewed = False
        """Whether it is another one than in the position that is stored."""

    def keep(self, made: Engine) -> None:
        super().keep(made)
        self.renewed = False

    def before(self, cut: int) -> None:
        if cut == self.changes:
            stored = super().position()
            if stored is not None and stored.low is not None:
                self.read = [stored.partitions.get(one, NEW).next for one in self.places]
                self.low = stored.low
            self.change()

    def change(self) -> None:
        raise NotImplementedError

    def position(self) -> Position | None:
        stored = super().position()
        if stored is None:
            return None
        there = [self.places[number] for number in self.numbers]
        known = {one: stored.partitions.get(one, NEW) for one in there}
        if self.renewed:
            known[self.places[self.number]] = NEW
        return Position(known, {}, stored.low)

    def expected(self, case: Case, events: oracle.Partitions) -> tuple[oracle.Told, list[tuple[int, int]]]:
        """What has to come: what was told by then stays, and what is told later is of what there is later."""
        earlier = [part[: self.read[number]] for number, part in enumerate(events)]
        earlier[self.number], later = self.changed(events)
        told, late = case.told(earlier)
        told_later, late_later = case.told([later if one == self.number else part for one, part in enumerate(events)])
        # Of some, the rows of the very time are told; the others wait for more of it.
        end = self.low - ("latest" in case.declaration or "lookup" in case.declaration)
        told += Counter({row: count for row, count in told_later.items() if row[2] > end})
        return told, sorted([*late_later, *(one for one in late if one[0] == self.number)])

    def changed(self, events: oracle.Partitions) -> tuple[list[oracle.Event], list[oracle.Event]]:
        """The partition that changes, before and later."""
        raise NotImplementedError

    def appeared(self, events: list[oracle.Event]) -> list[oracle.Event]:
        known = self.low != BEGINNING and self.places[self.number].topic == SOURCE
        return oracle.Appeared(events, self.low + LATE) if known else events


class Appears(Changing):
    def __init__(self, case: Case, catalog: Catalog, log: list[list[Record]], chance: random.Random) -> None:
        super().__init__(case, catalog, log, chance)
        self.numbers.remove(self.number)

    def change(self) -> None:
        self.numbers = list(range(PARTITIONS))
        self.renewed = True

    def changed(self, events: oracle.Partitions) -> tuple[list[oracle.Event], list[oracle.Event]]:
        return oracle.ABSENT, self.appeared(events[self.number])


class BeginsAgain(Changing):
    """As the partition of a topic that was created again. Also one of a stream that is looked into."""

    def __init__(self, case: Case, catalog: Catalog, log: list[list[Record]], chance: random.Random) -> None:
        super().__init__(case, catalog, log, chance)
        self.number = chance.choice([PARTITIONS - 2, PARTITIONS - 1])
        self.again = events_for(case, chance)

    def change(self) -> None:
        self.log[self.number] = records(self.places[self.number], self.again[self.number])
        self.renewed = True

    def changed(self, events: oracle.Partitions) -> tuple[list[oracle.Event], list[oracle.Event]]:
        return events[self.number][: self.read[self.number]], self.appeared(self.again[self.number])


class Goes(Changing):
    """As where a lane goes on from the position of the whole stream."""

    def change(self) -> None:
        self.numbers.remove(self.number)

    def changed(self, events: oracle.Partitions) -> tuple[list[oracle.Event], list[oracle.Event]]:
        return events[self.number][: self.read[self.number]], oracle.ABSENT


def differs_from_then_on(case: Case, catalog: Catalog, seed: int, kind: type[Changing]) -> str | None:
    chance = random.Random(seed)
    events = events_for(case, chance)
    run = kind(case, catalog, log_of(case, events), chance)
    store = run.all()
    # A row of one record has its id by the place of that.
    repeats = isinstance(run, BeginsAgain) and "place" in case.declaration
    return difference(case, seed, store, *run.expected(case, events), repeats)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", [Appears, BeginsAgain, Goes])
def test_what_was_told_stays_so_where_a_partition_appears_begins_again_or_goes(
    tmp_path: Path, name: str, kind: type[Changing]
) -> None:
    catalog = catalog_of(tmp_path, CASES[name])
    assert [found for seed in range(25) if (found := differs_from_then_on(CASES[name], catalog, seed, kind))] == []


class WithoutLow(Run):
    """It is not known what was told: as of a position that an older version stored."""

    def begin(self, made: Engine, position: Position) -> None:
        super().begin(made, Position(position.partitions, {}, None))


class NewClock(Run):
    """A partition that is new takes any event, also one before what was told."""

    def resume(self, made: Engine) -> None:
        before = [(one, one.newest) for one in made._places.values()]
        super().resume(made)
        for one, newest in before:
            one.newest = newest


FAULTS: list[type[Changing]] = [
    type(f"{fault.__name__}{kind.__name__}", (fault, kind), {})
    for fault, kinds in {WithoutLow: (Appears, BeginsAgain, Goes), NewClock: (Appears, BeginsAgain)}.items()
    for kind in kinds
]


@pytest.mark.long
@pytest.mark.parametrize("name", ["every", "gap", "last having", "dedup", "latest"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_breaks_that_is_found(tmp_path: Path, name: str, fault: type[Changing]) -> None:
    catalog = catalog_of(tmp_path, CASES[name])
    assert any(differs_from_then_on(CASES[name], catalog, seed, fault) for seed in range(60))


def replayed(made: Engine, position: Position, given_events: dict[TopicPartition, list[dict[str, object]]]) -> None:
    """Give the engine again what it has to know, as a process that starts does."""
    made.begin(position)
    for one, events in given_events.items():
        since, end = position.partitions[one].since, position.partitions[one].next
        give(made, events[since:end], partition=one.partition, offset=since, topic=one.topic)
        made.forget()
    made.resume()


def test_a_new_partition_tells_nothing_again_and_what_is_older_there_is_late(tmp_path: Path) -> None:
    declaration = "window: {every: 1m}, late: 10s, by: {k: event.k}, select: {n: count()}"
    catalog = configured(tmp_path, f"a: {{derive: {{from: [wiki.change], {declaration}}}}}")
    first = TopicPartition(SOURCE, 0)
    events = [at(f"12:{clock}", k="a") for clock in ("00:50", "01:05", "00:57", "01:12", "01:15")]
    made = engine(catalog, "a")
    give(made, events)
    assert [row["n"] for row in rows(made)] == [2]
    position = made.position({})
    places = {**position.partitions, TopicPartition(SOURCE, 1): PartitionPosition(0, 0, BEGINNING)}
    made = engine(catalog, "a", 2)
    replayed(made, Position(places, {}, position.low), {first: events})
    assert rows(made) == []
    give(made, [at("12:00:40", k="a"), at("12:01:30", k="a"), at("12:06:00", k="b")], partition=1)
    assert refused(made) == [("late", 0)]
    give(made, [at("12:06:00", k="b")], offset=5)
    assert [(row["k"], row["n"]) for row in rows(made)] == [("a", 4)]


def test_a_new_partition_makes_nothing_be_held_that_was_told(tmp_path: Path) -> None:
    """Neither one of the source, nor one of a stream that is looked into, of which also the oldest rows are needed."""
    declaration = "lookup: {s: {in: t, key: event.k}}, late: 10s, select: {n: event.n, s: s.n}"
    catalog = configured(tmp_path, "t: {}", f"a: {{derive: {{from: [wiki.change], {declaration}}}}}")
    times = [f"{number // 60:02}:{number % 60:02}:00" for number in range(200)]
    source = [at(time, k="x", n=number) for number, time in enumerate(times)]
    state = [at(time, n=number) for number, time in enumerate(times)]

    def give_state(made: Engine, events: list[dict[str, Any]], partition: int = 0, key: bytes = b"x") -> None:
        for offset, one in enumerate(events):
            found = record(one, offset, partition, "t")._replace(key=key)
            made.take(TopicPartition("t", partition), [(found, event_of(found))])

    bounds = DeriveBounds(derive_held=20)
    made = engine(catalog, "a", bounds=bounds)
    for number in range(200):
        give(made, source[number : number + 1], offset=number)
        found = record(state[number], number, 0, "t")._replace(key=b"x")
        made.take(TopicPartition("t", 0), [(found, event_of(found))])
    assert [(row["n"], row["s"]) for row in rows(made)] == [(number, number) for number in range(199)]
    position = made.position({})
    new = PartitionPosition(0, 0, BEGINNING)
    places = {**position.partitions, TopicPartition(SOURCE, 1): new, TopicPartition("t", 1): new}
    made = engine(catalog, "a", 2, bounds=bounds)
    made.begin(Position(places, {}, position.low))
    give_state(made, state)
    give(made, source[position.partitions[TopicPartition(SOURCE, 0)].since :], offset=199)
    made.resume()
    assert rows(made) == []
    give_state(made, [at("00:00:00", n="y"), at("04:00:00", n="z")], partition=1, key=b"y")
    give(made, [at("03:18:00", k="x", n=300), at("03:19:30", k="y", n=301), at("04:00:00", k="y", n=302)], partition=1)
    give(made, [at("04:00:00", k="x", n=303)], offset=200)
    give_state(made, [at("04:00:00", n=0)])
    assert refused(made) == [("late", 0)]
    assert [(row["n"], row["s"]) for row in rows(made)] == [(199, 199), (301, "y")]


def of_state(made: Engine, events: Sequence[dict[str, Any] | None], offset: int = 0, time: int = 0) -> None:
    """Rows of a stream that is looked into, all of one key; None is a deletion at this time (ms)."""
    place = TopicPartition("t", 0)
    for number, event in enumerate(events, offset):
        found = Record("t", 0, number, time, b"x", None) if event is None else record(event, number, 0, "t")
        made.take(place, [(found._replace(key=b"x"), event)])


LOOKUP = "lookup: {s: {in: t, key: event.k}}, late: 10s, select: {n: event.n, s: s.n}"


def test_a_state_that_began_again_is_the_newest_also_after_another_start(tmp_path: Path) -> None:
    """Of what was read of it by then, an older row may come after a newer one."""
    catalog = configured(tmp_path, "t: {}", f"a: {{derive: {{from: [wiki.change], {LOOKUP}}}}}")
    source, state = TopicPartition(SOURCE, 0), TopicPartition("t", 0)
    began = Position({source: PartitionPosition(0, 0, BEGINNING), state: NEW}, {}, 1_767_225_600_000 + 3_600_000)
    made = engine(catalog, "a")
    made.begin(began)
    made.resume()
    rows_of_state = [at("00:10:00", n=1), at("00:10:09", n=2), at("00:10:05", n=3), at("02:00:00", n=4)]
    of_state(made, rows_of_state[:2])
    position = made.position({})
    made = engine(catalog, "a")
    made.begin(position)
    of_state(made, rows_of_state[:2])
    made.resume()
    of_state(made, rows_of_state[2:], offset=2)
    give(made, [at("01:30:00", k="x", n=5), at("02:00:00", k="x", n=6)])
    assert rows(made) == [{"n": 5, "s": 2}]


def test_deletions_of_what_is_looked_into_are_not_held(tmp_path: Path) -> None:
    catalog = configured(tmp_path, "t: {}", f"a: {{derive: {{from: [wiki.change], {LOOKUP}}}}}")
    made = engine(catalog, "a")
    start = 1_767_225_600_000
    for number in range(100):
        of_state(made, [at(f"00:{number // 60:02}:{number % 60:02}", n=number)], offset=2 * number)
        of_state(made, [None], offset=2 * number + 1, time=start + number * 1_000 + 500)
    canary = {"meta": {"dt": "2026-01-01T01:00:00.000Z", "domain": "canary"}}
    for topic in (SOURCE, "t"):
        give(made, [canary], offset=200, topic=topic)
    assert (made.held, made.held_bytes) == (0, 0)
