"""One line an event."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.model.event import parse_event
from gateway.tail.columns import suggest
from gateway.tail.line import WIDEST, LineWriter

NOW = 1_795_438_634_550


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_suggested_columns_leave_out_what_is_missing_and_show_flags() -> None:
    event = {"title": "A\x1b[2J\nB", "user": "", "size": 12, "bot": True, "minor": False}
    columns = [("title",), ("user",), ("gone",), ("size",)]
    line = LineWriter().line(event, NOW, "wiki", columns, False, NOW)
    assert line.plain.split() == ["12:57:14.550Z", "wiki", "A\\x1b[2J", "B", "size=12", "bot"]


def test_columns_that_were_asked_for_are_always_there() -> None:
    event = {"a": {"b": "x" * 500}, "no": False, "list": [1, {"k": "v"}]}
    columns = [("a", "b"), ("gone",), ("no",), ("list",)]
    line = LineWriter().line(event, NOW - 86_400_000, "s", columns, True, NOW)
    assert line.plain == f"2026-11-22T12:57:14.550Z  s  {'x' * 79}…  –  no=false  " + '[1,{"k":"v"}]'
    assert LineWriter().line({}, None, "s", [], True, NOW).plain == " " * 13 + "  s"


def test_columns_stand_below_each_other() -> None:
    writer = LineWriter(stream=False)
    columns = [("title",), ("user",), ("size",)]
    events = [
        {"title": "A long title", "user": "Zoë", "size": 5},
        {"title": "日本", "user": "Anna", "size": 100},
        {"title": "A", "size": 7, "bot": True},
    ]
    lines = [writer.line(event, NOW, "s", columns, False, NOW).plain for event in events]
    assert lines == [
        "12:57:14.550Z  A long title  Zoë  size=5",
        "12:57:14.550Z  日本          Anna  size=100",
        "12:57:14.550Z  A                   size=7    bot",
    ]


def test_a_long_value_makes_no_column_wide() -> None:
    writer = LineWriter(stream=False)
    writer.line({"a": "x" * 70, "b": "y"}, NOW, "s", [("a",), ("b",)], False, NOW)
    line = writer.line({"a": "x", "b": "y"}, NOW, "s", [("a",), ("b",)], False, NOW)
    assert line.plain == "12:57:14.550Z  x" + " " * (WIDEST - 1) + "  y"


def test_names_of_streams_stand_below_each_other_too() -> None:
    writer = LineWriter()
    lines = [writer.line({"a": 1}, NOW, name, [("a",)], False, NOW).plain for name in ("long.name", "b")]
    assert lines == ["12:57:14.550Z  long.name  a=1", "12:57:14.550Z  b          a=1"]


@pytest.mark.parametrize(
    "event",
    [
        {f"flag{number}": True for number in range(30_000)},
        {f"text{number}": "x" for number in range(30_000)},
        {"\x1b" * 1_000_000: True, "\x1b" * 1_000_001: 5},
        {"title": "\x1b" * 4_000_000},
    ],
    ids=["flags", "members", "names", "text"],
)
def test_a_giant_event_takes_a_line_and_no_time(event: dict[str, Any]) -> None:
    begun = time.thread_time()
    line = LineWriter().line(event, 0, "\x1b" * 1_000_000, suggest(event), False, 0)
    assert time.thread_time() - begun < 2
    assert len(line.plain) < 2_500
    assert line.plain.isprintable()


def test_what_orjson_does_not_write_takes_a_line_too() -> None:
    deep = parse_event(b'{"a":' + b"[" * 255 + b"]" * 255 + b"}")
    line = LineWriter(stream=False).line(deep, NOW, "s", [("a",)], True, NOW)
    assert line.plain == "12:57:14.550Z  " + "[" * 79 + "…"
    line = LineWriter(stream=False).line({"a": ["\ud800"], "b": "\ud800"}, NOW, "s", [("a",), ("b",)], True, NOW)
    assert line.plain == r'12:57:14.550Z  ["\ud800"]  \ud800'
