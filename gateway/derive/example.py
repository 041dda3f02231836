"""Tests of declarations: events that are given, and the rows that have to come. They run the engine itself. Pure.

    base: {meta: {dt: "2026-01-01T00:00:00Z"}, wiki: enwiki}
    tests:
    - name: bots are left out
      stream: wiki.enwiki-edits
      given: [{}, {bot: true}]
      expect: [{wiki: enwiki}]

The events of `given` are merged into `base`. They go to the first source, or `given` maps streams to their events.
`$partition` sets the partition of an event (0 by default), and `$delete: [key]` makes it a deletion. `until` advances
the clocks of all partitions, as canaries do. An expected row is compared in the members that it names; null is a
deletion. `late` and `errors` count what is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.document import Findings, Located, did_you_mean, parse
from gateway.catalog.stream import Stream
from gateway.derive.clock import time_reader
from gateway.derive.engine import Engine, event_of
from gateway.derive.identity import record_key
from gateway.derive.operator import DEFAULT_BOUNDS, DeriveBounds, TooMuchHeld
from gateway.derive.row import Refused, written
from gateway.model.record import Record, TopicPartition
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time, read_time

MAXIMUM_PARTITIONS = 100
"""Partitions that the events of a case may be in."""
_KEYS = ("name", "stream", "given", "until", "expect", "late", "errors")
_DELETE, _PARTITION = "$delete", "$partition"


@dataclass(frozen=True, slots=True)
class Example:
    """One test. `given` is events by stream, in the order in which they come; `until` is in milliseconds."""

    name: str
    line: int
    stream: Stream
    derivation: Derivation
    given: list[tuple[str, dict[str, Any]]]
    until: int | None
    expect: list[Any]
    late: int
    errors: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a test; `differences` is empty where it is as expected."""

    example: Example
    rows: list[Any]
    differences: list[str]


def read_examples(text: str, catalog: Catalog, findings: Findings) -> list[Example]:
    """The tests of a file. Mistakes go to `findings`."""
    document = parse(text, findings)
    if document is None:
        return []
    parts = document.value if isinstance(document.value, dict) else {}
    for key, item in parts.items():
        if key not in ("base", "tests"):
            findings.mistake(
                item.line, f"there is no {key}{did_you_mean(key, ('base', 'tests'))}; it takes base, tests"
            )
    base, tests = parts.get("base"), parts.get("tests")
    if tests is None or not isinstance(tests.value, list) or not tests.value:
        findings.mistake(document.line, "there are no tests; it takes a list of {name, stream, given, expect}")
        return []
    if base is not None and not isinstance(base.value, dict):
        findings.mistake(base.line, f"base is {base.kind}; it takes the members that all events have")
        return []
    shared = base.plain() if base is not None else {}
    found = [_read(item, shared, catalog, findings) for item in tests.value]
    return [one for one in found if one is not None]


def _read(item: Located, base: Any, catalog: Catalog, findings: Findings) -> Example | None:
    parts = item.value if isinstance(item.value, dict) else {}
    before = len(findings.mistakes)
    for key, part in parts.items():
        if key not in _KEYS:
            findings.mistake(part.line, f"a test has no {key}{did_you_mean(key, _KEYS)}; it takes {', '.join(_KEYS)}")
    for key in ("name", "stream", "given", "expect"):
        if key not in parts:
            findings.mistake(item.line, f"the test has no {key}")
    plain: dict[str, Any] = {key: part.plain() for key, part in parts.items()}
    name = plain.get("stream")
    stream = catalog.streams.get(name) if isinstance(name, str) else None
    if "stream" in parts and (stream is None or stream.derive is None):
        hint = did_you_mean(str(name), [one for one, found in catalog.streams.items() if found.derive is not None])
        findings.mistake(parts["stream"].line, f"{name} is no derived stream{hint}")
    for key in ("late", "errors"):
        if type(plain.get(key, 0)) is not int:
            findings.mistake(parts[key].line, f"{key} is {parts[key].kind}; it takes a number")
    if "expect" in parts and not isinstance(plain["expect"], list):
        findings.mistake(parts["expect"].line, f"expect is {parts['expect'].kind}; it takes a list of rows")
    until = None
    if "until" in parts:
        try:
            until = read_time(str(plain["until"]))
        except ValueError as error:
            findings.mistake(parts["until"].line, f"until: {error}")
    if stream is None or stream.derive is None or len(findings.mistakes) > before:
        return None
    given = _given(parts["given"], base, stream.derive, findings)
    if len(findings.mistakes) > before:
        return None
    return Example(
        str(plain["name"]), item.line, stream, stream.derive, given, until,
        plain["expect"], plain.get("late", 0), plain.get("errors", 0),
    )  # fmt: skip


def _given(item: Located, base: Any, derivation: Derivation, findings: Findings) -> list[tuple[str, dict[str, Any]]]:
    by_stream = item.value if isinstance(item.value, dict) else {derivation.sources[0]: item}
    found = []
    for stream, part in by_stream.items():
        if stream not in derivation.inputs:
            hint = did_you_mean(stream, derivation.inputs)
            findings.mistake(part.line, f"{stream} is not read by it{hint}; it reads {', '.join(derivation.inputs)}")
        elif not isinstance(part.value, list):
            findings.mistake(part.line, f"given is {part.kind}; it takes a list of events, or of each stream one")
        else:
            for entry in part.value:
                partition = entry.value.get(_PARTITION) if isinstance(entry.value, dict) else None
                if not isinstance(entry.value, dict):
                    findings.mistake(entry.line, f"given holds {entry.kind}; an event is a mapping, {{}} is `base`")
                elif partition is not None and partition.value not in range(MAXIMUM_PARTITIONS):
                    findings.mistake(entry.line, f"{_PARTITION} takes a number below {MAXIMUM_PARTITIONS}")
                else:
                    found.append((stream, _laid_over(copy.deepcopy(base), entry.plain())))
    return found


def _laid_over(base: Any, event: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(event, dict):
        return event
    return base | {name: _laid_over(base.get(name), value) for name, value in event.items()}


def run(
    example: Example, catalog: Catalog, schemas: SchemaRepository, bounds: DeriveBounds = DEFAULT_BOUNDS
) -> Outcome:
    """Give the events, and compare what comes. Raises InvalidExpression."""
    derivation, streams = example.derivation, catalog.streams
    count = 1 + max((event.get(_PARTITION, 0) for _, event in example.given), default=0)
    places = [TopicPartition(streams[name].topics[0], number) for name in derivation.inputs for number in range(count)]
    schema = None if derivation.passes else schemas.taken_by(example.stream)
    engine = Engine(
        example.stream.name, derivation, streams, places,
        uri=None if schema is None else schema.uri, faults=None if schema is None else schema.faults, bounds=bounds,
    )  # fmt: skip
    offsets = dict.fromkeys(places, 0)
    try:
        for name, event in example.given:
            place = TopicPartition(streams[name].topics[0], event.pop(_PARTITION, 0))
            record = record_of(streams[name], event, place, offsets[place])
            offsets[place] += 1
            engine.take(place, [(record, event_of(record))])
        if example.until is not None:
            move_on(engine, streams, derivation, offsets, example.until)
    except TooMuchHeld as error:
        return Outcome(example, [], [str(error)])
    rows = [None if row.value is None else orjson.loads(row.value) for row in engine.results.rows]
    return Outcome(example, rows, _differences(example, rows, engine.results.refused))


def record_of(stream: Stream, event: dict[str, Any], place: TopicPartition, offset: int) -> Record:
    """The record that holds an event which is given, with the key that the intake would give it."""
    time = time_reader(stream.timestamp_field)(event) or 0
    deleted = event.get(_DELETE)
    if deleted is not None:
        return Record(
            *place, offset, time, record_key(tuple(deleted if isinstance(deleted, list) else [deleted])), None
        )
    names = stream.message_key_fields if stream.derive is None else [name for name, _ in stream.derive.key]
    key = tuple(_at(event, name) for name in names)
    whole = bool(key) and all(part is not None for part in key)
    return Record(*place, offset, time, record_key(key) if whole else None, written(event))


def _at(event: Any, path: str) -> Any:
    for name in path.split("."):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def move_on(
    engine: Engine,
    streams: Mapping[str, Stream],
    derivation: Derivation,
    offsets: Mapping[TopicPartition, int],
    until: int,
) -> None:
    """Advance the clocks of all partitions to a time (ms), as canaries do. `offsets` are those behind what was read."""
    for name in derivation.inputs:
        path = (streams[name].timestamp_field or "meta.dt").split(".")
        for place, offset in offsets.items():
            if place.topic in streams[name].topics:
                canary: dict[str, Any] = {"meta": {"domain": "canary"}}
                holder = canary
                for part in path[:-1]:
                    holder = holder.setdefault(part, {})
                holder[path[-1]] = iso_time(until)
                record = Record(*place, offset, until, None, written(canary))
                engine.take(place, [(record, canary)])


def _differences(example: Example, rows: list[Any], refused: list[Refused]) -> list[str]:
    found = []
    if len(rows) != len(example.expect):
        found.append(f"{len(rows)} rows came, and {len(example.expect)} are expected")
    for number, (row, wanted) in enumerate(zip(rows, example.expect, strict=False), 1):
        if not _agrees(row, wanted):
            found.append(f"row {number} is {written(row).decode()}, and expected is {written(wanted).decode()}")
    for kind, wanted_count in (("late", example.late), ("invalid", example.errors)):
        reasons = [one.reason for one in refused if one.kind == kind]
        if len(reasons) != wanted_count:
            what = "late" if kind == "late" else "errors"
            told = f": {'; '.join(reasons[:3])}" if reasons else ""
            found.append(f"{what}: {len(reasons)}, and {wanted_count} are expected{told}")
    return found


def _agrees(row: Any, wanted: Any) -> bool:
    """Whether a row has what is wanted of it, in the members that are named."""
    if isinstance(wanted, dict) and isinstance(row, dict):
        return all(name in row and _agrees(row[name], value) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(row, list):
        return len(row) == len(wanted) and all(map(_agrees, row, wanted))
    # True is 1 to Python.
    return bool(row == wanted) and isinstance(row, bool) == isinstance(wanted, bool)
