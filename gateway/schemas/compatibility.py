"""Finds what changed from one version of a schema to another, and whether it breaks anybody. Pure.

A change breaks writers when an event that was valid is not valid any more. It breaks readers when a field is gone, may
be missing where it never was, or may hold another type. Other changes are harmless: a new optional field, a looser
bound, one more value of an enumeration, other words. So two things hold without a new major version. An event with the
fields of the old version is valid under the new one. A table, or anything else that was made for the fields of the old
version, still takes those of the new.

Fields, types, required fields and enumerations are compared one by one, so that each change has its path. For any other
keyword, the canonical forms of jsonschema-rs decide whether it allows everything that was allowed before. Where they
cannot tell, the change counts as breaking. The readings through branches, positions of lists and maps are compared as a
whole (`readers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import jsonschema_rs
from jsonschema_rs.canonical import CanonicalizationError, Containment

from gateway.schemas.change_text import NOTHING, allowed, cut, shown, summary, types_text, values_text
from gateway.schemas.drafts import heeded
from gateway.schemas.readers import differences, escaped
from gateway.schemas.references import all_schemas
from gateway.schemas.shape import (
    ANNOTATIONS,
    CONDITION,
    Node,
    branch_fields,
    enumerated,
    equal,
    is_open,
    key_of,
    merged,
    types_of,
)
from gateway.schemas.validator import DRAFTS, PATTERN_OPTIONS, anonymous, draft_of

MAXIMUM_CHOICES = 1_000
"""The most combinations of alternatives for which two schemas are compared as a whole: some 0.1 s."""

MAXIMUM_STEPS = 3_000_000
"""Parts of schemas times their combinations, of all such comparisons together."""

ALTERNATIVES = ("anyOf", "oneOf")

_CONTEXT = frozenset({"unevaluatedProperties", "unevaluatedItems", "additionalItems", "prefixItems"})
"""Keywords that mean what they do only with those beside them."""

_GROUPS = (
    ALTERNATIVES,
    CONDITION,
    ("minimum", "exclusiveMinimum"),
    ("maximum", "exclusiveMaximum"),
    ("contains", "minContains", "maxContains"),
    ("prefixItems", "additionalItems", "unevaluatedItems"),
)
"""Keywords that mean something only together."""

_COMPARED = frozenset(
    {"type", "properties", "patternProperties", "additionalProperties", "required", "enum", "const", "items", "format"}
)


class Weight(IntEnum):
    """The part of a version number that a change moves."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` is that of the value in an event, `*` any other member, `[]` any element."""

    path: str
    what: str
    before: str
    after: str
    weight: Weight

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.what}: {self.before} → {self.after}"


def changes(old: Node, new: Node) -> list[Change]:
    """All differences of two dereferenced schemas, in the order of their paths in the old one."""
    drafts = draft_of(old), draft_of(new)
    if drafts[0] != drafts[1]:
        # What one side alone heeds is a change, though both have it.
        old, new = heeded(old, drafts[0]), heeded(new, drafts[1])
    before, after = merged(old), merged(new)
    comparison = _Comparison(*drafts)
    found = list(comparison.node("", before, after))
    anchored = _anchored(old), _anchored(new)
    for anchor in sorted(anchored[0].keys() & anchored[1].keys()):
        sides = merged(anchored[0][anchor]), merged(anchored[1][anchor])
        inner = list(comparison.node(f"#{anchor}", *sides))
        found += [*inner, *_for_readers(f"#{anchor}", *sides, inner)]
    if drafts[0] != drafts[1]:
        found.append(Change("", "the draft of JSONSchema", *drafts, Weight.MINOR))
    found += _for_readers("", before, after, found)
    # What the comparison of single keywords may have missed is proven wrong as a whole.
    if weight_of(found) != Weight.MAJOR and comparison.covers(after, closed(before)) == Containment.NO:
        found.append(Change("", "some events that were valid are not valid any more", "valid", "invalid", Weight.MAJOR))
    return found


def _for_readers(path: str, before: Node, after: Node, found: list[Change]) -> list[Change]:
    """What breaks readers and is not among what was found at its path."""
    told = {change.path for change in found if change.weight == Weight.MAJOR}
    return [
        Change(path + one.path, one.what, cut(one.before), cut(one.after), Weight.MAJOR)
        for one in differences(before, after)
        if path + one.path not in told
    ]


def _anchored(document: Node) -> dict[str, Node]:
    """The parts that a `$dynamicRef` may lead to, which stay where they are; the whole is compared anyway."""
    parts = [part for pointer, part in all_schemas(document) if pointer != "/"]
    if not any("$dynamicRef" in part for part in (document, *parts)):
        return {}
    return {part["$dynamicAnchor"]: part for part in parts if isinstance(part.get("$dynamicAnchor"), str)}


def weight_of(found: list[Change]) -> Weight | None:
    """The largest weight; None where nothing has changed."""
    return max((change.weight for change in found), default=None)


def closed(schema: Any) -> Any:
    """The merged schema with no members but those that it names: what a writer of its fields writes."""
    if not isinstance(schema, dict):
        return schema
    node = dict(schema)
    choices = [keyword for keyword in ALTERNATIVES if isinstance(node.get(keyword), list)]
    if isinstance(node.get("properties"), dict):
        node["properties"] = {name: closed(part) for name, part in node["properties"].items()}
        if is_open(node.get("additionalProperties", True)):
            # The fields of branches are written, too.
            others = dict.fromkeys(branch_fields(node), True)
            node |= {"properties": node["properties"] | others, "additionalProperties": False}
    elif len(choices) == 1:
        branches = [closed(branch) for branch in node[choices[0]]]
        if choices[0] == "anyOf":
            node["anyOf"] = branches
        else:
            # Exactly one has to hold as they are.
            node["allOf"] = [*node.get("allOf", []), {"anyOf": branches}]
    if isinstance(node.get("additionalProperties"), dict):
        node["additionalProperties"] = closed(node["additionalProperties"])
    if isinstance(node.get("items"), dict):
        node["items"] = closed(node["items"])
    for keyword in ("prefixItems", "items"):
        if isinstance(node.get(keyword), list):
            node[keyword] = [closed(part) for part in node[keyword]]
    return node


class _Comparison:
    """Walks two merged schemas at once."""

    def __init__(self, old_draft: str, new_draft: str) -> None:
        self.drafts = (old_draft, new_draft)
        self._steps = 0

    def covers(self, new: Any, old: Any) -> Containment:
        """Whether all that is valid under `old` is so under `new`; unknown where it takes too long to tell."""
        size, choices = (sum(pair) for pair in zip(_effort(new), _effort(old), strict=True))
        self._steps += size * choices
        if choices > MAXIMUM_CHOICES or self._steps > MAXIMUM_STEPS:
            return Containment.UNKNOWN
        try:
            return canonical(new, self.drafts[1]).covers(canonical(old, self.drafts[0]))
        except (CanonicalizationError, jsonschema_rs.ValidationError, ValueError):
            return Containment.UNKNOWN

    def node(self, path: str, old: Any, new: Any) -> Iterator[Change]:
        """The differences of two schemas for the value at a path."""
        if not isinstance(old, dict) or not isinstance(new, dict):
            if is_open(old) and is_open(new):
                yield from _words(path, old, new)
            elif not equal(old, new):
                yield from self._judged(path, "what it may be", old, new, old, new)
            return
        before, after = types_of(old), types_of(new)
        if before != after:
            yield Change(path, "the type changed", types_text(before), types_text(after), Weight.MAJOR)
            return
        yield from self._fields(path, old, new)
        yield from self._required(path, old, new)
        yield from self._additional(path, old, new)
        yield from self._patterns(path, old, new)
        yield from self._values(path, old, new)
        yield from self._format(path, old, new)
        yield from self._items(path, old, new)
        yield from self._others(path, old, new)
        yield from _words(path, old, new)

    def _fields(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        moved = branch_fields(new) if before.keys() - after.keys() else {}
        for name, part in before.items():
            pointer = f"{path}/{escaped(name)}"
            if name in after:
                yield from self.node(pointer, part, after[name])
            elif name not in moved:
                yield Change(pointer, "the field was removed", summary(part), NOTHING, Weight.MAJOR)
        for name, part in after.items():
            if name in before:
                continue
            pointer = f"{path}/{escaped(name)}"
            rest = old.get("additionalProperties", True)
            if name in new.get("required", []):
                yield Change(pointer, "a new field is required", NOTHING, summary(part), Weight.MAJOR)
            elif isinstance(rest, dict) and not is_open(rest) and self.covers(part, rest) != Containment.YES:
                yield Change(pointer, "a field of any name is narrowed", summary(rest), summary(part), Weight.MAJOR)
            else:
                yield Change(pointer, "a new field", NOTHING, summary(part), Weight.MINOR)

    def _required(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        before, after = old.get("required", []), new.get("required", [])
        known = old.get("properties", {})
        named = new.get("properties", {})
        for name in after:
            # A new field that is required was told as such.
            if name not in before and (name in known or name not in named):
                yield Change(f"{path}/{escaped(name)}", "is required", "optional", "required", Weight.MAJOR)
        for name in before:
            # So was one that is gone.
            if name not in after and (name in named or name not in known):
                yield Change(f"{path}/{escaped(name)}", "may be missing", "required", "optional", Weight.MAJOR)

    def _additional(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        before, after = old.get("additionalProperties", True), new.get("additionalProperties", True)
        pointer = f"{path}/*"
        if is_open(before) and is_open(after):
            yield from _words(pointer, before, after)
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from self.node(pointer, before, after)
        elif not equal(before, after):
            weight = Weight.MINOR if before is False else Weight.MAJOR
            yield Change(pointer, "other fields", allowed(before), allowed(after), weight)

    def _patterns(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        before, after = old.get("patternProperties", {}), new.get("patternProperties", {})
        for pattern in [*before, *(pattern for pattern in after if pattern not in before)]:
            pointer = f"{path}/{escaped(pattern)}"
            if pattern in before and pattern in after:
                yield from self.node(pointer, before[pattern], after[pattern])
            elif pattern in before:
                what = "fields of this pattern may be anything"
                yield Change(pointer, what, summary(before[pattern]), NOTHING, Weight.MAJOR)
            else:
                part = after[pattern]
                only = {"patternProperties": {pattern: part}}
                yield from self._judged(pointer, "fields of this pattern", None, summary(part), old, only)

    def _values(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        before, after = enumerated(old), enumerated(new)
        if before is None and after is None:
            return
        if before is None or after is None:
            weight = Weight.MINOR if after is None else Weight.MAJOR
            yield Change(path, "the values that it takes", values_text(before), values_text(after), weight)
            return
        first, second = ({key_of(value): value for value in values} for values in (before, after))
        if gone := [value for key, value in first.items() if key not in second]:
            yield Change(path, "values were removed", values_text(gone), NOTHING, Weight.MAJOR)
        if more := [value for key, value in second.items() if key not in first]:
            yield Change(path, "new values", NOTHING, values_text(more), Weight.MINOR)

    def _format(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        before, after = old.get("format"), new.get("format")
        if before != after:
            yield Change(path, "the format changed", before or NOTHING, after or NOTHING, Weight.MAJOR)

    def _items(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        before, after = old.get("items", True), new.get("items", True)
        if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            yield from self._pairs(path, before, after)
        elif isinstance(before, list) or isinstance(after, list):
            yield from self._judged(path, "the elements changed", before, after, old, {"items": after})
        elif is_open(before) != is_open(after):
            what = "the type of the elements"
            yield Change(f"{path}/[]", what, summary(before), summary(after), Weight.MAJOR)
        else:
            yield from self.node(f"{path}/[]", before, after)

    def _pairs(self, path: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
        """Elements at fixed positions."""
        for position, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from self.node(f"{path}/{position}", one, other)

    def _apart(self, path: str, old: Node, new: Node) -> Iterator[Change] | None:
        """The changes of alternatives of which each has types of its own (an object or null), one by one; None where
        they have not. For such ones it makes no difference whether one has to hold or exactly one."""
        if (before := _by_types(old)) is None or (after := _by_types(new)) is None or before.keys() != after.keys():
            return None
        return (change for kinds, part in before.items() for change in self.node(path, part, after[kinds]))

    def _others(self, path: str, old: Node, new: Node) -> Iterator[Change]:
        keywords = [key for key in (old | new) if key not in ANNOTATIONS and key not in _COMPARED]
        done: set[str] = set()
        for keyword in keywords:
            if keyword in done:
                continue
            group = next((group for group in _GROUPS if keyword in group), (keyword,))
            done.update(group)
            before, after = ({key: node[key] for key in group if key in node} for node in (old, new))
            if group == ALTERNATIVES and (apart := self._apart(path, before, after)) is not None:
                yield from apart
                continue
            if all(isinstance(side.get("prefixItems"), list) for side in (before, after)):
                pairs = before.pop("prefixItems"), after.pop("prefixItems")
                if len(pairs[0]) == len(pairs[1]):
                    yield from self._pairs(path, *pairs)
                else:
                    before["prefixItems"], after["prefixItems"] = pairs
            if not equal(before, after):
                different = [key for key in group if not equal(before.get(key), after.get(key))]
                # These see the keywords beside them.
                context = new if _CONTEXT.intersection(different) else after
                one = closed(old) if group == ALTERNATIVES else old
                yield from self._judged(path, " and ".join(different), *_of(different, before, after), one, context)

    def _judged(self, path: str, what: str, before: Any, after: Any, old: Any, new: Any) -> Iterator[Change]:
        """A change of keywords, judged by whether the new ones let through all that was valid."""
        weight = Weight.MINOR if self.covers(new, old) == Containment.YES else Weight.MAJOR
        yield Change(path, what, shown(before), shown(after), weight)


def _effort(schema: Any) -> tuple[int, int]:
    """How many parts a schema has, and how many combinations its alternatives make."""
    size, choices = 1, 1
    parts = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    groups: list[int] = []
    for key, part in parts:
        inner, inside = _effort(part)
        size += inner
        if key in ALTERNATIVES and isinstance(part, list):
            inside = sum(_effort(branch)[1] for branch in part)
        elif key in ("then", "else"):
            inside += 1
        groups.append(inside)
    for inside in groups:
        choices = min(choices * max(inside, 1), MAXIMUM_CHOICES + 1)
    return size, choices


def _by_types(node: Node) -> dict[frozenset[str], Any] | None:
    """The alternatives of a schema by their types, or None where two have one in common."""
    branches = [branch for keyword in ALTERNATIVES if keyword in node for branch in node[keyword]]
    found = {kinds: branch for branch in branches if (kinds := types_of(branch)) is not None}
    names = [name for kinds in found for name in kinds]
    apart = len(found) == len(branches) and len(names) == len(set(names)) and not {"integer", "number"} <= set(names)
    return found if apart and sum(keyword in node for keyword in ALTERNATIVES) == 1 else None


def _of(keywords: list[str], before: Node, after: Node) -> tuple[Any, Any]:
    """The values of the keywords; of a single one its value."""
    if len(keywords) == 1:
        return before.get(keywords[0]), after.get(keywords[0])
    first, second = ({key: side[key] for key in keywords if key in side} for side in (before, after))
    return first, second


def _words(path: str, old: Any, new: Any) -> Iterator[Change]:
    """The differences of what only tells; True tells nothing."""
    old, new = (side if isinstance(side, dict) else {} for side in (old, new))
    for keyword in sorted((old.keys() | new.keys()) & (ANNOTATIONS - {"$id", "$schema", "definitions", "$defs"})):
        before, after = old.get(keyword), new.get(keyword)
        if keyword == "examples":
            before, after = _nameless(before), _nameless(after)
        if not equal(before, after):
            yield Change(path, keyword, shown(before), shown(after), Weight.PATCH)


def _nameless(examples: Any) -> Any:
    """Examples without `$schema`, which is another in each version."""
    if not isinstance(examples, list):
        return examples
    return [
        {key: value for key, value in one.items() if key != "$schema"} if isinstance(one, dict) else one
        for one in examples
    ]


def canonical(schema: Any, draft: str) -> jsonschema_rs.CanonicalSchema:
    """The canonical form. Raises CanonicalizationError, or ValueError for a schema that is none."""
    document = anonymous(schema) if isinstance(schema, dict) else schema
    return jsonschema_rs.canonicalize(
        document, draft=DRAFTS[draft], validate_formats=True, pattern_options=PATTERN_OPTIONS, offline=True
    )
