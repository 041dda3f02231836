"""Our filters and Google's C++ library say the same of random expressions and events, but for what is listed here.

    python -m tests.filters.test_differential SECONDS [SEED]

tries pairs for so long, and tells how many differ in a way that is not listed.
"""

from __future__ import annotations

import math
import re
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidExpression
from gateway.filters.check import check
from gateway.filters.code import compile_value
from gateway.filters.subject import Subject
from gateway.filters.syntax import parse
from gateway.filters.values import TYPES, Error
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
DURATION = re.compile(r"duration|timestamp")


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


def is_known(text: str, left: Value, right: Value) -> bool:
    """Whether the difference is one of those listed: of durations beyond 64 bits of nanoseconds, of repeated keys, of
    int(bool), of doubles as text."""
    if "error" in (left[0], right[0]):
        return bool(DURATION.search(text)) or "{" in text or "int(" in text
    return "string(" in text


def pairs(seed: int) -> list[tuple[str, dict[str, Any], Value, Value]]:
    """What both say of one expression and some events; nothing where one of them refuses it."""
    text = Expressions(seed).boolean(3)
    compiled = library_compile(text) if len(text) <= 1_500 else None
    if compiled is None:
        return []
    found = []
    for event in random_events(seed):
        subject = Subject(event, "t", 0, 7, 1_700_000_000_000, None)
        try:
            found.append((text, event, ours(text, subject), library_value(compiled, subject)))
        except InvalidExpression:
            return []
    return found


@given(st.integers(0, 2**40))
@settings(max_examples=examples(300), deadline=None)
def test_both_say_the_same(seed: int) -> None:
    for text, event, left, right in pairs(seed):
        assert same(left, right) or is_known(text, left, right), (text, event, left, right)


@pytest.mark.parametrize(("text", "event", "left", "right"), DIFFERENT)
def test_known_differences(text: str, event: dict[str, Any], left: Value, right: Value) -> None:
    subject = Subject(event, "t", 0, 7, 0, None)
    compiled = library_compile(text)
    assert ours(text, subject) == left
    assert compiled is not None
    assert library_value(compiled, subject) == right


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
                if not is_known(text, left, right):
                    unknown += 1
                    print(text, event, left, right)  # noqa: T201
        seed += 1
    print(f"{tried} pairs, {differ} differ, {unknown} in a way that is not listed")  # noqa: T201
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
