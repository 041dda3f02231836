"""What is put into the text of an event, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.insert import insert_members, insert_meta

VALUES = st.recursive(
    st.none() | st.integers() | st.text('meta"\\{}[]: ,é', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["meta", "id", "a", '"meta"', "x{"]), inner, max_size=3)
    ),
    max_leaves=8,
)
EVENTS = st.dictionaries(st.sampled_from(["a", "b", "metadata", "{", 'm"']), VALUES, max_size=4)
METAS = st.none() | st.dictionaries(st.sampled_from(["stream", "uri", "meta"]), VALUES, max_size=2)


@given(EVENTS, METAS, st.integers(0, 4), st.sampled_from([None, 0, 2]), st.booleans())
def test_the_event_has_what_was_put_in_and_all_else_as_before(
    event: dict[str, Any], meta: dict[str, Any] | None, index: int, indent: int | None, ascii_only: bool
) -> None:
    members = list(event.items())
    if meta is not None:
        members.insert(index, ("meta", meta))
    text = json.dumps(dict(members), indent=indent, ensure_ascii=ascii_only).encode()
    completed = insert_meta(text, {"id": "1", "dt": "2"})
    expected = {**dict(members), "meta": {"id": "1", "dt": "2", **(meta or {})}}
    assert json.loads(completed) == expected
    # Taken out again, it is the text as it was.
    inserted = b'"id":"1","dt":"2"' if meta is not None else b'"meta":{"id":"1","dt":"2"}'
    assert text in (completed.replace(inserted, b"", 1), completed.replace(inserted + b",", b"", 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"m\\u0065ta" : { "a":1}}', b'{"m\\u0065ta" : {"id":"1", "a":1}}'),
        (b'{"a":"meta","b":{"meta":{}},"meta":{}}', b'{"a":"meta","b":{"meta":{}},"meta":{"id":"1"}}'),
        (b"{}", b'{"meta":{"id":"1"}}'),
        (b"{ }", b'{"meta":{"id":"1"} }'),
    ],
)
def test_where_it_is_put(text: bytes, expected: bytes) -> None:
    assert insert_meta(text, {"id": "1"}) == expected
    assert insert_meta(text, {}) == text


def test_members_of_the_event_itself() -> None:
    assert insert_members(b'{"a":1}', {"$schema": "/b/1.0.0"}) == b'{"$schema":"/b/1.0.0","a":1}'
