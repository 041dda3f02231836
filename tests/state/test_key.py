"""Keys as they are stored: each has bytes of its own, which sort by its texts, and comes back as it was."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.json_text import LARGEST_INTEGER, SMALLEST_INTEGER
from gateway.state.key import LONGEST, Key, KeyTooLong, after, beginning, key_of, listed, of_texts, read, stored

AWKWARD = [
    "",
    "\x00",
    "\x00\x01",
    "\x00\xff",
    "\x01",
    "/",
    "%2F",
    "..",
    "s",
    "true",
    "42",
    "-0",
    "é",
    "e\u0301",
    "\U0010ffff",
]
TEXTS = st.sampled_from(AWKWARD) | st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.sampled_from([0, 42, -1, SMALLEST_INTEGER, LARGEST_INTEGER]) | st.integers(-100, 100)
MEMBERS = TEXTS | NUMBERS | st.booleans()


def keys(size: int) -> st.SearchStrategy[Key]:
    """Keys with so many members."""
    return st.tuples(*[MEMBERS] * size)


def texts_of(key: Key) -> tuple[str, ...]:
    """How a path names it."""
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in key)


def kinds_of(key: Key) -> list[type]:
    """What tells `1` from `true`, which are equal in Python."""
    return [type(value) for value in key]


PAIRS = st.integers(1, 3).flatmap(lambda size: st.tuples(keys(size), keys(size)))


@given(PAIRS)
def test_a_key_comes_back_and_no_other_one_has_its_bytes(pair: tuple[Key, Key]) -> None:
    one, other = pair
    again = read(stored(one), len(one))
    assert (again, kinds_of(again)) == (one, kinds_of(one))
    assert (stored(one) == stored(other)) == (one == other and kinds_of(one) == kinds_of(other))
    assert json.loads(listed(one)) == list(one)
    assert listed(one).isascii()


@given(PAIRS)
def test_keys_sort_by_their_texts(pair: tuple[Key, Key]) -> None:
    one, other = (texts_of(key) for key in pair)
    if one != other:
        by_bytes = [text.encode() for text in one] < [text.encode() for text in other]
        assert (stored(pair[0]) < stored(pair[1])) == by_bytes


@given(PAIRS)
def test_a_path_names_the_keys_with_these_texts_and_no_others(pair: tuple[Key, Key]) -> None:
    one, other = pair
    start = of_texts(texts_of(one))
    assert (start <= stored(other) < after(start)) == (texts_of(one) == texts_of(other))


@given(PAIRS, TEXTS)
def test_a_prefix_is_of_the_first_text(pair: tuple[Key, Key], prefix: str) -> None:
    start = beginning(prefix.encode(), whole=False)
    for key in pair:
        assert (start <= stored(key) < after(start)) == texts_of(key)[0].startswith(prefix)


NO_KEYS: list[Any] = [
    None, 1.0, 1e400, float("nan"), {}, {"a": "b"}, [], ["a"], LARGEST_INTEGER + 1, SMALLEST_INTEGER - 1, 10**400
]  # fmt: skip


@pytest.mark.parametrize("value", NO_KEYS, ids=repr)
def test_what_is_no_text_number_of_64_bits_or_boolean_is_no_key(value: Any) -> None:
    assert key_of({"a": value}, [("a",)]) is None


def test_a_path_leads_through_objects_alone() -> None:
    event = {"a": {"b": {"c": "x"}}, "list": [{"b": "x"}], "text": "x"}
    assert key_of(event, [("a", "b", "c")]) == ("x",)
    for path in (("a", "b"), ("a", "x"), ("list", "b"), ("list", "0"), ("text", "b"), ("a", "b", "c", "d"), ("none",)):
        assert key_of(event, [path]) is None


@pytest.mark.parametrize("text", ["x" * LONGEST, "é" * (LONGEST // 2), "\U0001f600" * (LONGEST // 4), "\x00" * LONGEST])
def test_the_length_of_a_key_is_that_of_its_utf_8(text: str) -> None:
    assert read(stored((text,)), 1) == (text,)
    for key in [(text + "x",), (text, "x"), (text, 1), (text, False), (text * 1000,)]:
        with pytest.raises(KeyTooLong):
            stored(key)


@pytest.mark.parametrize("half", ["\ud800", "a\udc00b"])
def test_half_a_character_is_refused(half: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        stored((half,))


def test_texts_that_look_alike_are_different_keys() -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    assert stored((composed,)) != stored((decomposed,))
    assert stored(("K",)) != stored(("\u212a",))
