"""Reads the part of the configuration about views. `gateway.state` checks the expressions in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Expression
from gateway.catalog.document import Findings, Located, did_you_mean
from gateway.catalog.quantity import DURATION_FORM, milliseconds
from gateway.catalog.stream import Stream
from gateway.catalog.view import Reduce, View

MAXIMUM_VIEWS = 100
MAXIMUM_KEY = 8
"""Members of a key."""
LONGEST_HISTORY = 20 * 366 * 86_400_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_PATH = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@-]*(\.[A-Za-z_$@][A-Za-z0-9_$@-]*){0,15}", re.ASCII)
_KEYS = ("delete", "history", "key", "reduce", "stream")
_FORM = "{stream: wiki.change, key: [wiki, title]}"


def read_views(part: Located | None, findings: Findings, catalog: Catalog) -> tuple[View, ...]:
    """The views that can be read; mistakes go to `findings`."""
    if part is None or part.value is None:
        return ()
    if not isinstance(part.value, dict):
        findings.mistake(part.line, f"views is {part.kind}; it takes a mapping, such as {{pages: {_FORM}}}")
        return ()
    if len(part.value) > MAXIMUM_VIEWS:
        findings.mistake(part.line, f"views has {len(part.value)} views, and {MAXIMUM_VIEWS} are allowed")
        return ()
    read = [_Reader(name, item, findings, catalog).read() for name, item in part.value.items()]
    return tuple(view for view in read if view is not None)


@dataclass(frozen=True, slots=True)
class _Reader:
    name: str
    item: Located
    findings: Findings
    catalog: Catalog

    def read(self) -> View | None:
        before = len(self.findings.mistakes)
        if not _NAME.fullmatch(self.name):
            form = "letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 100"
            self._wrong(self.item.line, f"this cannot be the name of a view; one has {form}")
        if not isinstance(self.item.value, dict):
            self._wrong(self.item.line, f"the view is {self.item.kind}; it takes a mapping, such as {_FORM}")
            return None
        for name, member in self.item.value.items():
            if name not in _KEYS:
                hint = did_you_mean(name, _KEYS)
                self._wrong(member.line, f"a view has no {name}{hint}; it takes {', '.join(_KEYS)}")
        stream, key, reduce = self._stream(), self._paths(), self._reduce()
        delete, history = self._delete(), self._history()
        if stream is None or not key:
            return None
        self._check_partitions(stream, key)
        if len(self.findings.mistakes) > before:
            return None
        fields = key_fields(stream)
        tombstone = fields if set(fields) == set(key) else () if fields else key
        return View(
            self.name,
            stream.name,
            stream.topics[0],
            key,
            reduce,
            delete,
            history,
            tombstone,
            is_determined(fields, key),
            self.item.line,
        )

    def _check_partitions(self, stream: Stream, key: tuple[str, ...]) -> None:
        """The events of one key have to be in one partition: between two, nobody knows which is the latest."""
        line = self._line("key")
        if len(stream.topics) > 1:
            self._wrong(
                self._line("stream"),
                f"{stream.name} has {len(stream.topics)} topics, between which the events of a key have no order; a "
                "view takes a stream with one topic",
            )
        fields = key_fields(stream)
        if stream.partitions > 1 and not is_determined(fields, key):
            needed = ", ".join(fields) or "nothing, since the stream has no message_key_fields"
            self._wrong(
                line,
                f"the events of a key may be in several of the {stream.partitions} partitions of {stream.name}, which "
                f"are chosen by {needed}; the key has to name what chooses the partition",
            )

    def _stream(self) -> Stream | None:
        item = self._get("stream")
        if item is None:
            self._wrong(self.item.line, f"the view has no stream; it takes one, as in {_FORM}")
            return None
        found = self.catalog.get(item.value) if isinstance(item.value, str) else None
        if found is None:
            hint = did_you_mean(str(item.value), self.catalog.streams)
            self._wrong(item.line, f"stream is {item.kind}, and there is no such stream{hint}")
        return found

    def _paths(self) -> tuple[str, ...]:
        item = self._get("key")
        if item is None:
            self._wrong(self.item.line, f"the view has no key; it takes paths into an event, as in {_FORM}")
            return ()
        entries = item.value if isinstance(item.value, list) else [item]
        if not 0 < len(entries) <= MAXIMUM_KEY:
            self._wrong(item.line, f"key has {len(entries)} members; it takes 1 to {MAXIMUM_KEY} paths")
            return ()
        paths: list[str] = []
        for entry in entries:
            if not isinstance(entry.value, str) or not _PATH.fullmatch(entry.value):
                self._wrong(entry.line, f"key holds {entry.kind}; it takes dotted paths, such as page.id")
            elif entry.value in paths:
                self._wrong(entry.line, f"key holds {entry.value} twice; keep one of them")
            else:
                paths.append(entry.value)
        return tuple(paths)

    def _reduce(self) -> Reduce:
        item = self._get("reduce")
        if item is not None and item.value == "merge":
            return "merge"
        if item is not None and item.value != "latest":
            self._wrong(item.line, f"reduce is {item.kind}; it takes latest or merge")
        return "latest"

    def _delete(self) -> Expression | None:
        item = self._get("delete")
        if item is None:
            return None
        if isinstance(item.value, str) and item.value.strip():
            return Expression(item.value, item.line)
        self._wrong(item.line, f'delete is {item.kind}; it takes an expression, such as event.type == "delete"')
        return None

    def _history(self) -> int | None:
        item = self._get("history")
        if item is None:
            return None
        amount = milliseconds(item.value) if isinstance(item.value, str) else None
        if amount is None or not 0 < amount <= LONGEST_HISTORY:
            longest = LONGEST_HISTORY // 86_400_000
            self._wrong(item.line, f"history is {item.kind}; it takes {DURATION_FORM}, at most {longest}d")
            return None
        return amount

    def _get(self, key: str) -> Located | None:
        item = self.item.value.get(key) if isinstance(self.item.value, dict) else None
        return item if item is not None and item.value is not None else None

    def _line(self, key: str) -> int:
        item = self._get(key)
        return self.item.line if item is None else item.line

    def _wrong(self, line: int, text: str) -> None:
        self.findings.mistake(line, f"{self.name}: {text}")


def key_fields(stream: Stream) -> tuple[str, ...]:
    """The paths that choose the partition of an event; empty where none do."""
    if stream.derive is not None and stream.derive.key:
        return tuple(name for name, _ in stream.derive.key)
    return stream.message_key_fields


def is_determined(fields: tuple[str, ...], key: tuple[str, ...]) -> bool:
    """Whether the key of a view tells the partition of an event."""
    return bool(fields) and set(fields) <= set(key)
