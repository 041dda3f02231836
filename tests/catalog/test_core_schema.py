"""Plain words mean in YAML what the core schema of YAML 1.2 says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.document import Findings, parse

# As js-yaml 4 reads them, which has the core schema of YAML 1.2.
MEANINGS: list[tuple[str, Any]] = [
    ("[DE, NO, SE]", ["DE", "NO", "SE"]),
    ("[yes, Yes, no, on, off, y, n, tRUE]", ["yes", "Yes", "no", "on", "off", "y", "n", "tRUE"]),
    ("[true, True, TRUE, false, False, FALSE]", [True, True, True, False, False, False]),
    ("[null, Null, NULL, ~, nULL]", [None, None, None, None, "nULL"]),
    ("[1e9, 1E+2, 1.5e-3, .5, 5., +1.0, -0.0]", [1e9, 100.0, 0.0015, 0.5, 5.0, 1.0, -0.0]),
    ("[0o17, 010, 0x1F, +12, -7, 0b1, 0O7, -0x1]", [15, 10, 31, 12, -7, "0b1", "0O7", "-0x1"]),
    ("[1_000, 12:30, 1:30:00, 190:20:30.15, 1_0.5]", ["1_000", "12:30", "1:30:00", "190:20:30.15", "1_0.5"]),
    (
        "[2026-01-31, 2026-01-31T00:00:00Z, 2026-01-31 00:00:00]",
        ["2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31 00:00:00"],
    ),
    ("[18446744073709551615, -9223372036854775809]", [2**64 - 1, -(2**63) - 1]),
    ("9" * 100, int("9" * 100)),
    (
        "[!!str 12, !!str yes, !!int 12, !!float 1, !!bool true, !!null ~, ! 12]",
        ["12", "yes", 12, 1.0, True, None, "12"],
    ),
    ("{on: 1, 010: 2, ~: 3, 1.10: 4}", {"on": 1, "010": 2, "~": 3, "1.10": 4}),
    (r'["\ud83d\ude00", "\u0085\u2028", "é😀"]', ["😀", "\x85\u2028", "é😀"]),
    (r'{"\ud83d\ude00": 1}', {"😀": 1}),
    ("{a: &x {b: 1}, c: {<<: *x, d: 2}}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
]


def read(text: str) -> tuple[Any, list[str]]:
    findings = Findings(Path("a.yaml"))
    located = parse(text, findings)
    return located.plain() if located is not None else None, findings.mistakes


@pytest.mark.parametrize(("text", "meant"), MEANINGS)
def test_a_word_means_what_it_says(text: str, meant: Any) -> None:
    found, mistakes = read(text)
    assert mistakes == []
    assert found == meant
    assert repr(found) == repr(meant)  # 1 is not True, and not 1.0


def test_other_words_are_text() -> None:
    assert read("[1e, e1, '1', \"true\", .e1, '', =, .]") == (["1e", "e1", "1", "true", ".e1", "", "=", "."], [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (".inf", ".inf is a number that JSON has not"),
        ("-.INF", "-.INF is a number that JSON has not"),
        (".nan", ".nan is a number that JSON has not"),
        ("1e999", "1e999 is a number that JSON has not"),
        ("!!bool yes", '"yes" is no bool in YAML 1.2'),
        ("!!int 1_000", '"1_000" is no int in YAML 1.2'),
        ("!!timestamp 2026-01-31", "the tag tag:yaml.org,2002:timestamp means nothing here"),
        (r'"\ud83d"', "half a character stands here"),
        (r'{"\ude00\ud83d": 1}', "half a character stands here"),
        # PyYAML folds the first into a space, and ends the comment at the others.
        ('"x\x85y"', r'write this character as an escape in double quotes: "\u0085"'),
        ("1 # x\u2028d: 2", r'write this character as an escape in double quotes: "\u2028"'),
        ("'x\u2029 y'", r'write this character as an escape in double quotes: "\u2029"'),
        ("9" * 1001, "a number of 1001 characters; it may have 1000"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_line(text: str, told: str) -> None:
    _, (mistake,) = read(f"a: 1\nb:\n  c: {text}\n")
    assert mistake.startswith(f"a.yaml:3: {told}")


@pytest.mark.long
def test_long_words_take_no_time() -> None:
    before = time.process_time()
    for word in ("9" * 500_000, "1" + "0" * 500_000 + "x", "." * 500_000, "1e" + "9" * 500_000, "0x" + "f" * 500_000):
        read(f"a: {word}")
    assert time.process_time() - before < 10
