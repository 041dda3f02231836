"""Inspects the topics of the streams: whether they are there, what is allowed, and what their newest records hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.catalog.names import Names
from gateway.catalog.stream import Stream
from gateway.cooperative import together
from gateway.definitions import Definitions
from gateway.errors import BadRecord
from gateway.eventlog.inspection import Inspectable, Listed
from gateway.eventlog.port import EventLog
from gateway.eventlog.trouble import Kind, Trouble
from gateway.inspection.recognize import advice, cut, form_of, schema_of
from gateway.inspection.report import Section
from gateway.inspection.samples import Sample, newest
from gateway.model.event import parse_event
from gateway.model.record import NO_TIMESTAMP, Record
from gateway.text import counted

AT_ONCE = 6
"""Topics whose records are read at a time."""
LOOKED_AT = 5
"""Newest records of a topic that are decoded; one of them is shown."""

Longest = Callable[[Stream, Mapping[str, int]], str | None]
"""What is wrong with the ids of a stream whose topics have so many partitions."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the topics are held against. `stored` reads them as they are in the log; `writes` are the streams that the
    gateway stores events in; `place` tells where a key of a stream stands."""

    definitions: Definitions
    stored: EventLog
    writes: frozenset[str]
    place: Callable[[str, str], str]
    longest: Longest


async def inspect_topics(raw: Inspectable, log: EventLog, asked: Asked) -> list[Section]:
    """A section for each stream. `log` reads as the gateway does, `raw` is asked for what there is. Raises
    LogUnavailable."""
    streams = asked.definitions.catalog.streams
    topics = {topic for stream in streams.values() for topic in stream.topics}
    found, every = await asyncio.gather(raw.listed(topics), raw.listed())
    there = Names(name for name, told in every.items() if isinstance(told, Listed) and not told.internal)
    partitions = {name: told.partitions for name, told in found.items() if isinstance(told, Listed)}
    permits = asyncio.Semaphore(AT_ONCE)

    async def sampled(topic: str) -> tuple[str, Sample]:
        async with permits:
            return topic, await newest(log, topic, partitions[topic], LOOKED_AT)

    readable = [
        name for name, told in found.items() if isinstance(told, Listed) and (told.may is None or "read" in told.may)
    ]
    samples = dict(await together(sampled(topic) for topic in sorted(readable)))
    sections = []
    for stream in streams.values():
        section = Section(f"Stream {stream.name}")
        for topic in stream.topics:
            _topic(section, stream, topic, found.get(topic), there, asked)
            if topic in samples:
                await _sample(section, stream, topic, samples[topic], asked)
        told = {topic: partitions[topic] for topic in stream.topics if topic in partitions}
        if (wrong := asked.longest(stream, told)) is not None:
            section.wrong(wrong)
        sections.append(section)
    return sections


def _topic(
    section: Section, stream: Stream, topic: str, found: Listed | Trouble | None, there: Names, asked: Asked
) -> None:
    place = asked.place(stream.name, "topics")
    makes = stream.derive is not None or stream.name in asked.writes
    if found is None:
        what = f"{place}there is no topic {topic}"
        if makes:
            section.noted(f"{what}; it is created when the first event is stored{there.meant(topic)}")
        else:
            section.wrong(f"{what}{there.meant(topic)}")
        return
    if isinstance(found, Trouble):
        # Of a topic that may not be described the brokers do not tell whether it exists.
        right = "; grant DESCRIBE and READ (kafka-acls.sh), or correct its name" + there.meant(topic)
        section.wrong(f"{place}topic {topic}: {found}{right if found.kind is Kind.NO_RIGHT else ''}")
        return
    needed = {"describe", "read"} | ({"write"} if makes else set())
    if found.may is None:
        section.good(f"topic {topic}: {counted(found.partitions, 'partition')} (the broker tells no rights)")
    elif missing := sorted(needed - found.may):
        words = " and ".join(word.upper() for word in missing)
        off = " or, where no events are taken in, set intake: off" if missing == ["write"] else ""
        section.wrong(f"{place}the gateway may not {' or '.join(missing)} topic {topic}; grant {words}{off}")
    else:
        may = ", ".join(word for word in ("describe", "read", "write") if word in found.may)
        section.good(f"topic {topic}: {counted(found.partitions, 'partition')}; the gateway may {may}")


async def _sample(section: Section, stream: Stream, topic: str, sample: Sample, asked: Asked) -> None:
    place = asked.place(stream.name, "format" if stream.form != "json" else "topics")
    if sample.trouble is not None:
        section.wrong(f"{place}topic {topic}: {sample.trouble}")
    if not sample.records:
        if sample.trouble is None:
            section.shown("it holds no events yet" if not sample.count else "its newest records hold no events")
        return
    faults = {record: why for record in sample.records if (why := _fault(record)) is not None}
    whole = [record for record in sample.records if record not in faults and record.value is not None]
    if whole:
        section.shown(f"newest event, {_where(whole[0])}:")
        section.shown(cut(whole[0].value or b""))
        for line in _invalid(whole[0], stream, asked):
            section.noted(f"{place}{line}")
    if faults:
        first = next(iter(faults))
        newest_ones = counted(len(sample.records), "record")
        what = (
            f"{len(faults)} of its newest {newest_ones} are no events"
            if whole
            else f"its newest {newest_ones} hold no event"
        )
        line = f"{place}topic {topic}: {what}. {_where(first)}: {faults[first]}; {await _advice(asked.stored, first)}"
        (section.noted if whole else section.wrong)(line)


def _fault(record: Record) -> str | None:
    if record.fault is not None:
        return record.fault
    if record.value is None:
        return None
    try:
        parse_event(record.value)
    except BadRecord as error:
        return str(error)
    return None


async def _advice(stored: EventLog, record: Record) -> str:
    """What the form of a record seems to be, as it stands in the log."""
    if record.fault is None:
        return advice(form_of(record), record.value)
    sample = await newest(stored, record.topic, record.partition + 1, LOOKED_AT)
    for one in sample.records:
        if (one.partition, one.offset) == (record.partition, record.offset):
            return advice(form_of(one), one.value)
    return "see format in docs/STREAMS.md"


def _invalid(record: Record, stream: Stream, asked: Asked) -> list[str]:
    """How an event differs from its schema."""
    if record.value is None:
        return []
    event = parse_event(record.value)
    schemas = asked.definitions.schemas
    named = schema_of(event)
    schema = schemas.named(named) if named is not None else None
    schema = schema or schemas.taken_by(stream)
    if schema is None:
        return []
    return [f"the newest event is not valid by {schema.uri}: {fault}" for fault in schema.faults(event)[:3]]


def _where(record: Record) -> str:
    when = "without a time"
    if record.timestamp != NO_TIMESTAMP:
        try:
            when = datetime.fromtimestamp(record.timestamp / 1000, UTC).isoformat(timespec="seconds")[:19] + "Z"
        except (OverflowError, ValueError, OSError):
            when = f"at {record.timestamp} ms"
    return f"partition {record.partition}, offset {record.offset}, {when}"
