"""Describes what a reader of a schema's events gets: the types, and the fields that are always there. Pure.

Some constraints of a schema shape what is made for its events, such as a table or the classes of a program. They are
brought into one form. Alternatives (`anyOf`, `oneOf`, `if`, `dependentSchemas`) become what each of them may give.
Constraints that apply together (`allOf`, patterns that fit a name) become what is left of both. As everywhere here, a
writer writes the fields that the schema names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import jsonschema_rs

from gateway.schemas.shape import Node, declared_types, enumerated, is_open
from gateway.schemas.validator import PATTERN_OPTIONS

MAXIMUM_STEPS = 300_000
"""Parts of schemas that are put together for one reading, about a second of them."""

MOST_TEXTS = 1_000
"""Of more texts, a string may be any."""
_NO_FORMAT: frozenset[frozenset[str]] = frozenset({frozenset()})
_EXACT = (2**63 - 1, 10**38 - 1)
"""The largest whole number of 64 bits, and that of 38 digits, which DECIMAL has in most databases."""
_NUMBERS = frozenset({"integer", "number"})
_REST = ("additionalProperties", "unevaluatedProperties")
"""What a schema says of fields that it does not name; the first that is there counts."""


class TooLarge(ValueError):
    """A schema has more alternatives than can be put together."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The values that a schema allows. `rest` and `elements` are True for anything, and False if there is no other.

    `kinds` are the JSON types: None for any, and none if there is no such value. `formats` are those of strings, as
    alternatives of which each has all of its names. `low` and `high` are the sizes of integers, by their place in the
    table of sizes; None without a bound. `texts` are all that a string may be; None for any. `always` are the fields
    that are never missing, `least` the number of elements that never are. `anything`: on one side of a condition
    nothing is known. `open`: the schema says itself that there may be other fields than it names, and does not just
    leave that unsaid.
    """

    kinds: frozenset[str] | None = None
    formats: frozenset[frozenset[str]] = _NO_FORMAT
    low: int | None = None
    high: int | None = None
    texts: frozenset[str] | None = None
    fields: Mapping[str, Reading] = field(default_factory=dict)
    always: frozenset[str] = frozenset()
    patterns: Mapping[str, Reading] = field(default_factory=dict)
    rest: Reading | bool = True
    positions: tuple[Reading, ...] = ()
    elements: Reading | bool = True
    least: int = 0
    anything: bool = False
    open: bool = False

    @property
    def size(self) -> int:
        """How large its whole numbers are: 0 for 64 bits, 1 for 38 digits, 2 beyond."""
        return max(self.low or 0, self.high or 0)

    def admits(self, *kinds: str) -> bool:
        """Whether the value may be one of these types."""
        return self.kinds is None or not self.kinds.isdisjoint(kinds)

    @property
    def is_closed(self) -> bool:
        """Whether a field that it does not name is none that a reader has to expect."""
        return self.rest is False or (self.rest is True and bool(self.fields) and not self.patterns and not self.open)

    def element(self, position: int) -> Reading | bool:
        """The value at a position of a list."""
        return self.positions[position] if position < len(self.positions) else self.elements


ANYTHING = Reading()
NOTHING = Reading(kinds=frozenset())


def fits(pattern: str, name: str) -> bool:
    """Whether a name has a pattern, in linear time; not where the pattern is none."""
    try:
        return jsonschema_rs.Draft7Validator({"pattern": pattern}, pattern_options=PATTERN_OPTIONS).is_valid(name)
    except (jsonschema_rs.ValidationError, ValueError):
        return False


class Readings:
    """Makes readings and puts them together. Each raises TooLarge beyond the steps that all take together."""

    def __init__(self, maximum: int | None = None) -> None:
        self._steps = 0
        self._maximum = MAXIMUM_STEPS if maximum is None else maximum

    def of(self, schema: Any) -> Reading:
        """The reading of a schema: its own keywords, with those of `allOf`, under each alternative."""
        self.step()
        if not isinstance(schema, dict):
            return NOTHING if schema is False else ANYTHING
        base = self._own(schema)
        for branch in _list(schema.get("allOf")):
            base = self.both(base, self.of(branch))
        # Under each alternative, since what it does not mention is as it is beside it.
        found = [self._one_of(base, group, "if" in schema) for group in _alternatives(schema)]
        return reduce(self.both, found) if found else base

    def _one_of(self, base: Reading, group: list[Any], conditional: bool) -> Reading:
        """Either of a group of alternatives. Nobody chooses the side of a condition, so that a field of which one side
        says nothing may be anything there."""
        sides = [self.both(base, self.of(one)) for one in group]
        found = self.either(sides)
        if not conditional:
            return found
        fields = {
            name: replace(one, anything=True) if any(self.field(side, name) is True for side in sides) else one
            for name, one in found.fields.items()
        }
        return replace(found, fields=fields)

    def _own(self, schema: Node) -> Reading:
        low, high = _sizes(schema)
        patterns = {pattern: self.of(part) for pattern, part in _mapping(schema.get("patternProperties")).items()}
        fields = {name: self.of(part) for name, part in _mapping(schema.get("properties")).items()}
        required = schema.get("required")
        always = frozenset(required) if isinstance(required, list) else frozenset[str]()
        rest = self._open(schema, *_REST)
        reading = Reading(patterns=patterns, rest=rest)
        for name in [*fields, *sorted(always - fields.keys())]:
            if name not in fields:
                other = self.field(reading, name)
                fields[name] = other if isinstance(other, Reading) else ANYTHING
            else:
                fitting = [patterns[pattern] for pattern in patterns if self._fits(pattern, name)]
                fields[name] = reduce(self.both, fitting, fields[name])
        positions, elements = self._elements(schema)
        named = schema.get("format")
        least = schema.get("minItems")
        return Reading(
            kinds=_kinds(declared_types(schema)),
            formats=frozenset({frozenset({named})}) if isinstance(named, str) else _NO_FORMAT,
            low=low,
            high=high,
            texts=_texts(schema),
            fields=fields,
            always=always,
            patterns=patterns,
            rest=rest,
            positions=positions,
            elements=elements,
            least=int(least) if isinstance(least, int | float) else 0,
            open=any(is_open(schema.get(keyword)) for keyword in _REST),
        )

    def _elements(self, schema: Node) -> tuple[tuple[Reading, ...], Reading | bool]:
        """The elements at fixed positions, and all after them: `items` in two keywords, by the draft."""
        if isinstance(schema.get("items"), list):
            positions, rest = schema["items"], self._open(schema, "additionalItems", "unevaluatedItems")
        else:
            positions, rest = _list(schema.get("prefixItems")), self._open(schema, "items", "unevaluatedItems")
        return tuple(map(self.of, positions)), rest

    def _open(self, schema: Node, *keywords: str) -> Reading | bool:
        """The rule for all others, by the first of these keywords that is present."""
        value = next((schema[keyword] for keyword in keywords if keyword in schema), True)
        if is_open(value):
            return True
        return False if value is False else self.of(value)

    def field(self, reading: Reading, name: str) -> Reading | bool:
        """The value of a field of any name: by its name, by the patterns that match, or as any other."""
        if name in reading.fields:
            return reading.fields[name]
        fitting = [part for pattern, part in reading.patterns.items() if self._fits(pattern, name)]
        return reduce(self.both, fitting) if fitting else reading.rest

    def _fits(self, pattern: str, name: str) -> bool:
        self.step(20)  # the pattern is compiled
        return fits(pattern, name)

    def both(self, one: Reading, other: Reading) -> Reading:
        """The values that satisfy both."""
        self.step()
        if one is ANYTHING or other is ANYTHING:
            return other if one is ANYTHING else one

        def named(name: str) -> Reading:
            return self._both_open(self.field(one, name), self.field(other, name))

        def patterned(pattern: str) -> Reading:
            sides = (side.patterns.get(pattern, side.rest) for side in (one, other))
            return self._both_open(*sides)

        def placed(position: int) -> Reading:
            return self._both_open(one.element(position), other.element(position))

        rest, elements = self._both_open(one.rest, other.rest), self._both_open(one.elements, other.elements)
        self.step(len(one.formats) * len(other.formats))
        return Reading(
            kinds=_common(one.kinds, other.kinds),
            formats=_least(first | second for first in one.formats for second in other.formats),
            low=_smaller(one.low, other.low),
            high=_smaller(one.high, other.high),
            texts=other.texts if one.texts is None else one.texts if other.texts is None else one.texts & other.texts,
            fields={name: named(name) for name in {**one.fields, **other.fields}},
            always=one.always | other.always,
            patterns={pattern: patterned(pattern) for pattern in {**one.patterns, **other.patterns}},
            rest=True if rest is ANYTHING else rest,
            positions=tuple(map(placed, range(max(len(one.positions), len(other.positions))))),
            elements=True if elements is ANYTHING else elements,
            least=max(one.least, other.least),
            anything=one.anything and other.anything,
            open=one.open or other.open,
        )

    def _both_open(self, one: Reading | bool, other: Reading | bool) -> Reading:
        """As `both`, of what may be anything or nothing."""
        first, second = (ANYTHING if side is True else NOTHING if side is False else side for side in (one, other))
        return self.both(first, second)

    def either(self, alternatives: list[Reading]) -> Reading:
        """The values that one of several allows."""
        self.step(len(alternatives))
        possible = [one for one in alternatives if one.kinds is None or one.kinds]
        if len(possible) < 2:
            return possible[0] if possible else NOTHING
        kinds = None
        if all(one.kinds is not None for one in possible):
            kinds = _kinds(frozenset[str]().union(*(one.kinds for one in possible if one.kinds is not None)))
        texts = [one.formats for one in possible if one.admits("string") or one.formats != _NO_FORMAT]
        numbers = [one for one in possible if one.admits("integer", "number")]
        return Reading(
            kinds=kinds,
            formats=_least(form for formats in texts for form in formats) if texts else _NO_FORMAT,
            low=_larger(one.low for one in numbers),
            high=_larger(one.high for one in numbers),
            texts=_any_text([one.texts for one in possible if one.admits("string")]),
            anything=any(one.anything for one in possible),
            **self._either_object([one for one in possible if one.admits("object")]),
            **self._either_list([one for one in possible if one.admits("array")]),
        )

    def _either_object(self, objects: list[Reading]) -> dict[str, Any]:
        if not objects:
            return {}

        def named(name: str) -> Reading:
            # Who chooses an alternative that has no such field does not write it.
            found = [self.field(one, name) for one in objects]
            return self.either([one for one in found if isinstance(one, Reading)])

        patterns: dict[str, Reading] = {}
        for pattern in {pattern: None for one in objects for pattern in one.patterns}:
            found = self._either_open(one.patterns.get(pattern, one.rest) for one in objects)
            if isinstance(found, Reading):
                patterns[pattern] = found
        return {
            "fields": {name: named(name) for name in {name: None for one in objects for name in one.fields}},
            "always": frozenset.intersection(*(one.always for one in objects)),
            "patterns": patterns,
            "rest": self._either_open(one.rest for one in objects),
            "open": any(not one.is_closed for one in objects),
        }

    def _either_list(self, lists: list[Reading]) -> dict[str, Any]:
        if not lists:
            return {}
        length = max(len(one.positions) for one in lists)
        found = [self._either_open(one.element(position) for one in lists) for position in range(length)]
        return {
            "positions": tuple(ANYTHING if one is True else NOTHING if one is False else one for one in found),
            "elements": self._either_open(one.elements for one in lists),
            "least": min(one.least for one in lists),
        }

    def _either_open(self, sides: Iterable[Reading | bool]) -> Reading | bool:
        """As `either`, of what may be anything or nothing."""
        found = list(sides)
        if any(one is True for one in found):
            return True
        readings = [one for one in found if isinstance(one, Reading)]
        return self.either(readings) if readings else False

    def step(self, count: int = 1) -> None:
        """Counts; raises TooLarge."""
        self._steps += count
        if self._steps > self._maximum:
            raise TooLarge


def _alternatives(schema: Node) -> Iterator[list[Any]]:
    """The alternatives of which one holds, for each keyword that has some."""
    for keyword in ("anyOf", "oneOf"):
        if branches := _list(schema.get(keyword)):
            yield branches
    if "if" in schema and ("then" in schema or "else" in schema):
        yield [schema.get("then", True), schema.get("else", True)]
    for keyword in ("dependentSchemas", "dependencies"):
        for part in _mapping(schema.get(keyword)).values():
            if not isinstance(part, list):
                yield [True, part]


def _sizes(schema: Node) -> tuple[int | None, int | None]:
    """How large the least and the greatest whole number are that a schema names."""
    values = [value for value in enumerated(schema) or [] if _is_number(value)]
    ends = []
    for keywords, pick in ((("minimum", "exclusiveMinimum"), min), (("maximum", "exclusiveMaximum"), max)):
        named = [schema[keyword] for keyword in keywords if _is_number(schema.get(keyword))]
        sizes = [sum(abs(value) > bound for bound in _EXACT) for value in (*named, *([pick(values)] if values else []))]
        ends.append(min(sizes) if sizes else None)
    return ends[0], ends[1]


def _texts(schema: Node) -> frozenset[str] | None:
    """The strings that a schema names as the only ones."""
    values = enumerated(schema)
    if values is None or len(values) > MOST_TEXTS:
        return None
    return frozenset(value for value in values if isinstance(value, str))


def _any_text(sides: list[frozenset[str] | None]) -> frozenset[str] | None:
    named = [side for side in sides if side is not None]
    if not named or len(named) < len(sides) or sum(map(len, named)) > MOST_TEXTS:
        return None
    return frozenset[str]().union(*named)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _kinds(kinds: frozenset[str] | None) -> frozenset[str] | None:
    """Without whole numbers where any number may come."""
    return kinds - {"integer"} if kinds is not None and kinds >= _NUMBERS else kinds


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    whole = "integer" in one | other and not _NUMBERS.isdisjoint(one) and not _NUMBERS.isdisjoint(other)
    return (one & other) | ({"integer"} if whole else frozenset())


def _least(formats: Iterable[frozenset[str]]) -> frozenset[frozenset[str]]:
    """Those alternatives that no other contains: a text of any form, or a date, is a text of any form."""
    found = frozenset(formats)
    return frozenset(one for one in found if not any(other < one for other in found))


def _smaller(one: int | None, other: int | None) -> int | None:
    known = [size for size in (one, other) if size is not None]
    return min(known) if known else None


def _larger(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)
