"""The values of a member that are counted."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.counts.reading import LONGEST_VALUE, MOST_ELEMENTS, values_at

CASES: list[tuple[Any, str, set[bytes]]] = [
    ({"a": "x"}, "a", {b'"x"'}),
    ({"a": {"b": 1}}, "a.b", {b"1"}),
    ({"a": 1}, "a.b", set()),
    ({"a": {}}, "a", set()),
    ({}, "a", set()),
    ({"a": None}, "a", {b"null"}),
    ({"a": [True, 1, 1.0, "1", "1"]}, "a", {b"true", b"1", b"1.0", b'"1"'}),
    ({"a": [{"b": 1}, {"b": 2}, 3]}, "a.b", {b"1", b"2"}),
    ({"a": [[1], [2]]}, "a", {b"1", b"2"}),
    ({"a": "x" * LONGEST_VALUE}, "a", set()),
    ({"a": "\ud800"}, "a", set()),
    ({"a": 2**80}, "a", set()),
]


@pytest.mark.parametrize(("event", "path", "values"), CASES)
def test_values(event: Any, path: str, values: set[bytes]) -> None:
    assert values_at(event, tuple(path.split("."))) == values


def test_elements_are_bounded() -> None:
    assert len(values_at({"a": list(range(10_000))}, ("a",))) == MOST_ELEMENTS
