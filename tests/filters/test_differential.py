"""Our filters and Google's C++ library say the same of random expressions and events, but for what is listed here.

    python -m tests.filters.test_differential SECONDS [SEED]

tries pairs for so long, and tells how many differ in a way that is not listed.
"""

from __future__ import annotations

import math
import random
import sys
import time
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidExpression
from gateway.filters import code, functions, operators, times, values
from gateway.filters.check import check
from gateway.filters.code import compile_value
from gateway.filters.functions import FUNCTIONS
from gateway.filters.subject import Subject
from gateway.filters.syntax import parse
from gateway.filters.values import NO_OVERLOAD, TYPES, Duration, Error, Meter, Timestamp
from tests.effort import examples
from tests.filters.generator import Expressions, random_events
from tests.filters.library import library_compile, library_value

Value = tuple[str, Any]

DIFFERENT: list[tuple[str, dict[str, Any], Value, Value]] = [
    # Beyond the nanoseconds of 64 bits, about 292 years, a duration is an error; the library counts seconds too.
    ("duration('9300000000s') > duration('1s')", {}, ("error", None), ("bool", True)),
    # 1 and 1u are one key, which so is there twice (the specification's word); to the library they are two.
    ("{1: 2, 1u: 3} == {}", {}, ("error", None), ("bool", False)),
    # The specification has no int(bool); where the type is not known before, it fails.
    ("type(int(event.t)) == int", {"t": True}, ("error", None), ("bool", True)),
    # Strings are sequences of code points, U+0000 included; the library's patterns end there.
    ("event.s.matches('b$')", {"s": "a\0b"}, ("bool", True), ("bool", False)),
    # A double is written as briefly as it can be read again.
    ("string(1e6) == '1000000'", {}, ("bool", True), ("bool", False)),
]
"""The expression and the event, what we say, and what the library says."""
ORDERS = 24
"""So many orders of a map's keys are tried; the expressions have maps of few."""


# The causes, each as the library has it. A difference is known where these, and no other change of ours, explain it: a
# wrong operator is seen, whatever else stands in the expression.


def _library_int(meter: Meter, value: Any) -> Any:
    return int(value) if value.__class__ is bool else functions.to_int(meter, value)


def _library_string(meter: Meter, value: Any) -> Any:
    """Doubles are written with the fewest digits, and with an exponent where that is shorter; NaN has a sign."""
    if value.__class__ is not float:
        return functions.to_string(meter, value)
    if math.isnan(value):
        return "-nan"
    return next(text for digits in range(6, 18) if float(text := f"{value:.{digits}g}") == value)


def _library_map(pairs: list[tuple[Any, Any]]) -> Any:
    """1 and 1u are two keys, of which we can hold one: where they are the only reason, no more is asked of it."""
    made = operators.make_map(pairs)
    keys = [key for key, _ in pairs]
    if made.__class__ is not Error or made.reason != "repeated key":
        return made
    if len({(key.__class__, key) for key in keys}) < len(keys):
        return made
    raise _TwoKeys


class _TwoKeys(Exception):
    """What follows of the two keys is not known here."""


def _library_duration(nanos: int) -> Any:
    return Duration(nanos) if abs(nanos) <= times._LONGEST_DURATION else times.OUT_OF_TIME


def _library_part(name: str) -> Any:
    """Of a time that is in the year 0 or 10,000 in its zone: the part of a year that has the same days."""
    ours = FUNCTIONS[name].call

    def read(meter: Meter, value: Any, *zone: Any) -> Any:
        found = ours(meter, value, *zone)
        if found is not times.OUT_OF_TIME:
            return found
        # Four hundred years have the same days, weekdays included.
        cycle = 146_097 * 86_400 * times.NANOS
        early = value < 0
        found = ours(meter, Timestamp(value + (cycle if early else -cycle)), *zone)
        return found + (-400 if early else 400) if name == "getFullYear" else found

    return read


def _library_elements(order: int) -> Any:
    """The keys of a map come in an order that nobody knows (ours: as they were written): in one of several."""
    elements = operators._elements

    def found(value: Any) -> Any:
        members = elements(value)
        if members is None or value.__class__ is list:
            return members
        listed = list(members)
        random.Random(order).shuffle(listed)
        return listed

    return found


def library_like(text: str, subject: Subject, order: int) -> Value:
    """What ours would say, were it made like the library in what is known to differ; maps are gone through in the order
    of this number. Raises _TwoKeys."""
    changed = {
        "f_int": _library_int, "f_string": _library_string, "make_map": _library_map,
        **{f"f_{name}": _library_part(name) for name in functions.TIME_PARTS},
    }  # fmt: skip
    with (
        patch.dict(code._GLOBALS, changed),
        patch.object(times, "make_duration", _library_duration),
        patch.object(operators, "make_duration", _library_duration),
        patch.object(operators, "_elements", _library_elements(order)),
    ):
        return ours(text, subject)


def ours(text: str, subject: Subject) -> Value:
    """Our value of the expression. Raises InvalidExpression."""
    root = parse(text, 32)
    check(text, root)
    value = compile_value(text, root)(
        subject.event, subject.topic, subject.partition, subject.offset, subject.timestamp, subject.key, [10**9]
    )
    if value.__class__ is Error:
        return "error", None
    name = TYPES[value.__class__].name.removeprefix("google.protobuf.").lower()
    return name.replace("null_type", "null"), value if name in {
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
    } else None


def same(left: Value, right: Value) -> bool:
    """Whether the two are the same value."""
    if left[0] != right[0]:
        return False
    if left[0] == "double":
        a, b = left[1], right[1]
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(left[1] == right[1])


def is_known(text: str, subject: Subject, theirs: Value) -> bool:
    """Whether the library says this for one of the causes above."""
    try:
        return any(same(library_like(text, subject, order), theirs) for order in range(ORDERS))
    except _TwoKeys:
        return True


def subject_of(event: dict[str, Any]) -> Subject:
    """Of a record that is always in the same place."""
    return Subject(event, "t", 0, 7, 1_700_000_000_000, None)


def pairs(seed: int) -> list[tuple[str, dict[str, Any], Value, Value]]:
    """What both say of one expression and some events; nothing where one of them refuses it."""
    text = Expressions(seed).boolean(3)
    compiled = library_compile(text) if len(text) <= 1_500 else None
    if compiled is None:
        return []
    found = []
    for event in random_events(seed):
        subject = subject_of(event)
        try:
            found.append((text, event, ours(text, subject), library_value(compiled, subject)))
        except InvalidExpression:
            return []
    return found


@given(st.integers(0, 2**40))
@settings(max_examples=examples(300), deadline=None)
def test_both_say_the_same(seed: int) -> None:
    for text, event, left, right in pairs(seed):
        assert same(left, right) or is_known(text, subject_of(event), right), (text, event, left, right)


@pytest.mark.parametrize(("text", "event", "left", "right"), DIFFERENT)
def test_known_differences(text: str, event: dict[str, Any], left: Value, right: Value) -> None:
    subject = Subject(event, "t", 0, 7, 0, None)
    compiled = library_compile(text)
    assert ours(text, subject) == left
    assert compiled is not None
    assert library_value(compiled, subject) == right


@pytest.mark.parametrize(
    ("text", "name", "owner", "attribute", "wrong"),
    [
        ("dyn(1) < event.n && int('1') == 1", "less", values, "less", lambda meter, left, right: left > right),
        ("int(event.s) == 12 || {1: 2} == {}", "f_int", functions, "to_int", lambda meter, value: 0),
        ("string(event.n) == '2'", "f_string", functions, "to_string", lambda meter, value: ""),
        ("{1: 2}[1] == event.n", "make_map", operators, "make_map", lambda pairs: Error("none")),
        ("duration(event.s + 's') < duration('13s')", "f_duration", times, "to_duration", lambda *_: NO_OVERLOAD),
        ("timestamp(event.n) > timestamp(0)", "f_timestamp", times, "to_timestamp", lambda *_: NO_OVERLOAD),
    ],
)
def test_a_wrong_operator_is_seen(text: str, name: str, owner: Any, attribute: str, wrong: Any) -> None:
    subject = subject_of({"n": 2, "s": "12"})
    compiled = library_compile(text)
    assert compiled is not None
    theirs = library_value(compiled, subject)
    assert same(ours(text, subject), theirs)
    with patch.dict(code._GLOBALS, {name: wrong}), patch.object(owner, attribute, wrong):
        assert not same(ours(text, subject), theirs)
        assert not is_known(text, subject, theirs)


def test_the_order_of_a_map_is_nobodys() -> None:
    text = '{"a": event.n, "b": 2}.map(key, key) == ["b", "a"]'
    subject = subject_of({"n": 1})
    assert ours(text, subject) == ("bool", False)
    assert is_known(text, subject, ("bool", True))
    assert not is_known("[1, event.n + 1].map(x, x) == [2, 1]", subject, ("bool", True))


@pytest.mark.parametrize(
    "text", ['event["a"].all(x, x == 1)', '"a" + (event.x + event.y) == "abc"', r"event.a == r'\'"]
)
def test_accepted_beyond_the_library(text: str) -> None:
    check(text, parse(text, 32))


@pytest.mark.parametrize("text", ["int(true) == 1", "!-1", "-!true", "a.b{c: 1}"])
def test_refused(text: str) -> None:
    with pytest.raises(InvalidExpression):
        check(text, parse(text, 32))


def main(seconds: float, seed: int) -> int:
    """Try pairs for so long."""
    tried = differ = unknown = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for text, event, left, right in pairs(seed):
            tried += 1
            if not same(left, right):
                differ += 1
                if not is_known(text, subject_of(event), right):
                    unknown += 1
                    print(text, event, left, right)  # noqa: T201
        seed += 1
    print(f"{tried} pairs, {differ} differ, {unknown} in a way that is not listed")  # noqa: T201
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
