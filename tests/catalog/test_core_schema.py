"""Plain words mean in YAML what the core schema of YAML 1.2 says."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.catalog.core_schema import CoreLoader
from gateway.catalog.document import Findings, Located, parse

CONFIG = Path(__file__).parents[2] / "config"

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


def read(text: str, shown: Callable[[Located], Any] = Located.plain) -> tuple[Any, list[str]]:
    findings = Findings(Path("a.yaml"))
    located = parse(text, findings)
    return shown(located) if located is not None else None, findings.mistakes


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


PIECES = (
    *(
        "a",
        "b: ",
        "- ",
        ": ",
        ":",
        "-",
        "key: value\n",
        "- item\n",
        "  nested: 1\n",
        "a:b",
        "\n",
        "\n ",
        "\n  ",
        "\t",
        "\r",
    ),
    *(
        "'",
        '"',
        "''",
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        " #",
        "&x ",
        "*x",
        "!",
        "! ",
        "!!str ",
        "? ",
        "?",
        "|\n",
        "|#",
        "|+\n",
    ),
    *(">-\n", "|2\n", "---\n", "...\n", "%YAML 1.2\n", "<<: ", "~", "12", "0x1F", "1e3", "true", "=", "@", "`"),
    *("\\", "\\n", r"\ud83d", "é", "😀", "\ufeff", "\x7f", "\x00", "\xa0"),
)


def values(located: Located | None) -> Any:
    """Values with their kinds and lines."""
    if located is None:
        return None
    if isinstance(located.value, list):
        return located.line, [values(item) for item in located.value]
    if isinstance(located.value, dict):
        return located.line, [(key, values(item)) for key, item in located.value.items()]
    return located.line, repr(located.value)


def read_slowly(text: str) -> tuple[Any, list[str]]:
    """As `read`, by PyYAML's own parser alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.catalog.document.compose", partial(yaml.compose, Loader=CoreLoader))
        return read(text, values)


@example("~\t")
@example("! 12")
@example("a: |#b")
@example("- item\n\ufeff")
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_the_fast_parser_reads_the_same(text: str) -> None:
    found, expected = read(text, values), read_slowly(text)
    if expected[0] is not None or found[0] is None:
        # Of an empty document only one counts the lines to its end.
        assert found == expected or (found[0][1] == expected[0][1] == "None" and found[1] == expected[1])
    else:
        assert "?" in text or "!" in text


def test_a_question_mark_amid_a_word_is_a_letter() -> None:
    assert read("{a: 4? 5, b: [c?d]}") == ({"a": "4? 5", "b": ["c?d"]}, [])


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=str)
def test_the_files_of_the_project_are_read_the_same(path: Path) -> None:
    assert read(path.read_text(), values) == read_slowly(path.read_text())


def test_most_files_are_read_by_the_fast_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CoreLoader, "get_single_node", lambda _: pytest.fail("the slow parser"))
    assert read("a: {b: [1, x, 'y']}\nc: |\n  text\n") == ({"a": {"b": [1, "x", "y"]}, "c": "text\n"}, [])


@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "? "])
def test_nesting_ends_no_process(opening: str) -> None:
    _, (mistake,) = read(opening * 1_000)
    assert "nested too deeply" in mistake or "not valid YAML" in mistake


@pytest.mark.long
def test_long_words_take_no_time() -> None:
    before = time.process_time()
    for word in ("9" * 500_000, "1" + "0" * 500_000 + "x", "." * 500_000, "1e" + "9" * 500_000, "0x" + "f" * 500_000):
        read(f"a: {word}")
    assert time.process_time() - before < 10
