"""Titles of schemas, and expressions over them."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.stream import Stream
from gateway.catalog.titles import is_expression, is_title, is_valid_expression

TITLES = st.from_regex(r"[a-c_.]{1,4}(/[a-c_.]{1,3}){0,2}", fullmatch=True)


@pytest.mark.parametrize(
    ("asked", "title", "taken"),
    [
        (None, "wiki/change", False),
        ("wiki/change", "wiki/change", True),
        ("wiki/change", "wiki/changes", False),
        ("wiki.change", "wiki/change", False),
        ("/^wiki/", "wiki/change", True),
        ("/^wiki/", "my/wiki/change", False),
        ("/wiki/", "my/wiki/change", True),
        (r"/^wiki\/(change|log)$/", "wiki/log", True),
        (r"/^wiki\/(change|log)$/", "wiki/logs", False),
        ("/^wiki/(change|log)$/", "wiki/change", True),
    ],
)
def test_what_a_stream_takes(asked: str | None, title: str, taken: bool) -> None:
    assert Stream("s", ("s",), schema_title=asked).takes(title) is taken


@given(TITLES, TITLES)
def test_a_title_takes_itself_alone(asked: str, title: str) -> None:
    assert is_title(asked) == (re.match(r"\.|.*/\.", asked) is None)
    assert Stream("s", ("s",), schema_title=asked).takes(title) is (asked == title)


@given(st.lists(TITLES, min_size=1, max_size=3), TITLES)
def test_an_expression_takes_what_it_is_found_in(parts: list[str], title: str) -> None:
    text = "|".join(map(re.escape, parts))
    for expression in (text, f"^(?:{text})", f"^(?:{text})$"):
        asked = f"/{expression}/"
        assert is_expression(asked)
        assert is_valid_expression(asked)
        assert Stream("s", ("s",), schema_title=asked).takes(title) is (re.search(expression, title) is not None)


def test_an_expression_takes_linear_time() -> None:
    stream = Stream("s", ("s",), schema_title="/^(a*)*(a|b|ab)*(a|a)*$/")
    begun = time.process_time()
    assert not stream.takes("a" * 20_000 + "/")
    assert time.process_time() - begun < 1.0
