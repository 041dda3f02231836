"""The results of an operator: rows, and events that it refused. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import orjson

from gateway.catalog.derivation import Members
from gateway.derive.clock import written_time
from gateway.derive.expression import EVENT, Value, value
from gateway.derive.identity import Identity, Key, KeyValue, KeyWithTruth, is_key, key_text, record_key
from gateway.filters.values import Error
from gateway.model.record import Record

LONGEST_KEY = 1_024
"""Bytes of a record's key that is made of an event."""
LARGEST_ROW = 1_000_000
"""Bytes of a row; Kafka takes about so many by default (`max.message.bytes`)."""


class Row(NamedTuple):
    """A derived event as it is to be stored; without a value, its key is deleted. `timestamp` in milliseconds.
    `partition` is that of the source where the row follows it, as far as the topic has as many."""

    value: bytes | None
    key: bytes | None
    timestamp: int
    partition: int | None = None


class Refused(NamedTuple):
    """What is no part of a result, and why: an event that came too late, or one that gives nothing valid. `record` is
    that of the source; a row of many events that is not valid has none."""

    kind: Literal["late", "invalid"]
    reason: str
    value: bytes
    record: Record | None


class Results:
    """What has come out since it was taken last."""

    __slots__ = ("refused", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.refused: list[Refused] = []

    def late(self, record: Record, reason: str) -> None:
        """An event came too late."""
        self.refused.append(Refused("late", reason, record.value or b"", record))

    def older(self, record: Record, milliseconds: int) -> None:
        """An event came too late: it is older by this much than what is waited for."""
        self.late(record, f"it is {milliseconds} ms older than what is waited for")

    def invalid(self, record: Record, reason: str) -> None:
        """Of an event nothing valid can be made."""
        self.refused.append(Refused("invalid", reason, record.value or b"", record))

    def admitted(
        self, key: Callable[[dict[str, Any], Record], Key | str], event: dict[str, Any], record: Record, ahead: int
    ) -> Key | None:
        """The key of an event whose time is `ahead` milliseconds after what is waited for no more. None where that is
        nothing, or where the event has no key; it is refused then."""
        if ahead <= 0:
            self.older(record, -ahead)
            return None
        found = key(event, record)
        if isinstance(found, str):
            self.invalid(record, found)
            return None
        return found


class RowMaker:
    """Makes events of rows. `faults` says what is wrong with an event; `uri` is what its `$schema` says."""

    def __init__(
        self,
        stream: str,
        identity: Identity,
        results: Results,
        uri: str | None = None,
        faults: Callable[[Any], list[str]] | None = None,
    ) -> None:
        self._stream = stream
        self._head = {} if uri is None else {"$schema": uri}
        self._identity = identity
        self._results = results
        self._faults = faults

    def from_record(self, members: dict[str, Any], record: Record, time: int, key: Key | None = None) -> None:
        """The row that is made of one record; with the key and the partition of that, or with a key of its own."""
        event = self._event(self._identity.of_record(record.topic, record.partition, record.offset), time, members)
        if (found := self._valid(event, record)) is not None:
            own = record.key if key is None else record_key(key)
            self._results.rows.append(Row(found, own, time, record.partition if key is None else None))

    def of_window(self, members: dict[str, Any], key: Key, start: int, end: int) -> None:
        """The row of a key's events in a window from `start` to `end` (ms)."""
        event = self._event(self._identity.of_window(key, start, end), end, members)
        if (found := self._valid(event, None)) is not None:
            self._results.rows.append(Row(found, record_key(key) if key else None, end))

    def passing(self, record: Record, time: int) -> None:
        """An event as it is, at its time in milliseconds."""
        self._results.rows.append(Row(record.value, record.key, time, record.partition))

    def deleting(self, key: Key, time: int) -> None:
        """The key has no row any more, from this time (ms) on."""
        self._results.rows.append(Row(None, record_key(key), time))

    def canary(self, time: int) -> Row:
        """A canary event of this time (ms), which says that no row of an earlier one will come."""
        event = self._event(self._identity.of_canary(time), time, {})
        event["meta"]["domain"] = "canary"
        return Row(written(event), None, time)

    def _event(self, identity: str, time: int, members: dict[str, Any]) -> dict[str, Any]:
        meta = {"id": identity, "dt": written_time(time), "stream": self._stream}
        return {**self._head, "meta": meta, **members}

    def _valid(self, event: dict[str, Any], record: Record | None) -> bytes | None:
        faults = [] if self._faults is None else self._faults(event)
        found = written(event)
        if not faults and len(found) <= LARGEST_ROW:
            return found
        reason = f"what is made of it is not valid: {'; '.join(faults)}"
        if not faults:
            reason = f"what is made of it has {len(found)} bytes, and {LARGEST_ROW} are allowed"
        value = found if record is None else record.value or b""
        self._results.refused.append(Refused("invalid", reason, value, record))
        return None


class Selection:
    """The members of a row that are made of one event."""

    __slots__ = ("_members",)

    def __init__(self, members: Members, names: tuple[str, ...] = EVENT) -> None:
        self._members: list[tuple[str, Value]] = [(name, value(each, names)) for name, each in members]

    def of(self, event: dict[str, Any], record: Record) -> dict[str, Any]:
        """The members; one whose expression fails is left out."""
        row = {}
        for name, evaluate in self._members:
            found = evaluate(event, record)
            if found.__class__ is not Error:
                row[name] = found
        return row


class KeyMaker:
    """The key of an event, from expressions."""

    __slots__ = ("_parts", "names")

    def __init__(self, members: Members, names: tuple[str, ...] = EVENT) -> None:
        self.names = tuple(name for name, _ in members)
        self._parts = [(name, value(each, names)) for name, each in members]

    def of(self, event: dict[str, Any], record: Record) -> Key | str:
        """The key; a text says why there is none."""
        key: list[KeyValue] = []
        kind: type[tuple[KeyValue, ...]] = tuple
        for name, evaluate in self._parts:
            found = evaluate(event, record)
            if not is_key(found):
                reason = found.reason if found.__class__ is Error else "a key is a text, a whole number or a boolean"
                return f"{name} of the key: {reason}"
            if found.__class__ is str and (len(found) > LONGEST_KEY // 4 or not found.isascii()):
                try:
                    long = len(found.encode()) > LONGEST_KEY
                except UnicodeEncodeError:
                    return f"{name} of the key: a lone surrogate is no character"
                if long:
                    return f"{name} of the key: it has more than {LONGEST_KEY} bytes"
            elif found.__class__ is bool:
                kind = KeyWithTruth
            key.append(found)
        return kind(key)


def key_order(key: Key) -> str:
    """By what rows of one window are sorted."""
    return key_text(key)


def written(event: dict[str, Any]) -> bytes:
    """The JSON of an event, on one line."""
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        # A lone surrogate, or a nesting beyond what orjson writes: as escapes.
        return json.dumps(event, separators=(",", ":")).encode()
