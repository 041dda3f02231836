"""Schemas as text, which reads as it was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schemas.files import read_document
from gateway.schemas.text import to_json, to_yaml

WORDS = [
    "yes",
    "010",
    "1:30",
    "2026-01-01",
    "~",
    "",
    " a",
    "a: b",
    "# a",
    "1.0e+5",
    "null",
    "<<",
    "=",
    "1e9",
    "0o17",
    "1_000",
    "NO",
    ".inf",
    "5.",
    "é\n b\n",
    "\n \n",
]
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(TEXTS, parts, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=3))
def test_what_is_written_is_read(document: dict[str, Any]) -> None:
    for name, content in (("a.yaml", to_yaml(document).encode()), ("a.json", to_json(document))):
        mistakes: list[str] = []
        assert read_document(Path(name), content, mistakes) == document


@pytest.mark.parametrize("text", WORDS)
def test_words_that_yaml_could_take_for_others(text: str) -> None:
    mistakes: list[str] = []
    assert read_document(Path("a.yaml"), to_yaml({"a": text, "b": [text]}).encode(), mistakes) == {
        "a": text,
        "b": [text],
    }
    assert mistakes == []


def test_lines_stand_as_a_block() -> None:
    assert to_yaml({"description": "One line.\nAnother: #1.\n", "list": [1]}) == (
        "description: |\n  One line.\n  Another: #1.\nlist:\n  - 1\n"
    )


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
def test_large_whole_numbers_are_exact(name: str) -> None:
    content = b'{"maximum": 18446744073709551617, "minimum": -170141183460469231731687303715884105729}'
    mistakes: list[str] = []
    document = read_document(Path(name), content, mistakes)
    assert document == {"maximum": 2**64 + 1, "minimum": -(2**127) - 1}
    assert mistakes == []


@pytest.mark.parametrize("content", [b'{"a": 1e999}', b'{"a": NaN}', b'{"a": "\\ud800"}', b'{"a": \xff}', b'{"a": 1,}'])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    mistakes: list[str] = []
    assert read_document(Path("a.json"), content, mistakes) is None
    (mistake,) = mistakes
    assert mistake.startswith("a.json")
