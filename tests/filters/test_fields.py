"""Events cut down to some of their members."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidFields
from gateway.filters.fields import MAXIMUM_LENGTH, MAXIMUM_NAMES, MAXIMUM_PATHS, compile_fields
from gateway.model.event import parse_event
from tests.effort import examples


def cut(text: str, value: bytes) -> bytes:
    return compile_fields(text).cut(value, parse_event(value))


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("a", b'{"b":1,"a":2}', b'{"a":2}'),
        ("a,b", b'{"b":1,"c":3,"a":2}', b'{"b":1,"a":2}'),
        (
            "a",
            b'{"meta":{"dt":"x","id":"y"},"a":1,"$schema":"/s"}',
            b'{"meta":{"dt":"x","id":"y"},"a":1,"$schema":"/s"}',
        ),
        ("meta.dt", b'{"meta":{"dt":"x","id":"y"},"a":1}', b'{"meta":{"dt":"x","id":"y"}}'),
        ("$schema.x,meta", b'{"meta":{"id":"y"},"$schema":"/s","a":1}', b'{"meta":{"id":"y"},"$schema":"/s"}'),
        ("a.b", b'{"a":{"b":1,"c":2}}', b'{"a":{"b":1}}'),
        ("a.b", b'{"a":{"c":2},"d":1}', b"{}"),
        ("a.b", b'{"a":5}', b"{}"),
        ("a.b", b'{"a":null}', b"{}"),
        ("absent", b'{"a":5}', b"{}"),
        ("a.b", b'{"a":[{"b":1,"c":2},{"c":3},{"b":4}]}', b'{"a":[{"b":1},{},{"b":4}]}'),
        ("a.b", b'{"a":[1,"x",null,[{"b":1,"c":1}]]}', b'{"a":[[{"b":1}]]}'),
        ("a.b", b'{"a":[]}', b'{"a":[]}'),
        ("a.b,a", b'{"a":{"b":1,"c":2}}', b'{"a":{"b":1,"c":2}}'),
        ("a", b'{"a":[1,{"b":2}]}', b'{"a":[1,{"b":2}]}'),
        ("a.0", b'{"a":[1,2],"b":1}', b'{"a":[]}'),
        ("a", b'{\r\n "a" : [ 1,\n 2 ] , "b":1}', b'{"a":[1,2]}'),
        ("\u00e4", '{"ä":"ö","b":1}'.encode(), '{"ä":"ö"}'.encode()),
        # Values keep their exact meaning.
        ("a", b'{"a":1.0,"b":1}', b'{"a":1.0}'),
        ("a", b'{"a":1.10}', b'{"a":1.10}'),
        ("a", b'{"a":[1E2,{"x":-0}]}', b'{"a":[1E2,{"x":-0}]}'),
        ("a", b'{"a":-0}', b'{"a":-0}'),
        ("a", b'{"a":-0.0}', b'{"a":-0.0}'),
        ("a", b'{"a":1e400}', b'{"a":1e400}'),
        ("a", b'{"a":9223372036854775808}', b'{"a":9223372036854775808}'),
        ("a", b'{"a":18446744073709551616}', b'{"a":18446744073709551616}'),
        ("a", b'{"a":-9223372036854775809}', b'{"a":-9223372036854775809}'),
        ("a", b'{"a":1' + b"0" * 5000 + b"}", b'{"a":1' + b"0" * 5000 + b"}"),
        ("a", b'{"a":"\\ud800","b":1}', b'{"a":"\\ud800"}'),
        ("a", b'{"b":"\\ud800","a":1}', b'{"a":1}'),
        ("a", b'{"a":{"\\udfff":1.50}}', b'{"a":{"\\udfff":1.50}}'),
        ("a", b'{"a":1,"b":2,"a":3}', b'{"a":3}'),
        ("a", b'{"a":"2023-07-29","b":-0}', b'{"a":"2023-07-29"}'),
        ("a", b'{"a":[true,false,null,"\\n\\"\\u0000"],"b":1.0}', b'{"a":[true,false,null,"\\n\\"\\u0000"]}'),
    ],
)
def test_examples(text: str, value: bytes, expected: bytes) -> None:
    assert cut(text, value) == expected


def test_a_deep_event_is_cut_too() -> None:
    value = b'{"a":' + b"[" * 255 + b"]" * 255 + b',"b":1}'
    assert cut("a", value) == value[:-7] + b"}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty path"),
        (",", "empty path"),
        ("a,", "empty path"),
        ("a,,b", "empty path"),
        ("a..b", "'a..b' holds an empty name"),
        (".a", "empty name"),
        ("a.", "empty name"),
        (".", "empty name"),
        ("a" * (MAXIMUM_LENGTH + 1), "characters"),
        (",".join(map(str, range(MAXIMUM_PATHS + 1))), f"{MAXIMUM_PATHS + 1} paths"),
        (".".join("a" * (MAXIMUM_NAMES + 1)), f"{MAXIMUM_NAMES + 1} names"),
    ],
)
def test_mistakes_are_told(text: str, reason: str) -> None:
    with pytest.raises(InvalidFields, match=reason):
        compile_fields(text)


def test_the_bounds_themselves_are_allowed() -> None:
    compile_fields("a" * MAXIMUM_LENGTH)
    compile_fields(",".join(map(str, range(MAXIMUM_PATHS))))
    compile_fields(".".join("a" * MAXIMUM_NAMES))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("b,a", "a,b"),
        ("a,a", "a"),
        ("a.b,a", "a"),
        ("a,a.b.c,ab", "a,ab"),
        ("a.c,a.b", "a.b,a.c"),
        (" a , b ", "a,b"),
    ],
)
def test_the_canonical_text(text: str, canonical: str) -> None:
    assert compile_fields(text).text == canonical


NAMES = st.sampled_from(["a", "b", "c", "meta", "$schema"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "ä", "\ud800", "-0,", "\n"])
)
MEMBERS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4)


def reference(value: Any, paths: list[tuple[str, ...]]) -> Any:
    """What is left of a value; a tuple that holds nothing where the paths are not there."""
    if () in paths:
        return value
    if isinstance(value, list):
        parts = [reference(member, paths) for member in value if isinstance(member, (dict, list))]
        return [{} if part == () else part for part in parts]
    if not isinstance(value, dict):
        return ()
    kept = {}
    for name, member in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        part = reference(member, below) if below else ()
        if part != ():
            kept[name] = part
    return kept or ()


@given(st.dictionaries(NAMES, MEMBERS, max_size=5), PATHS)
@settings(max_examples=examples(150), deadline=None)
def test_cut_agrees_with_a_reference(event: dict[str, Any], paths: list[tuple[str, ...]]) -> None:
    value = json.dumps(event).encode()
    expected = reference(event, [*paths, ("meta",), ("$schema",)]) or {}
    result = cut(",".join(".".join(path) for path in paths), value)
    assert b"\n" not in result
    # As text: 1 and 1.0 are equal in Python, and so are the keys in any order.
    assert json.dumps(json.loads(result)) == json.dumps(expected)


@given(st.dictionaries(NAMES, MEMBERS, max_size=5), PATHS, st.randoms())
@settings(max_examples=examples(100), deadline=None)
def test_the_canonical_text_is_a_key(event: dict[str, Any], paths: list[tuple[str, ...]], random: Any) -> None:
    written = [".".join(path) for path in paths]
    first = compile_fields(",".join(written))
    random.shuffle(written)
    second = compile_fields(",".join([*written, written[0]]))
    again = compile_fields(first.text)
    assert first.text == second.text == again.text
    value = json.dumps(event).encode()
    assert first.cut(value, parse_event(value)) == second.cut(value, parse_event(value))


def test_the_fast_path_is_orjson() -> None:
    value = '{"a":"ä","b":1.5}'.encode()
    assert cut("a", value) == orjson.dumps({"a": "ä"})
