"""Random expressions over a schema, and random events of it: what two engines are held against each other with."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "$schema": {"type": "string"},
        "meta": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "dt": {"type": "string", "format": "date-time"}},
        },
        "wiki": {"type": "string"},
        "type": {"type": "string", "enum": ["edit", "new", "log"]},
        "user": {"type": "string"},
        "title": {"type": "string"},
        "bot": {"type": "boolean"},
        "minor": {"type": "boolean"},
        "page_id": {"type": "integer", "minimum": 0, "maximum": 1_000},
        "vast": {"type": "integer"},
        "score": {"type": "number"},
        "length": {
            "type": "object",
            "properties": {
                "old": {"type": "integer", "minimum": -100, "maximum": 100},
                "new": {"type": "integer", "minimum": -100, "maximum": 100},
            },
        },
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
TEXTS = ("", "a", "ab", "Aé", "😀b", "it's", "enwiki", "z\\", 'q"', "é")
WHOLE = (0, 1, -1, 2, 7, 100)
VAST = (0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) + 1, 2**62)
SCORES = (0.0, 1.5, -2.25, 7, 0, 0.1, 1e300)


def random_event(random: Random) -> dict[str, Any]:
    """An event of the schema, in which each member may be missing."""
    whole = {
        "wiki": random.choice(("enwiki", "dewiki", "a")),
        "type": random.choice(("edit", "new", "log")),
        "user": random.choice(TEXTS),
        "title": random.choice(TEXTS),
        "bot": random.random() < 0.5,
        "minor": random.random() < 0.5,
        "page_id": random.randrange(4),
        "vast": random.choice(VAST),
        "score": random.choice(SCORES),
        "length": {name: random.randint(-100, 100) for name in ("old", "new") if random.random() < 0.8},
        "tags": random.choices(TEXTS, k=random.randrange(4)),
    }
    return {name: value for name, value in whole.items() if random.random() < 0.8}


def random_truth(random: Random, depth: int = 3) -> str:
    """An expression that is true or false, or fails."""
    ways: list[Callable[[], str]] = [
        lambda: random.choice(("event.bot", "event.minor")),
        lambda: f"has(event.{random.choice(('bot', 'title', 'length', 'length.old', 'tags', 'score'))})",
        lambda: f"{_text(random, 1)} {_comparison(random)} {_text(random, 1)}",
        lambda: f"{_whole(random, 2)} {_comparison(random)} {_whole(random, 2)}",
        lambda: f"{_double(random, 1)} {_comparison(random)} {_double(random, 1)}",
        lambda: f"event.score {_comparison(random)} {random.choice(('1', '1.5', 'event.page_id', '-2.25'))}",
        lambda: f"{_text(random, 1)}.{random.choice(('startsWith', 'endsWith', 'contains'))}({_text(random, 0)})",
        lambda: f"{_text(random, 1)} in {json.dumps(random.sample(TEXTS, 2), ensure_ascii=False)}",
        lambda: f"event.page_id in {random.sample(WHOLE, 3)}",
        lambda: f"{_literal(random)} in event.tags",
        lambda: f"event.bot {_comparison(random)} event.minor",
    ]  # fmt: skip
    if depth == 0 or random.random() < 0.2:
        return random.choice(ways)()
    one, other = random_truth(random, depth - 1), random_truth(random, depth - 1)
    return random.choice((f"({one} && {other})", f"({one} || {other})", f"!({one})", f"({one} ? {other} : {one})"))


def random_value(random: Random, kinds: tuple[str, ...] = ("string", "integer", "number", "boolean")) -> str:
    """An expression whose value is of one of these types of JSON."""
    match random.choice(kinds):
        case "string":
            return _text(random, 2)
        case "integer":
            return _whole(random, 2)
        case "number":
            return random.choice((_double(random, 2), "event.score"))
    return random_truth(random, 1)


def _comparison(random: Random) -> str:
    return random.choice(("==", "!=", "<", "<=", ">", ">="))


def _literal(random: Random) -> str:
    return json.dumps(random.choice(TEXTS), ensure_ascii=False)


def _text(random: Random, depth: int) -> str:
    ways: list[Callable[[], str]] = [
        lambda: random.choice(("event.user", "event.title", "event.wiki", 'event["title"]')),
        lambda: _literal(random),
    ]
    if depth:
        ways += [
            lambda: f"({_text(random, depth - 1)} + {_text(random, depth - 1)})",
            lambda: f"(event.bot ? {_text(random, depth - 1)} : {_text(random, depth - 1)})",
            lambda: f"string({random.choice(('event.page_id', 'event.bot', 'event.vast', 'event.user'))})",
        ]
    return random.choice(ways)()


def _whole(random: Random, depth: int) -> str:
    ways: list[Callable[[], str]] = [
        lambda: random.choice(("event.page_id", "event.length.old", "event.length.new", "event.vast")),
        lambda: str(random.choice(WHOLE)),
        lambda: random.choice(("size(event.title)", "event.tags.size()", "size(event.user + event.title)")),
    ]
    if depth:
        small = ("event.page_id", "event.length.new", "7", "-2", "size(event.title)")
        ways += [
            lambda: f"({_whole(random, depth - 1)} {random.choice('+-')} {_whole(random, depth - 1)})",
            lambda: f"({random.choice(small)} {random.choice('*/%')} {random.choice(small)})",
            lambda: f"-({random.choice(small)})",
            lambda: f"(event.minor ? {_whole(random, depth - 1)} : {_whole(random, depth - 1)})",
        ]
    return random.choice(ways)()


def _double(random: Random, depth: int) -> str:
    ways: list[Callable[[], str]] = [
        lambda: random.choice(("double(event.score)", "double(event.page_id)", "double(event.length.old)")),
        lambda: repr(random.choice((0.5, -1.25, 3.0, 0.1))),
    ]
    if depth:
        ways.append(lambda: f"({_double(random, depth - 1)} {random.choice('+-*')} {_double(random, depth - 1)})")
    return random.choice(ways)()
