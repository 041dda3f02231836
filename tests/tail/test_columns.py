"""Which members of an event are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.tail.columns import flags, look_up, suggest

CHANGE: dict[str, Any] = {
    "$schema": "/wiki/change/1.0.0",
    "meta": {"id": "x", "dt": "2026-01-01T00:00:00Z", "title": "no"},
    "id": 17,
    "type": "edit",
    "title": "Main Page",
    "title_url": "https://wiki.example/Main_Page",
    "comment": "typo",
    "parsedcomment": "<b>typo</b>",
    "timestamp": 1690617099,
    "user": "Ada",
    "bot": False,
    "minor": True,
    "server_name": "wiki.example",
    "wiki": "enwiki",
    "length": {"old": 1, "new": 2},
    "revision": {"old": 8, "new": 9},
    "tags": ["a"],
}


def shown(event: dict[str, Any], schema: dict[str, Any] | None = None) -> list[str]:
    return [".".join(path) for path in suggest(event, schema)]


def test_one_member_of_each_sense_goes_first() -> None:
    assert shown(CHANGE) == ["title", "user", "type", "wiki", "comment", "length.new"]


def test_an_object_gives_sense_to_what_it_holds() -> None:
    event = {
        "performer": {"user_id": 4, "user_text": "Ada"},
        "page": {"page_title": "Main"},
        "deep": {"a": {"b": {"c": 1}}},
    }
    assert shown(event)[:2] == ["page.page_title", "performer.user_text"]
    assert "deep.a.b.c" not in shown(event)


def test_names_that_say_nothing_come_in_the_order_of_the_event() -> None:
    assert shown({"zeta": 1, "alpha": "x", "list": [1], "none": None}) == ["zeta", "alpha"]


def test_the_schema_says_what_every_event_has_and_what_is_for_machines() -> None:
    schema = {
        "required": ["beta"],
        "properties": {
            "alpha": {"type": "string"},
            "beta": {"type": "string"},
            "link": {"type": "string", "format": "uri"},
            "phase": {"enum": ["a", "b"]},
        },
    }
    event = {"alpha": "1", "link": "https://x.example", "beta": "2", "phase": "a"}
    assert shown(event) == ["alpha", "link", "beta", "phase"]
    assert shown(event, schema) == ["phase", "beta", "alpha"]


@pytest.mark.parametrize("schema", [{"properties": []}, {"properties": {"title": 1}}, {}])
def test_a_schema_that_is_none_is_no_hindrance(schema: dict[str, Any]) -> None:
    assert shown({"title": "x"}, schema) == ["title"]


def test_looking_up_and_flags() -> None:
    event = json.loads('{"a":{"b":0},"yes":true,"no":false}')
    assert look_up(event, ("a", "b")) == 0
    assert look_up(event, ("a", "b", "c")) is None
    assert flags(event) == ["yes"]
