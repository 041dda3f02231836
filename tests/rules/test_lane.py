"""The order of a rule's events: worlds that follow from a seed, with crashes at any moment, and bugs that they find."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

import pytest

from gateway.model.record import Record
from gateway.rules import lane as module
from gateway.rules.lane import STREAM, Item, Lane, Step
from gateway.rules.tries import Tries
from gateway.rules.window import Window

LEVELS = 2
SEEDS = 150


class Waiting(NamedTuple):
    """A record of one of the rule's topics."""

    number: int
    tries: int
    sequence: int


class Violation(AssertionError):
    """What must not happen has happened."""


class World:
    """A stream, the topics of a rule, and a process that may crash between any two steps.

    What is committed is `topics`, `fates` and `places`; all else is the memory of the process."""

    def __init__(self, seed: int, ordered: bool, *, forgets: bool = False, unsettled: bool = False) -> None:
        self.chance = random.Random(seed)
        self.ordered = ordered
        self.forgets, self.unsettled = forgets, unsettled
        self.keys = [self.chance.choice("AB") for _ in range(self.chance.randint(3, 12))]
        self.topics: list[list[Waiting]] = [[] for _ in range(LEVELS)]
        self.places: list[tuple[int, list[int]]] = [(0, [])] * (LEVELS + 1)
        self.fates: Counter[int] = Counter()
        self.crashes = self.chance.randint(0, 3)
        self.start()

    def start(self) -> None:
        """A process begins with what is committed."""
        self.lane = Lane(self.chance.choice([1, 2, 5]), self.ordered)
        places = [(low, [] if self.unsettled else settled) for low, settled in self.places]
        self.windows = [Window(low, settled) for low, settled in places]
        self.flying: list[Item] = []
        self.finished: list[tuple[Item, int, Waiting | None]] = []
        if not self.forgets:
            found = []
            for level, (low, settled) in enumerate(self.places[1:]):
                waiting = [one for at, one in enumerate(self.topics[level]) if at >= low and at not in settled]
                found += [(self.key(one.number), one.sequence, level) for one in waiting if one.sequence]
            self.lane.recall(found)

    def key(self, number: int) -> bytes:
        """The key of an event."""
        return self.keys[number].encode()

    def run(self) -> None:
        """Until all is over."""
        steps: list[Callable[[], None]] = [
            self.read,
            self.read,
            self.begin,
            self.begin,
            self.finish,
            self.finish,
            self.commit,
        ]
        for _ in range(20_000):
            if self.crashes and self.chance.random() < 0.02:
                self.crashes -= 1
                self.start()
            self.chance.choice(steps)()
            if len(self.fates) == len(self.keys) and not self.finished and not self.flying and self.all_read():
                break
        else:
            raise Violation("it does not end")
        if any(count != 1 for count in self.fates.values()):
            raise Violation("an event has more than one end")

    def all_read(self) -> bool:
        """Whether nothing is left in any topic."""
        lengths = [len(self.keys), *map(len, self.topics)]
        return all(window.low() == length for window, length in zip(self.windows, lengths, strict=True))

    def read(self) -> None:
        """Take the next record of the stream, or of a topic, up."""
        source = self.chance.randrange(LEVELS + 1)
        window, offset = self.windows[source], self.windows[source].read_to
        waiting: Waiting
        if source == 0:
            if offset >= len(self.keys):
                return
            waiting = Waiting(offset, 0, 0)
        else:
            if offset >= len(self.topics[source - 1]):
                return
            waiting = self.topics[source - 1][offset]
        if not window.begin(offset):
            return
        tries = Tries("r", "s", 0, waiting.number, 0, waiting.tries, sequence=waiting.sequence)
        record = Record(f"t{source}", 0, offset, 0, None, b"{}")
        self.lane.take(Item(record, {}, window, tries, self.key(waiting.number), source - 1))

    def begin(self) -> None:
        """Do what the lane says."""
        step = self.lane.next()
        if step is None:
            return
        number = step.item.tries.offset
        if step.kind == "follow":
            sequence = self.lane.follow(step.item, step.level)
            self.finished.append((step.item, step.level, Waiting(number, step.item.tries.tries, sequence)))
            return
        if any(one.key == step.item.key for one in self.flying):
            raise Violation("two of a key are in flight")
        over = {item.tries.offset for item, _, waiting in self.finished if waiting is None} | set(self.fates)
        earlier = [other for other in range(number) if self.keys[other] == self.keys[number]]
        if self.ordered and not over.issuperset(earlier):
            raise Violation("a later event of a key is tried before an earlier one is over")
        self.flying.append(step.item)

    def finish(self) -> None:
        """A try ends: well, to be repeated, or for good."""
        if not self.flying:
            return
        item = self.flying.pop(self.chance.randrange(len(self.flying)))
        number, tries = item.tries.offset, item.tries.tries + 1
        if self.chance.random() < 0.5 and tries < 6:
            level = min(tries - 1, LEVELS - 1)
            sequence = self.lane.retry(item, level)
            self.finished.append((item, level, Waiting(number, tries, sequence)))
        else:
            self.lane.done(item)
            self.finished.append((item, STREAM, None))

    def commit(self) -> None:
        """Records, ends and position: all at once."""
        count = self.chance.randint(0, len(self.finished))
        batch, self.finished = self.finished[:count], self.finished[count:]
        for item, level, waiting in batch:
            item.window.settle(item.record.offset)
            if waiting is None:
                self.fates[item.tries.offset] += 1
            else:
                self.topics[level].append(waiting)
        self.places = [(window.low(), window.settled()) for window in self.windows]


def run_worlds(ordered: bool = True, **bugs: bool) -> None:
    """All of them, or up to the first in which something is wrong."""
    for seed in range(SEEDS):
        World(seed, ordered, **bugs).run()


@pytest.mark.parametrize("ordered", [True, False])
def test_each_event_has_one_end_whatever_crashes(ordered: bool) -> None:
    run_worlds(ordered)


def later_ones_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits behind a retry."""
    monkeypatch.setattr(Lane, "_level_before", lambda self, item: None)


def numbers_are_given_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits again goes behind those that came later."""
    enter = Lane._enter

    def forgetful(self: Lane, key: bytes, number: int, level: int) -> int:
        if number:
            self._leave(key, number)
        return enter(self, key, 0, level)

    monkeypatch.setattr(Lane, "_enter", forgetful)


def keys_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of a key at a time."""

    def take(self: Lane, item: Item) -> None:
        self._ready.append(item)
        self._queues.setdefault(item.key or b"", deque()).append(item)

    monkeypatch.setattr(Lane, "take", take)
    monkeypatch.setattr(Lane, "_next_of_key", lambda self, item: None)


def dead_ones_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over is never forgotten."""
    monkeypatch.setattr(Lane, "_leave", lambda self, key, number: None)


def the_last_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of a key is a stack."""

    def take(self: Lane, item: Item) -> None:
        queue = self._queues.setdefault(item.key or b"", deque())
        queue.insert(min(1, len(queue)), item)
        if len(queue) == 1:
            self._ready.append(item)

    monkeypatch.setattr(Lane, "take", take)


@pytest.mark.parametrize(
    "bug",
    [
        later_ones_pass,
        numbers_are_given_anew,
        keys_are_not_looked_at,
        dead_ones_are_waited_for,
        the_last_is_tried_first,
    ],
)
def test_a_planted_bug_is_found(bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    with pytest.raises((Violation, IndexError, KeyError)):
        run_worlds()


@pytest.mark.parametrize("bug", ["forgets", "unsettled"])
def test_a_restart_that_forgets_is_found(bug: str) -> None:
    """Which events wait in the topics, or what is settled above the position."""
    with pytest.raises(Violation):
        run_worlds(forgets=bug == "forgets", unsettled=bug == "unsettled")


def test_concurrency_is_a_bound() -> None:
    lane = Lane(2)
    window = Window(0)
    for number in range(5):
        tries = Tries("r", "s", 0, number, 0)
        lane.take(Item(Record("s", 0, number, 0, None, b"{}"), {}, window, tries))
    first, second = lane.next(), lane.next()
    assert isinstance(first, Step)
    assert isinstance(second, Step)
    assert lane.next() is None
    lane.done(first.item)
    assert lane.next() is not None
    assert lane.next() is None


def test_a_lane_is_full_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    lane = Lane(5, ordered=True)
    lane.recall([(b"a", 1, 0), (b"a", 2, 0)])
    assert lane.is_full
    item = Item(
        Record("t", 0, 0, 0, None, b"{}"),
        {},
        Window(0),
        Tries("r", "s", 0, 0, 0, 1, sequence=1),
        b"a",
        0,
    )
    lane.take(item)
    step = lane.next()
    assert step is not None
    assert step.kind == "try"
    lane.done(item)
    assert not lane.is_full
