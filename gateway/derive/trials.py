"""Lets declarations be tried on the last minutes of their sources. Nothing is stored.

Each trial has a process of its own (`trial_process`), so that no declaration holds up the event loop. The bounds of
the records read, of the time, and of the trials at a time stand here.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from gateway.catalog.catalog import Catalog
from gateway.clock import Clock
from gateway.cooperative import give_way
from gateway.derive.trial_process import LENGTH, PROCESSOR_SECONDS
from gateway.errors import Problem
from gateway.eventlog.port import Batch, EventLog, TopicState
from gateway.eventlog.trouble import Trouble, demand, refuse
from gateway.feed.judge import Charge
from gateway.model.record import TopicPartition, sizes_of
from gateway.observability import telemetry
from gateway.schemas.repository import SchemaRepository
from gateway.subscription.replay import Pace

MOST = 2
"""Trials at a time in one process, and of one client half of them."""
MOST_OF_ONE = 1
RETRY_SECONDS = 2
SECONDS = 20.0
"""A trial is over by then."""
READ_SECONDS = 6.0
READ_RECORDS = 20_000
READ_BYTES = 16 * 1024 * 1024
"""What is read of the sources; and as many records again of streams that are looked into."""
MOST_PARTITIONS = 1_000
BATCH = 500
BATCH_BYTES = 512 * 1024
WAIT = 0.5
"""Seconds that a fetch waits for records."""
LONGEST_PAUSE = 1.0
"""Seconds between two batches, where an address has read more history than it may."""
ANSWER_BYTES = 4 * 1024 * 1024
STEPS_A_SECOND = 4_000_000
"""Steps of a filter that a second of the processor counts as: one takes at most 0.25 µs."""
PACKED = 4
"""Catalogues that are kept as they are sent."""
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""What a trial is given of the environment, which may hold secrets."""


class Payment(NamedTuple):
    """Pays for a trial: `pace` for what is read, `charge` for the time that it took. Those of one `payer` are counted
    together."""

    payer: str = ""
    pace: Pace | None = None
    charge: Charge | None = None


FREE = Payment()


class _Gone(Exception):
    """The process has ended before it had told all."""


class Trials:
    """Those of one process of the gateway."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._packed: dict[tuple[Catalog, SchemaRepository], bytes] = {}

    async def run(
        self,
        text: bytes,
        span: int,
        catalog: Catalog,
        schemas: SchemaRepository,
        payment: Payment = FREE,
    ) -> dict[str, Any]:
        """What comes of a declaration, over the streams of a catalogue, in the last `span` milliseconds. Raises Problem
        where there are too many trials, LogError where the log does not answer."""
        with self._place(payment.payer):
            known = await self._known(catalog, schemas)
            # What is known of a process that ends in no order is the most that it can have taken.
            said: dict[str, Any] = {"mistakes": [], "warnings": [], "processor_seconds": PROCESSOR_SECONDS}
            try:
                async with asyncio.timeout(SECONDS), _child() as child:
                    await self._converse(child, pickle.dumps((text, known)), span, payment.pace, said)
            except TimeoutError:
                said["stopped"] = f"it took more than {SECONDS:g} s"
            finally:
                taken = said.pop("processor_seconds")
                if payment.charge is not None:
                    payment.charge(int(taken * STEPS_A_SECOND))
        if "failed" in said:
            telemetry.mistake("trial", RuntimeError(said["failed"]))
            raise Problem(500, "Internal error", "the trial failed; the operator finds the reason in the log")
        return said

    @contextmanager
    def _place(self, payer: str) -> Iterator[None]:
        """Raises Problem(429) where there is none."""
        if self._running.total() >= MOST or self._running[payer] >= MOST_OF_ONE:
            detail = f"there are as many trials as there may be; try again in {RETRY_SECONDS} s"
            raise Problem(429, "Too many requests", detail, headers={"retry-after": str(RETRY_SECONDS)})
        self._running[payer] += 1
        try:
            yield
        finally:
            self._running[payer] -= 1
            if not self._running[payer]:
                del self._running[payer]

    async def _known(self, catalog: Catalog, schemas: SchemaRepository) -> bytes:
        """What a declaration may be made of, as it is sent. What a registry says of streams that are not in the
        catalogue is not: a declaration may have the name of one, or its title."""
        packed = self._packed.get((catalog, schemas))
        if packed is None:
            known = tuple(catalog.streams.values()), schemas.only(catalog.streams.keys())
            packed = await asyncio.to_thread(pickle.dumps, known)
            if len(self._packed) >= PACKED:
                self._packed.clear()
            self._packed[catalog, schemas] = packed
        return packed

    async def _converse(self, child: Process, frame: bytes, span: int, pace: Pace | None, said: dict[str, Any]) -> None:
        """What the process has to say goes to `said`."""
        try:
            try:
                await _send(child, frame)
                said |= await _line(child)
                inputs = said.pop("inputs", None)
                if inputs is None:
                    return
                said["complete"] = await self._feed(child, inputs, span, pace)
            except OSError:
                said["complete"] = False  # It has ended, and says why.
            said |= await _line(child)
        except _Gone:
            said |= {"stopped": "it takes too much time or memory", "processor_seconds": PROCESSOR_SECONDS}

    async def _feed(self, child: Process, inputs: Mapping[str, Sequence[str]], span: int, pace: Pace | None) -> bool:
        """Give the records of the last `span` milliseconds; whether that was all of them."""
        places, missing = await self._places([topic for topics in inputs.values() for topic in topics])
        looked = [place for place in places if place.topic in inputs["lookups"]]
        begins, ends, whole = await self._range([place for place in places if place not in looked], span)
        if looked:
            begins_there, ends_there, whole_there = await self._tail(looked)
            begins, ends, whole = begins_there | begins, ends_there | ends, whole and whole_there
        await _send(child, pickle.dumps(places))
        left = {place: ends[place] for place in places if begins[place] < ends[place]}
        if left:
            whole = await self._read(child, begins, left, pace) and whole
        assert child.stdin is not None
        child.stdin.close()
        return whole and not missing

    async def _places(self, topics: Sequence[str]) -> tuple[list[TopicPartition], bool]:
        """The partitions of the topics that there are, and whether one is missing."""
        states = await self._log.describe(topics)
        refuse({TopicPartition(name, 0): state for name, state in states.items() if isinstance(state, Trouble)})
        known = {name: state.partitions for name, state in states.items() if isinstance(state, TopicState)}
        if sum(known.values()) > MOST_PARTITIONS:
            detail = f"its sources have {sum(known.values())} partitions, and {MOST_PARTITIONS} can be tried"
            raise Problem(400, "Too many partitions", detail)
        places = [TopicPartition(topic, number) for topic in topics for number in range(known.get(topic, 0))]
        return places, len(known) < len(topics)

    async def _range(
        self, places: Sequence[TopicPartition], span: int
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int], bool]:
        """Where to begin and to end; a span of too many records is halved until it fits."""
        ends = {place: at.end for place, at in demand(await self._log.bounds(places)).items()}
        now, asked = self._clock.now(), span
        while True:
            found = await self._log.find(dict.fromkeys(places, now - span))
            refuse({place: answer for place, answer in found.items() if isinstance(answer, Trouble)})
            begins = {
                place: min(answer, ends[place]) if isinstance(answer, int) else ends[place]
                for place, answer in found.items()
            }
            if sum(ends[place] - begins[place] for place in places) <= READ_RECORDS or span <= 1:
                return begins, ends, span == asked
            span //= 2

    async def _tail(
        self, places: Sequence[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int], bool]:
        """The newest records of streams that are looked into."""
        bounds = demand(await self._log.bounds(places))
        share = max(1, READ_RECORDS // len(places))
        begins = {place: max(at.start, at.end - share) for place, at in bounds.items()}
        return (
            begins,
            {place: at.end for place, at in bounds.items()},
            all(begins[place] == at.start for place, at in bounds.items()),
        )

    async def _read(
        self,
        child: Process,
        begins: Mapping[TopicPartition, int],
        left: dict[TopicPartition, int],
        pace: Pace | None,
    ) -> bool:
        """Give records until all partitions are read to their ends, or the bounds are reached; whether all were."""
        read, size = 0, 0
        reader = await self._log.reader({place: begins[place] for place in left})
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(READ_SECONDS):
                    while left and read < 2 * READ_RECORDS and size < READ_BYTES:
                        batches = await reader.fetch(WAIT, BATCH, list(left), BATCH_BYTES)
                        sent = 0
                        for batch in batches:
                            if not isinstance(batch, Batch):
                                refuse({batch.partition: batch.trouble})
                                continue
                            records = [one for one in batch.records if one.offset < left[batch.partition]]
                            await _send(child, pickle.dumps((batch.partition, [tuple(one) for one in records])))
                            read += len(records)
                            sent += sum(sizes_of(records))
                            if batch.position >= left[batch.partition]:
                                del left[batch.partition]
                        size += sent
                        wait = await pace(sent) if pace is not None and sent else 0.0
                        await asyncio.sleep(min(wait, LONGEST_PAUSE))
        finally:
            await reader.close()
        return not left


@asynccontextmanager
async def _child() -> AsyncIterator[Process]:
    """The process of a trial, which is gone afterwards."""
    package = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT or name.startswith("PYTHON")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (package, kept.get("PYTHONPATH"))))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.derive.trial_process",
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=kept, limit=ANSWER_BYTES,
    )  # fmt: skip
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await asyncio.shield(child.wait())


async def _send(child: Process, frame: bytes) -> None:
    """Raises OSError where it has ended."""
    assert child.stdin is not None
    child.stdin.write(LENGTH.pack(len(frame)))
    child.stdin.write(frame)
    await child.stdin.drain()
    await give_way()


async def _line(child: Process) -> dict[str, Any]:
    """What the process says next. Raises _Gone; what cannot be read is a failure of the trial."""
    assert child.stdout is not None
    try:
        line = await child.stdout.readline()
    except ValueError:
        raise _Gone from None
    if not line.endswith(b"\n"):
        raise _Gone
    try:
        said: dict[str, Any] = orjson.loads(line)
        rows = [_as_it_is(row) for row in said.get("rows", ())]
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        return {"failed": f"the process of the trial said what cannot be read: {error}"}
    return said | {"rows": rows} if "rows" in said else said


def _as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its value in the answer as it is stored: read and written again, it might be another, or fail."""
    return row if row["value"] is None else row | {"value": orjson.Fragment(row["value"])}
