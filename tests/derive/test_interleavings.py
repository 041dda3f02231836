"""What comes out follows from each partition's own sequence alone: the partitions mixed at random, cut anywhere, begun
again from the position that was stored and read again in yet another order, give what a function over all of the input
gives. And what would break that is found: each fault that is planted here."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.derive.clock import BEGINNING
from gateway.derive.engine import Engine, event_of
from gateway.derive.position import PartitionPosition, Position, decode, encode
from gateway.model.record import Record, TopicPartition
from gateway.times import iso_time, read_time
from tests.derive import oracle
from tests.derive.events import SOURCE, configured

LATE, START, PARTITIONS, CUTS = 10_000, 1_767_225_600_000, 3, 6
NEW = PartitionPosition(0, 0, BEGINNING)
STATE = "wiki.state"
_SELECT = "select: {count: count(), sum: sum(event.n), most: max(event.n)}, by: {key: event.key}, late: 10s"


class Case(NamedTuple):
    """A declaration, and the function that says what it gives."""

    declaration: str
    told: Callable[[oracle.Partitions], tuple[oracle.Told, oracle.Late]]


CASES = {
    "every": Case(f"window: {{every: 20s}}, {_SELECT}", lambda events: oracle.windows(events, LATE, 20_000, 20_000)),
    "hops": Case(
        f"window: {{size: 50s, every: 20s}}, {_SELECT}", lambda events: oracle.windows(events, LATE, 50_000, 20_000)
    ),
    "gap": Case(f"window: {{gap: 7s}}, {_SELECT}", lambda events: oracle.sessions(events, LATE, 7_000)),
    "last": Case(f"window: {{last: 15s}}, {_SELECT}", lambda events: oracle.sliding(events, LATE, 15_000, None)),
    "last having": Case(
        f"window: {{last: 15s}}, having: row.count > 2, {_SELECT}",
        lambda events: oracle.sliding(events, LATE, 15_000, lambda found: found[0] > 2),
    ),
    "dedup": Case(
        "dedup: {by: event.key, within: 12s}, late: 10s, select: {place: '[partition, offset]', key: event.key}",
        lambda events: oracle.dedup(events, LATE, 12_000),
    ),
    "latest": Case(
        "latest: [event.key], late: 10s, select: {place: '[partition, offset]'}",
        lambda events: oracle.latest(events, LATE),
    ),
    "lookup": Case(
        "lookup: {state: {in: wiki.state, key: event.key}}, late: 10s,"
        " select: {place: '[partition, offset]', key: event.key, looked: true, seen: state.number}",
        lambda events: oracle.lookup(events, LATE),
    ),
}


def some_events(chance: random.Random) -> oracle.Partitions:
    """Partitions whose times go forward, with some that are behind, and some that come late; two are of one time now
    and then. The numbers are such that doubles added in another order give another sum. What `where` refuses,
    and canaries, move the clock alone."""
    partitions: oracle.Partitions = []
    for _ in range(PARTITIONS):
        now, events = START + chance.randrange(5_000), []
        for _ in range(chance.randrange(20, 60)):
            now += chance.choice([0, 1, 500, 2_000, 9_000])
            behind = chance.choice([0, 0, 500, 3_000, 9_000, 9_999, 12_000, 18_000])
            number = chance.choice([None, 1, -3, 10**15, 0.1, 1e16, -1e16, 0.3])
            key = chance.choice(["a", "b", "c", oracle.REFUSED, oracle.CANARY])
            # A clock that a canary alone has moved has to be known again.
            ahead = chance.choice([0, 0, 15_000]) if key == oracle.CANARY else 0
            events.append((now - behind + ahead, key, number))
        partitions.append(events)
    return partitions


def records(place: TopicPartition, events: list[oracle.Event]) -> list[Record]:
    """As the log would hold them."""
    found = []
    for offset, (time, key, number) in enumerate(events):
        event = {"meta": {"dt": iso_time(time), "domain": key}, "key": key, "number": offset}
        event |= {} if number is None else {"n": number}
        found.append(Record(*place, offset, time, key.encode(), orjson.dumps(event)))
    return found


def place(case: Case, number: int) -> TopicPartition:
    """Where these records are: the last partition may be that of a state."""
    in_state = number == PARTITIONS - 1 and "lookup" in case.declaration
    return TopicPartition(STATE, 0) if in_state else TopicPartition(SOURCE, number)


class Store:
    """What a writer keeps: rows and the position, at once."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.late: list[tuple[str, int, int]] = []
        self.position: bytes | None = None

    def append(self, made: Engine, derivation: Any) -> None:
        self.rows += made.results.rows
        self.late += [
            (one.record.topic, one.record.partition, one.record.offset)
            for one in made.results.refused
            if one.record is not None
        ]
        made.forget()
        self.position = encode(made.position({}), derivation)


class Run:
    """One stream over a log of records, killed now and then. Faults are planted by overriding its steps."""

    def __init__(self, case: Case, catalog: Catalog, log: list[list[Record]], chance: random.Random) -> None:
        self.catalog, self.log, self.chance = catalog, log, chance
        self.numbers = list(range(PARTITIONS))
        """Those of the partitions that are there."""
        self.places = [place(case, number) for number in self.numbers]
        derivation = catalog.streams["a"].derive
        assert derivation is not None
        self.derivation = derivation
        self.store = Store()

    def feed(self, made: Engine, at: list[int], until: list[int], step: Callable[[Engine], None]) -> None:
        while left := [number for number in self.numbers if at[number] < until[number]]:
            number = self.chance.choice(left)
            count = min(self.chance.choice([1, 2, 5, 50]), until[number] - at[number])
            part = self.log[number][at[number] : at[number] + count]
            made.take(self.places[number], [(one, event_of(one)) for one in part])
            at[number] += count
            step(made)

    def engine(self) -> Engine:
        return Engine("a", self.derivation, self.catalog.streams, [self.places[number] for number in self.numbers])

    def position(self) -> Position | None:
        """What was stored. A partition that is new begins with its first record, as the runner has it."""
        return None if self.store.position is None else decode(self.store.position, self.derivation)

    def begin(self, made: Engine, position: Position) -> None:
        made.begin(position)

    def resume(self, made: Engine) -> None:
        made.resume()

    def keep(self, made: Engine) -> None:
        self.store.append(made, self.derivation)

    def before(self, cut: int) -> None:
        """Something may happen to the log while nothing is derived."""

    def all(self) -> Store:
        for cut in range(CUTS):
            self.before(cut)
            made = self.engine()
            next_offsets = [0] * PARTITIONS
            position = self.position()
            if position is not None:
                self.begin(made, position)
                begun = [position.partitions.get(one, NEW) for one in self.places]
                next_offsets = [place.next for place in begun]
                self.feed(made, [place.since for place in begun], list(next_offsets), lambda made: made.forget())
                self.resume(made)
                if made.results.rows or made.results.refused:
                    self.keep(made)
            ends = [len(part) for part in self.log]
            until = (
                ends
                if cut == CUTS - 1
                else [self.chance.randint(at, end) for at, end in zip(next_offsets, ends, strict=True)]
            )
            self.feed(made, next_offsets, until, self.keep)
        return self.store


def row_of(row: Any) -> tuple[Any, ...]:
    found = orjson.loads(row.value)
    if "place" in found:
        seen = (found.get("seen"),) if "looked" in found else ()
        return found["key"], row.timestamp, row.timestamp, (*found["place"], *seen)
    times = [read_time(found[name]) for name in ("window_start", "window_end")]
    return found["key"], *times, found["count"], found.get("sum"), found.get("most")


def events_for(case: Case, chance: random.Random) -> oracle.Partitions:
    events = some_events(chance)
    if "lookup" in case.declaration:
        # No `where` is asked of a state.
        events[-1] = [(time, "a" if key == oracle.REFUSED else key, number) for time, key, number in events[-1]]
    return events


def log_of(case: Case, events: oracle.Partitions) -> list[list[Record]]:
    return [records(place(case, number), part) for number, part in enumerate(events)]


def differs(case: Case, catalog: Catalog, seed: int, kind: type[Run] = Run) -> str | None:
    """How a run differs from what it has to give."""
    chance = random.Random(seed)
    events = events_for(case, chance)
    store = kind(case, catalog, log_of(case, events), chance).all()
    told, late = case.told(events)
    return difference(case, seed, store, told, sorted(late))


def difference(
    case: Case, seed: int, store: Store, told: oracle.Told, late: list[tuple[int, int]], ids_repeat: bool = False
) -> str | None:
    found = Counter(map(row_of, store.rows))
    if found != told:
        return f"seed {seed}: too many {found - told}, too few {told - found}"
    if sorted(store.late) != sorted((*place(case, number), offset) for number, offset in late):
        return f"seed {seed}: late {sorted(store.late)}, not {late}"
    ids = [orjson.loads(row.value)["meta"]["id"] for row in store.rows]
    if len(set(ids)) != len(ids) and not ids_repeat:
        return f"seed {seed}: two rows have one id"
    order = [(row.timestamp, row.key) for row in store.rows]
    return None if order == sorted(order) or "place" in case.declaration else f"seed {seed}: out of order"


def catalog_of(tmp_path: Path, case: Case) -> Catalog:
    return configured(
        tmp_path,
        f"{STATE}: {{}}",
        f"a: {{derive: {{from: [wiki.change], where: event.key != 'refused', {case.declaration}}}}}",
    )


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_any_order_of_the_partitions_cut_anywhere_gives_the_same(tmp_path: Path, name: str) -> None:
    catalog = catalog_of(tmp_path, CASES[name])
    assert [found for seed in range(25) if (found := differs(CASES[name], catalog, seed))] == []


class PositionFirst(Run):
    """The rows of a step are lost where the process is killed after its position was stored."""

    def keep(self, made: Engine) -> None:
        if self.chance.random() < 0.1:
            made.forget()
        super().keep(made)


class SinceTooLate(Run):
    """A replay begins where reading goes on: what was open is forgotten."""

    def feed(self, made: Engine, at: list[int], until: list[int], step: Callable[[Engine], None]) -> None:
        replays = until == [place.next for place in made._places.values()] or step.__name__ == "<lambda>"
        super().feed(made, list(until) if replays else at, until, step)


class NoOwnClock(Run):
    """A replay does not know how far the partition's clock was before it."""

    def begin(self, made: Engine, position: Position) -> None:
        bare = {one: PartitionPosition(at.next, at.since, BEGINNING) for one, at in position.partitions.items()}
        super().begin(made, Position(bare, {}, position.low))


class GlobalClock(Run):
    """An event is late by the newest of all partitions."""

    def feed(self, made: Engine, at: list[int], until: list[int], step: Callable[[Engine], None]) -> None:
        def shared(made: Engine) -> None:
            newest = max(place.newest for place in made._places.values())
            for place in made._places.values():
                place.newest = newest
            step(made)

        super().feed(made, at, until, shared)


class KeepsReplayed(Run):
    """What comes out of a replay is stored again."""

    def begin(self, made: Engine, position: Position) -> None:
        super().begin(made, position)
        made.forget = lambda: None  # type: ignore[method-assign]

    def keep(self, made: Engine) -> None:
        super().keep(made)
        made.results.rows.clear()
        made.results.refused.clear()


@pytest.mark.long
@pytest.mark.parametrize("name", ["every", "gap", "last having", "dedup", "latest"])
@pytest.mark.parametrize("fault", [PositionFirst, SinceTooLate, NoOwnClock, GlobalClock, KeepsReplayed])
def test_what_breaks_it_is_found(tmp_path: Path, name: str, fault: type[Run]) -> None:
    catalog = catalog_of(tmp_path, CASES[name])
    assert any(differs(CASES[name], catalog, seed, fault) for seed in range(60))
