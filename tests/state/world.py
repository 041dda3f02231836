"""A world for views: a log with several partitions, a builder that is killed anywhere, and clients that are cut off
anywhere and come back. After `ready` each frame is held against the fold of the log up to its id."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from gateway.catalog.derivation import Expression
from gateway.catalog.view import View
from gateway.model.position import DEFAULT_IDS
from gateway.model.record import Record
from gateway.state.frames import ALL_KEYS, Frames, Range, parse_id, whole_groups
from gateway.state.key import read
from gateway.state.lookup import Forgotten, Lookup
from gateway.state.place import Place, Places, covers, cut_of
from gateway.state.store import Store
from gateway.wire.sse import SSE
from tests.kit.frames import Frame, FrameReader

TOPIC = "pages"
PARTITIONS = 3
Key = tuple[Any, ...]
Fold = dict[Key, Any]


class Killed(Exception):
    """The process ends here."""


def view_of(reduce: str, **more: Any) -> View:
    """A view with a key of two members, which deletes by an expression and by tombstones."""
    given = {"delete": Expression("has(event.gone)"), "tombstone": ("wiki", "n"), "determined": True}
    return View("v", TOPIC, TOPIC, ("wiki", "n"), reduce, **{**given, **more})  # type: ignore[arg-type]


def patched(base: Any, patch: Any) -> Any:
    """RFC 7396, as its section 2 has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


class World:
    """All random choices come from one seed."""

    def __init__(self, seed: int, reduce: str, directory: Path, keys: int = 25) -> None:
        self.random = random.Random(seed)
        self.view = view_of(reduce)
        self.path = directory / f"{seed}-{reduce}.db"
        self.log: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
        self.reduce = reduce
        self.time = 1_000_000
        self.keys = keys
        self.store: Store | None = None
        self.places: Places = {}
        self.kills = self.frames = self.checks = self.resets = self.past = self.expired = 0

    # -- the log --------------------------------------------------------------------------------------------------

    def grow(self, count: int) -> None:
        """More records, some of which are no events, or have no key."""
        for _ in range(count):
            number = int(self.random.expovariate(3 / self.keys))
            key = (self.random.choice(["", "enwiki", "a\x00b", "ä/%"]), number)
            partition = number % PARTITIONS
            self.time += self.random.randrange(-50, 200)
            records = self.log[partition]
            offset = (records[-1].offset if records else -1) + self.random.choice([1, 1, 1, 3])
            raw, value = orjson.dumps(list(key)), self._value(key, offset)
            records.append(Record(TOPIC, partition, offset, self.time, raw, value))

    def _value(self, key: Key, offset: int) -> bytes | None:
        kind = self.random.random()
        if kind < 0.05:
            return None
        if kind < 0.1:
            return self.random.choice([b"no json", b"[]", b'{"meta":{"domain":"canary"},"wiki":"enwiki","n":1}', b"{}"])
        event: dict[str, Any] = {"wiki": key[0], "n": key[1], "at": offset}
        if kind < 0.2:
            event["gone"] = True
        elif kind < 0.6:
            event[self.random.choice("abc")] = self.random.choice([None, 1, {"x": offset}, {"x": None, "y": [1]}])
        return orjson.dumps(event)

    def fold(self, cut: dict[int, int]) -> Fold:
        """What the log says, by the simplest means."""
        state: Fold = {}
        for partition, records in self.log.items():
            for record in records:
                if record.offset < cut.get(partition, 0):
                    self._step(state, record)
        return state

    def _step(self, state: Fold, record: Record) -> None:
        if record.value is None:
            state.pop(tuple(orjson.loads(record.key or b"")), None)
            return
        try:
            event = orjson.loads(record.value)
        except ValueError:
            return
        if not isinstance(event, dict) or "meta" in event or "wiki" not in event:
            return
        key = (event["wiki"], event["n"])
        if "gone" in event:
            state.pop(key, None)
        else:
            state[key] = event if self.reduce == "latest" else patched(state.get(key), event)

    # -- building -------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Read on, in one transaction; sometimes the process is killed before it is done, or after."""
        if self.store is None:
            self.store = Store(self.path, self.view)
            begin = {partition: Place(0) for partition in range(PARTITIONS)}
            self.places = self.store.begin(begin, "identity", 1)
        batches = []
        for partition, records in self.log.items():
            left = [one for one in records if one.offset >= self.places[partition].next]
            batch = left[: self.random.randrange(0, 12)]
            if batch:
                batches.append((partition, batch, batch[-1].offset + 1))
        kill = self.random.random()
        try:
            if kill < 0.1:
                self._break(self.random.randrange(1, 20))
            self.places = self.store.apply(self.places, batches, 10**9).places
            if kill > 0.95:
                raise Killed
        except Killed:
            self.kills += 1
            self.store.close()
            self.store = None

    def _break(self, after: int) -> None:
        """Kill the process after so many steps of SQLite."""
        assert self.store is not None
        left = after

        def step() -> int:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return 0

        file = self.store._file
        file.set_progress_handler(step, 40)
        original = self.store.apply

        def apply(*given: Any) -> Any:
            try:
                return original(*given)
            except sqlite3.OperationalError:
                raise Killed from None
            finally:
                file.set_progress_handler(None, 0)

        self.store.apply = apply  # type: ignore[method-assign, assignment]

    def forget(self) -> None:
        """Forget what is older than some record."""
        if self.store is not None:
            self.store.forget(self.time - self.random.randrange(100, 4000), {})

    # -- clients --------------------------------------------------------------------------------------------------

    def client(self, resumed: str | None, keys: Range = ALL_KEYS) -> Generator[bytes | None, None, None]:
        """What a session sends, piece by piece; None where nothing is new. Raises Forgotten where it begins anew."""
        with closing(Lookup(self.path)) as lookup:
            yield from self._pieces(lookup, resumed, keys)

    def _pieces(self, lookup: Lookup, resumed: str | None, keys: Range) -> Iterator[bytes | None]:
        state = lookup.state()
        assert state is not None
        after: bytes | None = None
        ready = False
        if resumed is None:
            frames = Frames(SSE, state.view, False, state.places, keys, DEFAULT_IDS)
            yield frames.snapshot(b"snapshot", None)
        else:
            given = parse_id(resumed, state.view)
            places = {
                partition.partition: Place((at.offset or 0) + 1 if at.offset is not None else 0, *_known(at))
                for partition, at in given.position.items()
            }
            if not covers(cut_of(places), state.horizon):
                raise Forgotten
            frames = Frames(SSE, state.view, False, places, keys, DEFAULT_IDS)
            frames.sent, after, ready = given.rows, given.after, not given.within
        while not ready:
            start = keys.start if after is None else after
            found, last = lookup.rows(cut_of(frames.places), start, after is not None, keys.end, 7, 4)
            yield frames.rows(found)
            if last is None:
                yield frames.ready()
                break
            after = last
        seq = lookup.before(cut_of(frames.places))
        while True:
            state, versions = lookup.changes(seq, self.random.randrange(1, 9))
            complete = not versions or versions[-1].seq == state.seq
            group = whole_groups(versions, complete)
            data = frames.follow(group)
            if complete:
                frames.advance(state.places)
            seq = state.seq if complete else group[-1].seq
            yield data + (frames.heartbeat() if self.random.random() < 0.2 else b"") if data or not complete else None

    def run(self, total: int) -> None:
        """Let the log grow to so many records while one client after another follows it."""
        self.grow(60)
        while self.store is None:
            self.build()
        held: Fold = {}
        ready, last = False, None
        while True:
            feed = self.client(last)
            stop = self.random.randrange(1, 60)
            reader = FrameReader()
            try:
                for _ in range(stop):
                    if self.random.random() < 0.5:
                        self.build()
                    if self.random.random() < 0.05:
                        self.forget()
                    piece = next(feed)
                    if self.random.random() < 0.4 and self.length < total:
                        self.grow(self.random.randrange(0, 8))
                    cut = piece or b""
                    for frame in reader.feed(cut):
                        ready = self._take(frame, held, ready)
                        last = frame.identifier
                        if self.random.random() < 0.02:
                            break  # The connection is lost between two frames.
                    else:
                        continue
                    break
            except Forgotten:
                last, ready = None, False
                held.clear()
                self.resets += 1
            finally:
                feed.close()
            if self.random.random() < 0.1:
                last, ready = None, False
                held.clear()
            elif self.random.random() < 0.15:  # It is away for long.
                for _ in range(12):
                    self.grow(3 if self.length < total else 0)
                    self.build()
                for _ in range(20):
                    self.forget()
            if self.length >= total and self.random.random() < 0.05:
                return

    @property
    def length(self) -> int:
        """Records of the log."""
        return sum(map(len, self.log.values()))

    def _take(self, frame: Frame, held: Fold, ready: bool) -> bool:
        self.frames += 1
        if frame.event == "snapshot":
            held.clear()
            return False
        if frame.event in ("row", "change"):
            held[tuple(frame.document["key"].values())] = frame.document["value"]
        elif frame.event == "delete":
            held.pop(tuple(frame.document["key"].values()), None)
        elif frame.event == "ready":
            assert frame.document["keys"] == len(held)
            ready = True
        if ready:
            self.checks += 1
            entries = orjson.loads(frame.identifier or "")
            assert held == self.fold({entry["partition"]: entry["offset"] + 1 for entry in entries})
        return ready

    def look_back(self, times: int) -> None:
        """States at any cut are those of the fold, or known to be forgotten."""
        with closing(Lookup(self.path)) as lookup:
            self._look_back(lookup, times)

    def close(self) -> None:
        """The process ends."""
        if self.store is not None:
            self.store.close()

    def _look_back(self, lookup: Lookup, times: int) -> None:
        for _ in range(times):
            cut = {partition: self.random.randrange(0, place.next + 1) for partition, place in self.places.items()}
            state = lookup.state()
            assert state is not None
            try:
                got: Fold = {}
                after: bytes | None = b""
                while after is not None:
                    found, after = lookup.rows(cut, after, True, None, 10, 5)
                    got |= {read(one.key, 2): orjson.loads(one.value or b"") for one in found}
            except Forgotten:
                assert not covers(cut, state.horizon)
                self.expired += 1
                continue
            assert covers(cut, state.horizon)
            assert got == self.fold(cut)
            self.past += 1


def _known(at: Any) -> tuple[int, int]:
    return (-1, 0) if at.offset is None else (at.offset, at.timestamp or 0)
