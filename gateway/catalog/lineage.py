"""Checks the sources of derived streams: that they exist, and that no stream derives from itself."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from gateway.catalog.document import Findings, did_you_mean
from gateway.catalog.stream import Stream

NOTHING: Mapping[str, Stream] = MappingProxyType({})


def check_lineage(
    streams: Mapping[str, Stream],
    partitions_given: Iterable[str],
    findings: Findings,
    beside: Mapping[str, Stream] = NOTHING,
) -> dict[str, Stream]:
    """The streams, those that are derived with as many partitions as their first source has, unless they are
    `partitions_given` their own. They may be made of those `beside`, which were checked before. Mistakes go to
    `findings`."""
    every = {**beside, **streams}
    for stream in streams.values():
        _check_inputs(stream, every, findings)
    _check_topics(every, streams, findings)
    for line, text in circles(every, begin=streams):
        findings.mistake(line, text)
    given = {*partitions_given, *(name for name in beside if name not in streams)}
    return {
        name: stream
        if stream.derive is None or name in given
        else replace(stream, partitions=_partitions(name, every, given))
        for name, stream in streams.items()
    }


def made_of(stream: Stream) -> tuple[str, ...]:
    """The streams that this one reads; none for one that is not derived."""
    return () if stream.derive is None else stream.derive.inputs


def read_by(streams: Mapping[str, Stream]) -> dict[str, list[str]]:
    """By the name of a stream, the streams that are made of it; those alone that are made of others here."""
    found: dict[str, list[str]] = {}
    for stream in streams.values():
        for source in made_of(stream):
            found.setdefault(source, []).append(stream.name)
    return found


def circles(
    streams: Mapping[str, Stream], error_stream: str | None = None, begin: Container[str] | None = None
) -> list[tuple[int, str]]:
    """What is wrong, with its line, where events would go round for ever: a stream is made of itself, or of the errors
    that come of it. `error_stream` is that of streams which name none. Circles are told from one of the streams in
    `begin` on, and others are left out; without it, all are told."""
    found = []
    for circle in _circles(streams, error_stream):
        derived = [index for index, name in enumerate(circle) if streams[name].derive is not None]
        start = next((index for index in derived if begin is None or circle[index] in begin), None)
        if start is None:
            continue
        turned = [*circle[start:], *circle[:start]]
        derive = streams[turned[0]].derive
        assert derive is not None
        way = " → ".join([*turned, turned[0]])
        found.append((derive.line, f"{turned[0]} is made of itself: {way}; events would go round for ever"))
    return found


def _read_by(name: str, streams: Mapping[str, Stream], error_stream: str | None) -> list[str]:
    """The streams whose events become events of this one: what it is made of, and those whose errors go to it."""
    erring = (
        one.name
        for one in streams.values()
        if one.derive is not None and (one.error_stream or error_stream) == name and one.name != name
    )
    return [*made_of(streams[name]), *erring]


def descendants(name: str, streams: Mapping[str, Stream]) -> tuple[str, ...]:
    """All streams that are made of this one, also by way of others, in the order of the catalogue."""
    found = {name}
    while more := {other for other in streams if other not in found and not found.isdisjoint(made_of(streams[other]))}:
        found |= more
    return tuple(other for other in streams if other in found and other != name)


def _check_inputs(stream: Stream, streams: Mapping[str, Stream], findings: Findings) -> None:
    derive = stream.derive
    if derive is None:
        return
    named = [
        *zip(derive.sources, derive.source_lines, strict=True),
        *((one.stream, one.line) for one in derive.lookups),
    ]
    for source, line in named:
        if source not in streams:
            hint = did_you_mean(source, streams)
            findings.mistake(line, f"{stream.name}: derive reads {source}, and there is no stream of that name{hint}")
    for lookup in derive.lookups:
        if lookup.stream in derive.sources:
            findings.mistake(lookup.line, f"{stream.name}: {lookup.stream} is a source, and cannot be looked into too")
        elif shared := _topics([lookup.stream], streams) & _topics(derive.sources, streams):
            findings.mistake(lookup.line, f"{stream.name}: {min(shared)} is a topic of {lookup.stream} and of a source")
    if derive.passes or stream.schema_title is not None:
        return
    findings.mistake(derive.line, f"{stream.name}: it has no schema_title, of which its rows are")


def _topics(names: Iterable[str], streams: Mapping[str, Stream]) -> set[str]:
    return {topic for name in names if name in streams for topic in streams[name].topics}


def _check_topics(streams: Mapping[str, Stream], of: Container[str], findings: Findings) -> None:
    """The topic of a derived stream holds its rows alone; told where one of the two is in `of`."""
    owners: dict[str, Stream] = {}
    for stream in sorted(streams.values(), key=lambda one: one.derive is None):
        for topic in stream.topics:
            owner = owners.setdefault(topic, stream)
            derived = owner if owner.derive is not None else stream
            if owner is not stream and derived.derive is not None and (owner.name in of or stream.name in of):
                findings.mistake(
                    derived.derive.line,
                    f"the topic {topic} is that of the derived stream {owner.name}, and of {stream.name} too; "
                    "another name, or another version, gives it a topic of its own",
                )


def _circles(streams: Mapping[str, Stream], error_stream: str | None) -> list[list[str]]:
    """Each way from a stream back to itself, told once."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in streams:
        way: list[str] = []
        waiting = [(start, iter(_read_by(start, streams, error_stream)))] if start not in done else []
        while waiting:
            name, rest = waiting[-1]
            if len(way) < len(waiting):
                way.append(name)
            following = next((other for other in rest if other in streams and other not in done), None)
            if following is None:
                done.add(name)
                waiting.pop()
                way.pop()
            elif following in way:
                found.append(way[way.index(following) :])
            else:
                waiting.append((following, iter(_read_by(following, streams, error_stream))))
    return found


def _partitions(name: str, streams: Mapping[str, Stream], given: set[str]) -> int:
    seen: set[str] = set()
    while name not in seen and name not in given and name in streams:
        seen.add(name)
        derive = streams[name].derive
        if derive is None or derive.sources[0] not in streams:
            break
        name = derive.sources[0]
    return streams[name].partitions
