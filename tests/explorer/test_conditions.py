"""What a click on a value makes is what the gateway's filters take it for."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject
from tests.conftest import absent

PROGRAM = Path(__file__).parent / "units" / "conditions.mjs"
MISSING = object()
EVENTS: list[dict[str, Any]] = [
    {},
    {"a": None},
    {"a": "text"},
    {"a": "\u202etext\u200b"},
    {"a": 5},
    {"a": [1, 2]},
    {"a": {}},
    {"a": {"b": None}},
    {"a": {"b": 5}},
    {"a": {"b": {"c-d": 5}}},
    {"a": {"b": {"c-d": "five", "in": 5}}},
    {"a": {"b": [7, 5]}},
    {"a-b": 5, "$schema": "5", "in": 5},
]
VALUES = (None, "5", '"5"', json.dumps("\u202etext\u200b"))
PATHS: list[list[str | int]] = [
    ["a"],
    ["a", "b"],
    ["a", "b", "c-d"],
    ["a", "b", "in"],
    ["a", "b", 1],
    ["a", 0],
    ["a-b"],
    ["$schema"],
    ["in"],
]


def found(event: Any, path: list[str | int]) -> Any:
    """The value at a path."""
    for step in path:
        held = isinstance(event, dict) if isinstance(step, str) else isinstance(event, list) and step < len(event)
        if not held or (isinstance(event, dict) and step not in event):
            return MISSING
        event = event[step]
    return event


def test_conditions_hold_for_the_events_that_they_name_and_their_opposites_for_all_others() -> None:
    node = shutil.which("node") or absent("there is no node")
    asked = [(path, value, operator) for path in PATHS for value in VALUES for operator in ("==", "!=")]
    result = subprocess.run([node, str(PROGRAM), json.dumps(asked)], capture_output=True, timeout=60, check=True)
    conditions: list[str] = json.loads(result.stdout)
    for (path, value, operator), condition in zip(asked, conditions, strict=True):
        wanted = MISSING if value is None else json.loads(value)
        compiled = compile_filter(condition)
        for event in EVENTS:
            is_it = found(event, path) is MISSING if wanted is MISSING else found(event, path) == wanted
            matches = compiled.matches(Subject(event, "topic", 0, 0, 0, None))
            assert matches == (is_it == (operator == "==")), f"{condition} of {event}"
