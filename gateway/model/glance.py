"""Tells what a stored value is where nobody looks into its event.

msgspec passes over it: as strict as `parse_event`, and two to three times as fast, because it makes nothing of what it
reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.model.event import bounded, is_canary, parse_event


class Sight(NamedTuple):
    """What is seen of an event without making one: whether it is a canary, and the names by which it is known: its
    `meta.stream` and `meta.id`, where both are texts; of a CloudEvent None and its `source_and_id`, too."""

    canary: bool
    names: tuple[tuple[str | None, str], ...]


def check_event(value: bytes | None) -> Sight:
    """What is seen of the event that a stored value holds, or `BadRecord`: what `parse_event` and `is_canary` say,
    without an event being made."""
    value = bounded(value)
    try:
        if not value.isascii():
            value.decode()  # msgspec does not look into the strings that it passes over
        seen = _glance(value)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return _sight(parse_event(value))
    if seen.specversion is not _ABSENT:
        return _sight(parse_event(value))
    meta = seen.meta
    if meta is None:
        return _UNKNOWN
    named = type(meta.stream) is str and type(meta.id) is str
    return Sight(meta.domain == "canary", ((meta.stream, meta.id),) if named else ())


def _sight(event: dict[str, Any]) -> Sight:
    """What is seen of an event that was made."""
    names: list[tuple[str | None, str]] = []
    meta = event.get("meta")
    if isinstance(meta, dict):
        stream, given_id = meta.get("stream"), meta.get("id")
        if type(stream) is str and type(given_id) is str:
            names.append((stream, given_id))
    if "specversion" in event and (known := source_and_id(event)) is not None:
        names.append((None, known))
    return Sight(is_canary(event), tuple(names))


def source_and_id(event: Mapping[str, Any]) -> str | None:
    """What a CloudEvent is known by where it is sent again: its source and id together (CloudEvents 1.0, "id")."""
    source, given_id = event.get("source"), event.get("id")
    return json.dumps([source, given_id]) if type(source) is str and type(given_id) is str else None


_ABSENT = msgspec.Raw()
_UNKNOWN = Sight(False, ())


class _Meta(msgspec.Struct, gc=False):
    domain: Any = None
    stream: Any = None
    id: Any = None


class _Event(msgspec.Struct, gc=False):
    """Of an event, what tells a canary, and by what it is known."""

    meta: _Meta | None = None
    specversion: msgspec.Raw = _ABSENT


_glance = msgspec.json.Decoder(_Event).decode
