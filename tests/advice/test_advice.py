"""What requests name and the schemas of their streams exclude."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.advice.advice import Advice, ascii_text
from gateway.advice.streams import Advisor
from gateway.catalog.stream import Stream
from gateway.filters.compile import compile_filter
from gateway.schemas.repository import SchemaRepository

CHANGES = Stream("wiki.change", ("wiki.change",), schema_title="wiki/change")
OWN = SchemaRepository(["config/schemas"])
GUIDE = Path("docs/FILTERS.md").read_text()


def told(text: str, *streams: Stream, schemas: SchemaRepository = OWN) -> list[str]:
    """What is told of a filter."""
    found = Advisor(schemas).advise(streams or (CHANGES,), {"filter": text}, compile_filter(text), ())
    return [str(one) for one in found]


def told_of_fields(text: str, *streams: Stream, schemas: SchemaRepository = OWN) -> list[str]:
    """The same of `fields`."""
    return [str(one) for one in Advisor(schemas).advise(streams or (CHANGES,), {"fields": text}, None, ("fields",))]


def repository(directory: Path, **schemas: dict[str, Any]) -> SchemaRepository:
    """A repository of schemas by title, each in version 1.0.0 or as its `$id` says."""
    for title, schema in schemas.items():
        written = {"title": title, "$id": f"/{title}/1.0.0", "type": "object", **schema}
        path = directory / title / f"{written['$id'].rpartition('/')[2]}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(written))
    return SchemaRepository([directory])


A, B = (Stream(name, (name,), schema_title=name) for name in "ab")

# What people write.

MISTAKES = {
    'event.wikki == "enwiki"': ("column 7", "no schema of these streams has event.wikki; did you mean event.wiki?"),
    'event.bot == "false"': ("column 1", "did you mean false without quotes?"),
    'event.namespace > "90"': ("column 1", "did you mean 90 without quotes?"),
    "event.bot == 0": ("column 1", "did you mean false?"),
    "event.wiki == 5": ("column 1", 'did you mean "5" in quotes?'),
    "event.user == null": ("column 1", "has(event.user) tells whether it is there"),
    "has(event.lenght)": ("column 11", "did you mean event.length?"),
    'event["titel"] == "x"': ("column 7", "did you mean event.title?"),
    'event.domain == "x"': ("column 7", "did you mean event.meta.domain?"),
    'event.wiki in ["enwiki", 5]': ("column 26", 'did you mean "5" in quotes?'),
    "!event.wiki": ("column 2", "a condition takes true or false"),
    'event.bot && event.title.foo == "x"': ("column 26", "event.title is a text, and has no member 'foo'"),
    'event.bot.contains("x")': ("column 1", "contains() takes a text"),
    "event.meta.dt.getHours() > 3": ("column 1", "getHours() takes"),
    'event.meta.dt > timestamp("2026-01-01T00:00:00Z")': ("column 1", "did you mean timestamp(event.meta.dt)?"),
    'event.bot ||\n  event.wikki == "x"': ("line 2, column 9", "event.wiki?"),
    "event.wiki.exists(name, name == 'x')": ("column 1", "exists() takes a list"),
    "event.wiki - 5 == 5": ("column 1", "'-' takes"),
    '"x" in event.title': ("column 8", "'in' takes a list; did you mean event.title.contains(\"x\")?"),
    'event.type == "edits"': ("column 15", 'event.type is never "edits"; did you mean "edit"?'),
    '"x" != event.type': ("column 1", 'event.type is never "x"; it is "edit" or "log" or "new"'),
    'event.type in ["new", "edited"]': ("column 23", 'did you mean "edit"?'),
    'event.title + event.namespace == "x"': ("column 1", "joins what is alike: event.title is a text, and event.name"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_its_place(text: str) -> None:
    place, detail = MISTAKES[text]
    (found,) = told(text)
    assert found.startswith("filter: ")
    assert place in found
    assert detail in found


def test_fields_that_no_event_has_are_told() -> None:
    assert told_of_fields("tittle, user,meta.domian,title.x") == [
        "fields: line 1, column 1: no schema of these streams has tittle; did you mean title or title_url?",
        "fields: line 1, column 19: no schema of these streams has meta.domian; did you mean meta.domain?",
        "fields: line 1, column 32: title is a text, and has no member 'x'",
    ]


def test_several_mistakes_are_told_in_the_order_of_their_places() -> None:
    columns = [int(re.findall(r"column (\d+)", one)[0]) for one in told('event.c == 1 || event.a == "x" || event.b')]
    assert columns == [7, 23, 41]


def test_what_is_told_is_bounded() -> None:
    long = "x" * 3000
    found = told(" || ".join(f"event.a{number}" for number in range(200)))
    assert len(found) == 8
    (advice,) = Advisor(OWN).advise((CHANGES,), {"fields": long}, None, ("fields",))
    assert len(advice.header) < 500


# What is no mistake.


@pytest.mark.parametrize("block", re.findall(r"```cel\n(.*?)```", GUIDE, re.DOTALL))
def test_nothing_is_told_of_the_guide(block: str) -> None:
    for line in block.splitlines():
        assert told(line) == []


def _values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _values(part, f"{path}[{json.dumps(name)}]")
    elif not isinstance(value, list):
        yield path, value


@pytest.mark.parametrize("title", OWN.titles())
def test_nothing_is_told_of_what_an_example_has(title: str) -> None:
    stream = Stream("s", ("s",), schema_title=title)
    schema = OWN.get(title)
    assert schema is not None
    for example in schema.examples:
        for path, value in _values(example, "event"):
            assert told(f"{path} == {json.dumps(value)}", stream) == []


OPEN: dict[str, dict[str, Any]] = {
    "no members": {},
    "any others, as it says": {"properties": {"a": {"type": "string"}}, "additionalProperties": True},
    "others of a type": {"properties": {"a": {}}, "additionalProperties": {"type": "integer"}},
    "a pattern": {"properties": {"a": {}}, "patternProperties": {"^x": {"type": "integer"}}},
    "one of two": {"oneOf": [{"properties": {"a": {}}}, {"properties": {"x": {}}}]},
    "one that may be anything": {"anyOf": [{"properties": {"a": {}}}, {"type": "object"}]},
    "a condition": {"properties": {"a": {}}, "if": {"required": ["a"]}, "then": {"properties": {"x": {}}}},
    "open beside": {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}, "additionalProperties": True}]},
    "also true": {"properties": {"a": {}, "x": True}},
}


@pytest.mark.parametrize("name", OPEN)
def test_nothing_is_told_of_what_a_schema_leaves_open(tmp_path: Path, name: str) -> None:
    schemas = repository(tmp_path, a=OPEN[name])
    assert told("event.x == 1", A, schemas=schemas) == []
    assert told_of_fields("x", A, schemas=schemas) == []


CLOSED: dict[str, dict[str, Any]] = {
    "no others": {"additionalProperties": False},
    "no others than a pattern": {"patternProperties": {"^y": {}}, "additionalProperties": False},
    "others of another type": {"additionalProperties": {"type": "string"}},
    "a pattern of another type": {"patternProperties": {"^x": {"type": "string"}}},
    "two without it": {"oneOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_every_alternative_excludes_is_told(tmp_path: Path, name: str) -> None:
    assert len(told("event.x == 1", A, schemas=repository(tmp_path, a=CLOSED[name]))) == 1


def test_a_value_of_several_types_is_like_either(tmp_path: Path) -> None:
    schemas = repository(tmp_path, a={"properties": {"x": {"type": ["string", "null"]}, "n": {"type": "number"}}})
    for text in ("event.x == null", 'event.x == "a"', "event.n > 5", "event.n > 5.5"):
        assert told(text, A, schemas=schemas) == []
    for text in ("event.x == 5", 'event.n > "5"', "event.n"):
        assert len(told(text, A, schemas=schemas)) == 1


def test_elements_of_arrays_are_known(tmp_path: Path) -> None:
    part = {"type": "object", "properties": {"name": {"type": "string"}}}
    schemas = repository(tmp_path, a={"properties": {"parts": {"type": "array", "items": part}}})
    assert told_of_fields("parts.name", A, schemas=schemas) == []
    assert len(told_of_fields("parts.nmae", A, schemas=schemas)) == 1
    assert told('event.parts.exists(one, one.name == "x")', A, schemas=schemas) == []
    assert len(told('event.parts.exists(one, one.nmae == "x")', A, schemas=schemas)) == 1
    assert len(told('event.parts == "x"', A, schemas=schemas)) == 1


def test_a_text_that_is_none_of_those_that_may_be_is_told(tmp_path: Path) -> None:
    many = [f"n{number}" for number in range(2_000)]
    members: dict[str, Any] = {
        "kind": {"enum": ["a", "b", None]},
        "open": {"anyOf": [{"enum": ["a"]}, {"type": "string"}]},
        "either": {"anyOf": [{"enum": ["a"]}, {"enum": ["b", 7]}]},
        "both": {"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]},
        "const": {"const": "a"},
        "many": {"enum": many},
        "numbers": {"type": ["string", "integer"], "enum": [1, 2]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
    }
    schemas = repository(tmp_path, a={"properties": members})
    for text in (
        'event.kind == "a" || event.kind == null || event.kind in ["a", "b"]',
        'event.open == "z" || event.many == "z" || event.numbers == "z"',
        'event.either in ["a", "b"] || event.either == 7',
        'event.both == "b" || event.const == "a"',
        '"a" in event.tags || event.tags.exists(tag, tag == "b") || event.tags[0] == "a"',
        'event.kind < "z" || event.kind == event.open || event.kind.startsWith("z")',
    ):
        assert told(text, A, schemas=schemas) == []
    for text in (
        'event.kind == "z"',
        'event.either == "c"',
        'event.both == "a"',
        'event.const != "b"',
        '"z" in event.tags',
        'event.tags.exists(tag, tag == "z")',
    ):
        (found,) = told(text, A, schemas=schemas)
        assert "is never" in found


def test_a_text_that_one_of_several_streams_or_versions_has_is_known(tmp_path: Path) -> None:
    repository(tmp_path, a={"properties": {"x": {"enum": ["old"]}}})
    schemas = repository(
        tmp_path, a={"$id": "/a/2.0.0", "properties": {"x": {"enum": ["new"]}}}, b={"properties": {"x": {"const": "b"}}}
    )
    assert told('event.x == "old" || event.x == "new"', A, schemas=schemas) == []
    assert told('event.x in ["b", "old"]', A, B, schemas=schemas) == []
    assert len(told('event.x == "b"', A, schemas=schemas)) == 1
    assert len(told('event.x == "c"', A, B, schemas=schemas)) == 1
    assert told('event.x == "c"', A, Stream("c", ("c",)), schemas=schemas) == []


def test_times_are_compared_and_texts_and_lists_are_joined() -> None:
    for text in (
        'timestamp(event.meta.dt) > timestamp("2026-01-01T00:00:00Z")',
        'timestamp(event.meta.dt) - timestamp("2026-01-01T00:00:00Z") < duration("1h")',
        'duration("1h") < duration("2h") && timestamp(event.meta.dt) + duration("1h") > timestamp(event.meta.dt)',
        'event.title + "x" == "x" && 1 + event.namespace == 2.5 && [1] + [2] == [1, 2]',
    ):
        assert told(text) == []


def test_what_is_remembered_of_one_parameter_is_not_told_of_another() -> None:
    advisor = Advisor(OWN)
    for name in ("fields", "by"):
        (advice,) = advisor.advise((CHANGES,), {name: "usr"}, None, (name,))
        assert advice.parameter == name


# Several streams, versions, and streams of which nothing is known.


def test_only_what_all_streams_exclude_is_told(tmp_path: Path) -> None:
    one = {"properties": {"x": {"type": "string"}}}
    schemas = repository(tmp_path, a=one, b={"properties": {"x": {"type": "integer"}, "y": {}}})
    for text in ("event.x == 5", 'event.x == "5"', "event.y == 5"):
        assert told(text, A, B, schemas=schemas) == []
    assert len(told("event.x == 5", A, schemas=schemas)) == 1
    assert len(told("event.x == true", A, B, schemas=schemas)) == 1
    assert len(told("event.z == 5", A, B, schemas=schemas)) == 1
    assert told("event.z == 5", A, B, Stream("c", ("c",)), schemas=schemas) == []


def test_a_member_of_an_earlier_version_is_known(tmp_path: Path) -> None:
    repository(tmp_path, a={"properties": {"old": {"type": "string"}}})
    schemas = repository(tmp_path, a={"$id": "/a/2.0.0", "properties": {"new": {"type": "string"}}})
    assert told('event.old == "x" && event.new == "x"', A, schemas=schemas) == []
    assert len(told("event.other == 1", A, schemas=schemas)) == 1


def test_an_expression_of_titles_means_all_of_them(tmp_path: Path) -> None:
    schemas = repository(tmp_path, a={"properties": {"x": {}}}, b={"properties": {"y": {}}})
    both = Stream("both", ("both",), schema_title="/^[ab]$/")
    assert told("event.x == 1 && event.y == 1", both, schemas=schemas) == []
    assert len(told("event.z == 1", both, schemas=schemas)) == 1


def test_what_the_gateway_writes_into_events_is_known(tmp_path: Path) -> None:
    schemas = repository(tmp_path, a={"properties": {"x": {}, "meta": {"properties": {"stream": {}}}}})
    text = 'event["$schema"] == "/a/1.0.0" && event.meta.id != event.meta.request_id && event.meta.dt < "2026"'
    assert told(text, A, schemas=schemas) == []


def test_a_schema_of_too_many_parts_says_nothing(tmp_path: Path) -> None:
    names: dict[str, Any] = {f"p{number}": {} for number in range(2_000)}
    schemas = repository(tmp_path, a={"properties": names, "patternProperties": {"^q$": {}}})
    begun = time.thread_time()
    assert told("event.y == 1", A, schemas=schemas) == []
    assert time.thread_time() - begun < 1


# The header.


def test_a_header_is_ascii_with_the_escapes_of_json() -> None:
    advice = Advice("filter", 1, 2, 'no "ä" \\ 😀\r\nx')
    assert advice.header == b'filter: line 1, column 2: no "\\u00e4" \\u005c \\ud83d\\ude00\\u000d\\u000ax'
    assert ascii_text("\ud800") == "\\ud800"
