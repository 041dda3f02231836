"""The effect of a record on a view. Pure."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from gateway import json_text
from gateway.catalog.view import View
from gateway.derive.expression import condition
from gateway.errors import BadRecord
from gateway.filters.fields import LOSSLESS, NEGATIVE_ZERO, has_no_double, written_json
from gateway.model.event import is_canary, one_line, parse_event
from gateway.model.record import Record
from gateway.state.key import KeyTooLong, KeyValue, is_member, key_of, of_texts, stored

LONGEST_VALUE = 1024 * 1024
"""Bytes of a merged value; an event that would make it longer is passed over. Each version of a key is kept whole, so
this also bounds what a small event adds."""


class Change(NamedTuple):
    """A key gets this event, or is deleted (None). `every`: so are all keys that begin with these bytes."""

    key: bytes
    event: dict[str, Any] | None
    data: bytes | None
    every: bool = False


class Passed(NamedTuple):
    """A record that changes nothing, and why: it is no event, has no key, or one that is too long."""

    reason: str


class Step:
    """What the records of a view's stream do."""

    def __init__(self, view: View) -> None:
        """Raises InvalidExpression."""
        self._paths = [tuple(path.split(".")) for path in view.key]
        self._deletes = condition(view.delete)
        self._order = [view.tombstone.index(path) for path in view.key] if view.tombstone else []

    def of(self, record: Record) -> Change | Passed | None:
        """What a record does; None for a canary event, which is no part of any state."""
        if record.value is None:
            return self._tombstone(record.key)
        try:
            event = parse_event(record.value)
        except BadRecord as error:
            return Passed(str(error))
        if is_canary(event):
            return None
        key = key_of(event, self._paths)
        if key is None:
            return Passed("it has no key")
        try:
            place = stored(key)
        except (KeyTooLong, UnicodeEncodeError) as error:
            return Passed(f"its key cannot be kept: {error}")
        if self._deletes is not None and self._deletes(event, record):
            return Change(place, None, None)
        return Change(place, event, one_line(record.value))

    def _tombstone(self, key: bytes | None) -> Change | Passed:
        """The key of the record is one text, or a JSON array, as the intake writes it. A record without key and value
        is what an erasure leaves: the empty key is a key like any other, and none is not."""
        if key is None:
            return Passed("a record without key and value")
        try:
            texts = self._texts(key.decode())
            if texts is not None:
                return Change(of_texts([texts[index] for index in self._order]), None, None, every=True)
        except (ValueError, RecursionError):
            pass
        return Passed("a tombstone without a key of this view")

    def _texts(self, text: str) -> list[str] | None:
        count = len(self._order)
        if count == 1:
            return [text]
        values = json.loads(text) if len(text) <= 8 * 1024 else None
        if not count or not isinstance(values, list) or len(values) != count:
            return None
        if not all(map(is_member, values)):
            return None
        return [_text(value) for value in values]


def _text(value: KeyValue) -> str:
    return value if isinstance(value, str) else str(value).lower()


def merged(before: bytes | None, event: dict[str, Any], patch: bytes) -> bytes | None:
    """The value that an event makes of the one before (RFC 7396); None where it would be too long. `patch` is the
    event's text. Every number and string keeps its exact meaning, as in the text."""
    data = _merged_fast(before, event, patch)
    if data is None:
        base = None if before is None else LOSSLESS.parse(before)
        data = written_json(_patched(base, LOSSLESS.parse(patch))).encode()
    return data if len(data) <= LONGEST_VALUE else None


def _merged_fast(before: bytes | None, event: dict[str, Any], patch: bytes) -> bytes | None:
    """The same; None where orjson would write it with another meaning, or not at all."""
    if NEGATIVE_ZERO.search(patch) or (before is not None and NEGATIVE_ZERO.search(before)):
        return None
    value = _patched(None if before is None else parse_event(before), event)
    if not has_no_double(value):
        return None
    try:
        return json_text.dumps(value)
    except TypeError:  # half a character, or deep nesting
        return None


def _patched(base: Any, patch: Any) -> Any:
    """As deep as the patch, which is bounded as every event is."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _patched(result.get(name), value)
    return result
