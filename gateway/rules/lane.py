"""The order of a rule's events: one of a key at a time, up to the rule's concurrency. Pure.

If the rule is `ordered`, later events of a key stay behind those that wait for another try.

Events that wait for another try are in topics of the rule. An ordered rule keeps a number for each waiting event, by
key: an event gets a number when it first waits, and keeps it. Of a key, only the event with the lowest number is tried.
The others go to the topic where that one is, behind it, and so are due after it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gateway.model.record import Record
from gateway.rules.tries import Tries
from gateway.rules.window import Window

MOST_WAITING = 50_000
"""Events of an ordered rule that wait for another try, or behind one; with more, nothing is read from its streams."""

STREAM = -1
"""The level of what comes from a stream; those of the delays count from 0."""


@dataclass(slots=True, eq=False)
class Item:
    """An event at which a rule is at work: a record of one of its streams, or of one of its own topics (`level`).

    `key` is None where it waits for no other. `size` is in bytes."""

    record: Record
    event: dict[str, Any]
    window: Window
    tries: Tries
    key: bytes | None = None
    level: int = STREAM
    size: int = 0


class Step(NamedTuple):
    """What is to be done with an item next: try it, or put it behind another one, which waits at `level`."""

    kind: Literal["try", "follow"]
    item: Item
    level: int = STREAM


class Lane:
    """One rule, in one process."""

    def __init__(self, concurrency: int, ordered: bool = False) -> None:
        self._concurrency = concurrency
        self._ordered = ordered
        self._ready: deque[Item] = deque()
        self._queues: dict[bytes, deque[Item]] = {}
        """By key those that were taken and are not finished; the first is ready, or being tried."""
        self._waiting: dict[bytes, dict[int, int]] = {}
        """By key the numbers of those that wait in the rule's topics, ascending, and at which level they wait."""
        self._numbers = 0
        self._count = 0
        self.trying = 0
        """Events that are being tried."""

    @property
    def waiting(self) -> int:
        """Events of an ordered rule that stand in its topics."""
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be read from the streams."""
        return self._count >= MOST_WAITING

    def recall(self, found: list[tuple[bytes, int, int]]) -> None:
        """Key, number and level of all that stands in the rule's topics, as it was read at the start."""
        for key, number, level in sorted(found, key=lambda one: one[1]):
            self._enter(key, number, level)

    def take(self, item: Item) -> None:
        """An event that is due has been read."""
        if item.key is None:
            self._ready.append(item)
            return
        queue = self._queues.get(item.key)
        if queue is None:
            queue = self._queues[item.key] = deque()
            self._ready.append(item)
        queue.append(item)

    def next(self) -> Step | None:
        """What to do now; each step is followed by `done`, `retry` or `follow` for its item."""
        while self._ready:
            item = self._ready[0]
            behind = self._level_before(item)
            if behind is not None:
                self._ready.popleft()
                return Step("follow", item, behind)
            if self.trying >= self._concurrency:
                return None
            self._ready.popleft()
            self.trying += 1
            return Step("try", item)
        return None

    def put_back(self, item: Item) -> None:
        """An item that was to be tried is not, yet."""
        self.trying -= 1
        self._ready.appendleft(item)

    def done(self, item: Item) -> None:
        """It was tried, and is done with: delivered, ignored or dead."""
        self.trying -= 1
        if item.key is not None and item.tries.sequence:
            self._leave(item.key, item.tries.sequence)
        self._next_of_key(item)

    def retry(self, item: Item, level: int) -> int:
        """It was tried, and waits at this level for another try; returns its number, 0 where nobody waits for it."""
        self.trying -= 1
        return self._wait(item, level)

    def follow(self, item: Item, level: int) -> int:
        """It goes behind another one of its key, at this level; returns its number."""
        return self._wait(item, level)

    def forget(self, key: bytes, number: int) -> None:
        """What was to wait does not: it could not be stored."""
        self._leave(key, number)

    def _wait(self, item: Item, level: int) -> int:
        number = 0
        if self._ordered and item.key is not None:
            number = self._enter(item.key, item.tries.sequence, level)
        self._next_of_key(item)
        return number

    def _enter(self, key: bytes, number: int, level: int) -> int:
        if not number:
            number = self._numbers + 1
        self._numbers = max(self._numbers, number)
        numbers = self._waiting.setdefault(key, {})
        self._count += number not in numbers
        # A number that is there keeps its place: they stand in the order in which they were given.
        numbers[number] = level
        return number

    def _leave(self, key: bytes, number: int) -> None:
        numbers = self._waiting.get(key)
        if numbers is not None and numbers.pop(number, None) is not None:
            self._count -= 1
            if not numbers:
                del self._waiting[key]

    def _level_before(self, item: Item) -> int | None:
        """Where the event waits that has to be done before this one; None where there is none."""
        numbers = self._waiting.get(item.key) if self._ordered and item.key is not None else None
        if not numbers:
            return None
        first = next(iter(numbers))
        return None if first == item.tries.sequence else numbers[first]

    def _next_of_key(self, item: Item) -> None:
        if item.key is None:
            return
        queue = self._queues[item.key]
        queue.popleft()
        if queue:
            self._ready.append(queue[0])
        else:
            del self._queues[item.key]
