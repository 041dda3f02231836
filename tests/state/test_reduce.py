"""What a record does to a view, for records of every kind: a change, or a reason why not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.fields import LOSSLESS
from gateway.model.event import parse_event
from gateway.model.record import Record
from gateway.state.key import LONGEST, of_texts, read
from gateway.state.reduce import LONGEST_VALUE, Change, Passed, Step, merged
from tests.state.world import patched, view_of

NUMBERS = ["0", "-0", "7", "1.10", "1E2", "1e400", "-1e-400", "0.1000000000000000055", "9223372036854775808", "9" * 30]
STRINGS = [r'"\ud800"', r'"\u0000"', '"é"', '""', r'"-0 "', '"1e400"']
SCALARS = st.sampled_from([*NUMBERS, *STRINGS, "null", "true"])


def _objects(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.dictionaries(st.sampled_from(["a", "b", "c"]), below, max_size=3)
    return members.map(lambda one: "{" + ",".join(f'"{name}":{value}' for name, value in one.items()) + "}")


VALUES = st.recursive(
    SCALARS, lambda below: _objects(below) | st.lists(below, max_size=2).map(lambda one: f"[{','.join(one)}]")
)
TEXTS = _objects(VALUES)


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_merged_value_means_what_its_events_say(events: list[str]) -> None:
    value: bytes | None = None
    expected: Any = None
    for event in (text.encode() for text in events):
        value = merged(value, parse_event(event), event)
        expected = patched(expected, LOSSLESS.parse(event))
        assert value is not None
        assert LOSSLESS.parse(value) == expected


def test_a_merged_value_is_bounded_and_as_deep_as_an_event_may_be() -> None:
    deep = b'{"a":' * 255 + b"{}" + b"}" * 255
    value = merged(None, parse_event(deep), deep)
    assert value == deep
    assert merged(value, parse_event(deep), deep) == deep
    long = json.dumps({"b": "x" * (LONGEST_VALUE - 100)}).encode()
    value = merged(None, parse_event(long), long)
    more = json.dumps({"c": "x" * 100}).encode()
    assert merged(value, parse_event(more), more) is None


def of(value: bytes | None, key: bytes | None = None) -> Change | Passed | None:
    """What a record does to a view whose key is `wiki` and `n`."""
    return Step(view_of("latest")).of(Record("pages", 0, 0, 0, key, value))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not"),
        (b"[1]", "not a JSON object"),
        (b'{"wiki":"w"}', "it has no key"),
        (b'{"wiki":"w","n":null}', "it has no key"),
        (b'{"wiki":"w","n":1e400}', "it has no key"),
        (b'{"wiki":"w","n":9223372036854775808}', "it has no key"),
        (rb'{"wiki":"\ud800","n":9223372036854775808}', "it has no key"),
        (rb'{"wiki":"\ud800","n":1}', "its key cannot be kept"),
        (b'{"wiki":"%b","n":1}' % (b"x" * 1_000_000), f"and {LONGEST} are allowed"),
        (b'{"wiki":"w","n":1,"a":%b}' % (b"[" * 300 + b"]" * 300), "nested more than"),
    ],
    ids=str,
)
def test_a_record_without_a_key_is_passed_over_with_a_reason(value: bytes, reason: str) -> None:
    found = of(value)
    assert isinstance(found, Passed)
    assert reason in found.reason


def test_a_large_event_with_very_many_members_is_one_change() -> None:
    value = json.dumps({"wiki": "w", "n": 1, "m": {f"k{n}": n for n in range(10_000)}, "pad": "x" * 1_000_000}).encode()
    found = of(value)
    assert isinstance(found, Change)
    assert (read(found.key, 2), found.data) == (("w", 1), value)


@pytest.mark.parametrize(
    "key",
    [None, b"", b"\xff", b"x", b"[", b"[]", b'["w"]', b'["w",null]', b'["w",1.5]', b'["w",1e400]', b'["w",[1]]',
     b'["w",%b]' % (b"9" * 5000), b"[" * 5000, b'["%b",1]' % (b"x" * 9000), rb'["\ud800",1]', b'["w",1,2]', b"{}"],
    ids=lambda key: repr(key)[:20],
)  # fmt: skip
def test_a_tombstone_with_another_key_is_passed_over(key: bytes | None) -> None:
    reason = "a record without key and value" if key is None else "a tombstone without a key of this view"
    assert of(None, key) == Passed(reason)


@pytest.mark.parametrize("reduce", ["latest", "merge"])
@pytest.mark.parametrize("tombstone", [(), ("wiki",), ("wiki", "n")])
def test_a_record_without_key_and_value_deletes_nothing(reduce: str, tombstone: tuple[str, ...]) -> None:
    """An erasure leaves such records, and the empty key is a key like any other."""
    view = dataclasses.replace(view_of(reduce), key=tombstone or ("wiki",), tombstone=tombstone)
    step = Step(view)
    assert step.of(Record("pages", 0, 0, 0, None, None)) == Passed("a record without key and value")
    if len(tombstone) == 1:
        deleted = step.of(Record("pages", 0, 0, 0, b"", None))
        assert isinstance(deleted, Change)
        assert deleted.key == of_texts([""])


def test_a_tombstone_deletes_whatever_the_kinds_of_its_members_are() -> None:
    numbers, texts = of(None, b'["w",1]'), of(None, b'["w","1"]')
    assert numbers == texts
    assert isinstance(numbers, Change)
    assert numbers.every
