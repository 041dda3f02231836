"""The `fields` parameter: cuts an event down to some of its members."""

from __future__ import annotations

import json
import re
from typing import Any

from gateway import json_text
from gateway.errors import InvalidFields
from gateway.model.event import StrictDecoder

MAXIMUM_LENGTH = 4_096
"""Of the whole parameter, in characters."""
MAXIMUM_PATHS = 100
MAXIMUM_NAMES = 32
"""In one path."""

ALWAYS = ("$schema", "meta")

NEGATIVE_ZERO = re.compile(rb"-0[\s,}\]]")
_Tree = dict[str, "_Tree | None"]
"""The names to keep, each with what to keep below it; None keeps everything."""


class Fields:
    """A list of paths. `text` is canonical: the same paths in any order and number have the same text."""

    __slots__ = ("_tree", "text")

    def __init__(self, paths: list[tuple[str, ...]]) -> None:
        self.text = ",".join(".".join(path) for path in paths)
        self._tree = _tree([*paths, *((name,) for name in ALWAYS)])

    def cut(self, value: bytes, event: dict[str, Any]) -> bytes:
        """One line of JSON with the values that the paths name, in the order of the original. `event` is the result
        of `parse_event` for `value`. A path applies to each element of an array. Objects are cut, and stay even when
        empty; other elements have no such path and are left out. Every number and string keeps its exact meaning."""
        kept = _cut(event, self._tree)
        # orjson writes a double in its shortest form (1.10 as 1.1), -0 as 0, and no lone surrogates or deep nesting.
        if has_no_double(kept) and NEGATIVE_ZERO.search(value) is None:
            try:
                return json_text.dumps(kept)
            except TypeError:
                pass
        return written_json(_cut(LOSSLESS.parse(value), self._tree)).encode()

    def __repr__(self) -> str:
        return f"Fields({self.text!r})"


def compile_fields(text: str) -> Fields:
    """The paths of a `fields` parameter: dotted, separated by commas. `InvalidFields` says what is wrong with it."""
    if len(text) > MAXIMUM_LENGTH:
        raise InvalidFields(f"it has {len(text)} characters, and {MAXIMUM_LENGTH} are allowed")
    written = [path.strip() for path in text.split(",")]
    if len(written) > MAXIMUM_PATHS:
        raise InvalidFields(f"it has {len(written)} paths, and {MAXIMUM_PATHS} are allowed")
    paths: set[tuple[str, ...]] = set()
    for path in written:
        names = tuple(path.split("."))
        if not path:
            raise InvalidFields("it holds an empty path")
        if "" in names:
            raise InvalidFields(f"the path '{path}' holds an empty name")
        if len(names) > MAXIMUM_NAMES:
            raise InvalidFields(f"the path '{path[:40]}…' has {len(names)} names, and {MAXIMUM_NAMES} are allowed")
        paths.add(names)
    return Fields(sorted(path for path in paths if not any(path[:size] in paths for size in range(1, len(path)))))


def _tree(paths: list[tuple[str, ...]]) -> _Tree:
    root: _Tree = {}
    for path in sorted(paths, key=len):
        below = root
        for name in path[:-1]:
            next_below = below.setdefault(name, {})
            if next_below is None:
                break
            below = next_below
        else:
            below[path[-1]] = None
    return root


def _cut(holder: dict[str, Any], tree: _Tree) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    # The original's order; the event usually has more names than the list, but a handful of each.
    for name, value in holder.items():
        if name in tree:
            below = tree[name]
            if below is None:
                kept[name] = value
            elif type(value) is dict:
                part = _cut(value, below)
                if part:
                    kept[name] = part
            elif type(value) is list:
                kept[name] = _cut_each(value, below)
    return kept


def _cut_each(values: list[Any], tree: _Tree) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if type(value) is dict:
            kept.append(_cut(value, tree))
        elif type(value) is list:
            kept.append(_cut_each(value, tree))
    return kept


def has_no_double(value: dict[str, Any] | list[Any]) -> bool:
    """Whether no number in it is a double, which orjson would write in another form."""
    for member in value.values() if isinstance(value, dict) else value:
        kind = type(member)
        if kind is float or ((kind is dict or kind is list) and not has_no_double(member)):
            return False
    return True


class Number(str):
    """A number as it was written."""

    __slots__ = ()


LOSSLESS = StrictDecoder(Number, Number)


def written_json(value: Any) -> str:
    """JSON in ASCII, so that lone surrogates survive as escapes. The nesting is bounded by `parse_event`."""
    if type(value) is Number:
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{written_json(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written_json, value)) + "]"
    return json.dumps(value)
