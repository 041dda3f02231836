"""Schemas with branches, events of them, and what a reader of the one can make of an event of another.

The reader is told from what each combination of alternatives says by itself, which the product never writes out.
"""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

from hypothesis import strategies as st

from gateway.schemas.validator import compile_validator, faults

Node = dict[str, Any]
NAMES = ("a", "b", "c")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "integer": st.integers(-2, 3),
    "number": st.sampled_from([0.5, 1, 2.5]),
    "string": st.sampled_from(["", "x", "2026-01-31", "2026-01-31T00:00:00Z"]),
}
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "format": "date"},
            {"type": "integer"},
            {"type": "integer", "minimum": 0},
            {"type": "number"},
            {"type": ["string", "null"]},
            {"enum": ["x", 1]},
            {"const": "x"},
            {},
        ]
    )
)


@st.composite
def objects(draw: st.DrawFn, members: st.SearchStrategy[Any]) -> Node:
    fields = draw(st.dictionaries(st.sampled_from(NAMES), members, max_size=3))
    schema: Node = {"type": "object", "properties": fields}
    if draw(st.booleans()) and fields:
        schema["required"] = [draw(st.sampled_from(sorted(fields)))]
    match draw(st.integers(0, 5)):
        case 0:
            rest: Any = draw(st.one_of(st.booleans(), members))
            schema["additionalProperties"] = rest
        case 1:
            schema["patternProperties"] = {"^[ab]$": draw(members)}
    return schema


def inner(members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects, lists and branches of these."""
    some = objects(members)
    fields = st.dictionaries(st.sampled_from(NAMES), members, min_size=1, max_size=2)
    branches = st.lists(
        st.fixed_dictionaries({"properties": fields}, optional={"required": st.just(["a"])}), min_size=1, max_size=2
    )
    return st.one_of(
        some,
        some.map(lambda one: {"anyOf": [one, {"type": "null"}]}),
        st.lists(some, min_size=2, max_size=2).map(lambda both: {"oneOf": both}),
        st.tuples(some, branches).map(lambda pair: {**pair[0], "anyOf": pair[1]}),
        st.tuples(some, branches).map(lambda pair: {**pair[0], "allOf": [{"anyOf": pair[1]}]}),
        st.tuples(some, branches).map(
            lambda pair: {**pair[0], "if": {"required": ["b"]}, "then": pair[1][0], "else": pair[1][-1]}
        ),
        st.lists(members, min_size=1, max_size=2).map(lambda parts: {"type": "array", "prefixItems": parts}),
        members.map(lambda part: {"type": "array", "items": part}),
    )


SCHEMAS = inner(st.recursive(LEAVES, inner, max_leaves=4))


@st.composite
def next_versions(draw: st.DrawFn, old: Node) -> Node:
    """The schema with one of its parts changed."""
    new = copy.deepcopy(old)
    places: list[Any] = [new]
    for place in places:
        parts = place.values() if isinstance(place, dict) else place
        places += [part for part in parts if isinstance(part, dict | list)]
    place = draw(st.sampled_from([one for one in places if one]))
    if isinstance(place, list):
        number = draw(st.integers(0, len(place) - 1))
        if isinstance(place[number], dict) and draw(st.booleans()):
            place.append(draw(LEAVES | objects(LEAVES)))
        elif len(place) > 1:
            del place[number]
        return new
    key = draw(st.sampled_from(sorted(place)))
    if key in ("properties", "patternProperties") and draw(st.booleans()):
        place[key][draw(st.sampled_from(NAMES))] = draw(LEAVES)
    elif isinstance(place[key], dict) and key not in ("properties", "patternProperties") and draw(st.booleans()):
        place[key] = draw(LEAVES | objects(LEAVES))
    else:
        del place[key]
    return new


def alternatives(schema: Any) -> list[list[Node]]:
    """Every combination of alternatives: schemas without branches that hold together."""
    if not isinstance(schema, dict):
        return [] if schema is False else [[]]
    groups = [[[schema]]] + [alternatives(part) for part in schema.get("allOf", [])]
    branches = [schema[keyword] for keyword in ("anyOf", "oneOf") if keyword in schema]
    groups += [[one for part in some for one in alternatives(part)] for some in branches]
    if "if" in schema and ("then" in schema or "else" in schema):
        groups.append(alternatives(schema.get("then", True)) + alternatives(schema.get("else", True)))
    return [[node for part in chosen for node in part] for chosen in product(*groups)]


def kinds_of(nodes: list[Node]) -> set[str]:
    """The types that all of them let through."""
    found = {"null", "boolean", "integer", "number", "string", "object", "array"}
    for node in nodes:
        named = node.get("type")
        if named is None:
            values = node.get("enum", [node["const"]] if "const" in node else None)
            named = list(found) if values is None else [kind_of(value) for value in values]
        named = {named} if isinstance(named, str) else set(named)
        found &= named | ({"integer"} if "number" in named else set())
    return found


def kind_of(value: Any) -> str:
    """The JSON type."""
    kinds: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object"}
    return "null" if value is None else kinds.get(type(value), "array")


def parts_of(nodes: list[Node], name: str) -> list[Any]:
    """What schemas that hold together say of a field."""
    parts = []
    for node in nodes:
        own = [node["properties"][name]] if name in node.get("properties", {}) else []
        own += [part for pattern, part in node.get("patternProperties", {}).items() if name in pattern]
        rest = node.get("additionalProperties")
        parts += own or ([rest] if isinstance(rest, dict) else [])
    # Who has to write a field of which nothing is said writes anything.
    return parts or [{} for node in nodes if name in node.get("required", [])]


def element_of(nodes: list[Node], position: int) -> list[Any]:
    """What schemas that hold together say of an element."""
    found = []
    for node in nodes:
        first = node.get("prefixItems", [])
        found += [first[position]] if position < len(first) else [node["items"]] if "items" in node else []
    return found


def unreadable(schemas: list[Any], event: Any, path: str = "") -> str | None:
    """Why a reader that was made for these alternatives fails at an event; None where it does not."""
    known = [nodes for schema in schemas for nodes in alternatives(schema)]
    known = [nodes for nodes in known if kinds_of(nodes)]
    fitting = [nodes for nodes in known if kind_of(event) in kinds_of(nodes)]
    if not fitting:
        return f"{path}: no alternative is of the type of {event!r}" if known else None
    if isinstance(event, str) and all(any("format" in node for node in nodes) for nodes in fitting):
        dates = compile_validator({"format": "date"}, "2020-12")
        return f"{path}: {event!r} is no date" if faults(dates, event) else None
    if isinstance(event, dict):
        for name in set.intersection(*({name for node in one for name in node.get("required", [])} for one in fitting)):
            if name not in event:
                return f"{path}/{name} is missing"
        for name, value in event.items():
            said = [parts for nodes in fitting if (parts := parts_of(nodes, name))]
            if any("if" in node for nodes in fitting if not parts_of(nodes, name) for node in nodes):
                continue  # nobody chooses the side of a condition, so it may be anything
            if said and (reason := unreadable([{"allOf": parts} for parts in said], value, f"{path}/{name}")):
                return reason
    if isinstance(event, list):
        for position, value in enumerate(event):
            said = [element_of(nodes, position) for nodes in fitting]
            if all(said) and (reason := unreadable([{"allOf": parts} for parts in said], value, f"{path}/{position}")):
                return reason
    return None


def events(schema: Any) -> st.SearchStrategy[Any]:
    """Events of the fields that a schema names, valid ones."""
    validator = compile_validator(schema if isinstance(schema, dict) else {"allOf": [schema]}, "2020-12")
    return _near(schema).filter(lambda event: not faults(validator, event))


@st.composite
def _near(draw: st.DrawFn, schema: Any) -> Any:
    nodes = draw(st.sampled_from(alternatives(schema) or [[]]))
    values = [node.get("enum", [node.get("const")]) for node in nodes if "enum" in node or "const" in node]
    if values:
        return draw(st.sampled_from(values[0]))
    kind = draw(st.sampled_from(sorted(kinds_of(nodes)) or ["null"]))
    if kind == "object":
        needed = {name for node in nodes for name in node.get("required", [])}
        names = sorted({name for node in nodes for name in node.get("properties", {})} | needed)
        chosen = [name for name in names if name in needed or draw(st.booleans())]
        return {name: draw(_near({"allOf": parts_of(nodes, name)})) for name in chosen}
    if kind == "array":
        length = draw(st.integers(0, 3))
        return [draw(_near({"allOf": element_of(nodes, position)})) for position in range(length)]
    if kind == "string" and any("format" in node for node in nodes):
        return "2026-01-31"  # valid under the alternative that was chosen, and not by chance under another one
    return draw(VALUES[kind])
