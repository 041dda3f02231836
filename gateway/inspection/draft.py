"""Drafts a configuration and schemas for topics, from their newest records. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import BadRecord
from gateway.inspection.infer import infer
from gateway.inspection.recognize import FRAMED
from gateway.model.event import parse_event
from gateway.model.record import Record
from gateway.schemas.text import to_yaml
from gateway.text import counted

VERSION = "0.0.1"
"""Of each draft: a first release is 1.0.0."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Drafted:
    """A topic as it will stand in the configuration. `form` is that of its stream, None where nobody knows one, and
    `why` says what is not as it should be."""

    topic: str
    partitions: int
    form: str | None
    records: tuple[Record, ...] = ()
    why: str = ""


def stream_names(topics: Iterable[str]) -> dict[str, str]:
    """The name of a stream for each topic: that of the topic where it may be one."""
    names: dict[str, str] = {}
    for topic in topics:
        name = topic if _NAME.fullmatch(topic) else topic.lstrip("._-") or "topic"
        taken = set(names.values())
        names[topic] = next(
            one for one in (name, *(f"{name[:240]}-{number}" for number in range(2, 10_000))) if one not in taken
        )
    return names


def draft_schema(title: str, drafted: Drafted, today: str) -> str | None:
    """The draft of a schema for the events of a topic, in YAML; None where none of them can be read."""
    events = [event for record in drafted.records if (event := _event(record)) is not None]
    if not events:
        return None
    samples = counted(len(events), "record")
    document: dict[str, Any] = {
        "title": title,
        "description": f"DRAFT: inferred from the newest {samples} of the topic {drafted.topic} on {today}. Others may "
        "differ.",
        "$id": f"/{title}/{VERSION}",
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **infer(events),
    }
    head = (
        f"# DRAFT, made by `gateway init --kafka` from {samples}. Look through the types and what is required, write\n"
    )
    head += "# descriptions, and release it as 1.0.0: change $id, and copy this file to 1.0.0.yaml beside it.\n"
    return head + to_yaml(document)


def _event(record: Record) -> dict[str, Any] | None:
    try:
        return parse_event(record.value)
    except BadRecord:
        return None


def draft_configuration(
    log: str,
    options: Mapping[str, Any],
    drafts: Sequence[Drafted],
    titles: Mapping[str, str],
    today: str,
) -> str:
    """The text of the configuration. `options` are the settings `kafka` and `schema_registry`; `titles` has the titles
    of the topics that have a draft of a schema."""
    names = stream_names(one.topic for one in drafts)
    lines = [
        f"# DRAFT, made by `gateway init --kafka` on {today} from {counted(len(drafts), 'topic')}. Then run:",
        "#",
        "#   gateway check --connect",
        "#   gateway serve",
        "#",
        "# docs/OPERATING.md lists all settings, docs/STREAMS.md all keys of a stream.",
        "",
        to_yaml({"log": log, **{key: value for key, value in options.items() if value}}).rstrip(),
        "",
        "# Nobody sends events over HTTP. `public` opens POST /v1/events for streams with a schema_title.",
        'intake: "off"',
        "",
        "# Each stream is open to everybody who reaches the port, by default this machine alone. `public: false` keeps",
        "# one to the admin port and to tokens (docs/OPERATING.md).",
        "streams:",
    ]
    for one in drafts:
        lines += _stream(names[one.topic], one, titles.get(one.topic))
    return "\n".join(lines) + "\n"


def is_readable(drafted: Drafted) -> bool:
    """Whether its stream can be published as it is."""
    return drafted.form is not None and drafted.form != FRAMED


def _stream(name: str, drafted: Drafted, title: str | None) -> list[str]:
    document: dict[str, Any] = {"description": f"DRAFT. The events of the topic {drafted.topic}. Say what happens."}
    if name != drafted.topic:
        document["topics"] = [drafted.topic]
    if drafted.form not in (None, "json", FRAMED):
        document["format"] = drafted.form
    if title is not None:
        document["schema_title"] = title
    lines = [f"  {line}" for line in to_yaml({name: document}).rstrip().split("\n")]
    if not is_readable(drafted):
        lines = [f"  #{line[1:]}" for line in lines]
    return [*([f"  # {drafted.why}"] if drafted.why else []), *lines]
