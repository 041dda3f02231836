"""One line an event."""

from __future__ import annotations

import time

import pytest

from gateway.tail.line import event_line

NOW = 1_795_438_634_550


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_suggested_columns_leave_out_what_is_missing_and_show_flags() -> None:
    event = {"title": "A\x1b[2J\nB", "user": "", "size": 12, "bot": True, "minor": False}
    line = event_line(event, NOW, "wiki", [("title",), ("user",), ("gone",), ("size",)], False, NOW)
    assert line.plain == "12:57:14.550Z  wiki  A\\x1b[2J B  size=12  bot"


def test_columns_that_were_asked_for_are_always_there() -> None:
    event = {"a": {"b": "x" * 500}, "no": False, "list": [1, {"k": "v"}]}
    columns = [("a", "b"), ("gone",), ("no",), ("list",)]
    line = event_line(event, NOW - 86_400_000, "s", columns, True, NOW)
    assert line.plain == f"2026-11-22T12:57:14.550Z  s  {'x' * 79}…  –  no=false  " + '[1,{"k":"v"}]'
    assert event_line({}, None, "s", [], True, NOW).plain == " " * 13 + "  s"
