"""Newline-delimited JSON."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.ndjson import JSON_LINES, NDJSON, NewlineDelimited

both = pytest.mark.parametrize("form", [NDJSON, JSON_LINES])


def read(data: bytes) -> list[object]:
    assert data.endswith(b"\n")
    return [orjson.loads(line) for line in data.split(b"\n") if line]


@given(st.lists(st.dictionaries(st.text(), st.text())))
def test_an_event_is_a_line(documents: list[dict[str, str]]) -> None:
    data = NDJSON.opening(b"[]", 1) + b"".join(NDJSON.message(b"[]", orjson.dumps(one)) for one in documents)
    assert read(data) == documents


@both
def test_what_is_said_beside_events_has_one_reserved_key(form: NewlineDelimited) -> None:
    assert read(form.notice(b"gap", b"[]", b'{"reason":"expired"}')) == [{"$gap": {"reason": "expired"}}]


@both
def test_the_end_of_a_range_is_the_end_of_the_response(form: NewlineDelimited) -> None:
    assert form.end(b"[]", b'{"reason":"limit"}') == b""


@both
def test_a_heartbeat_and_the_first_byte_are_empty_lines(form: NewlineDelimited) -> None:
    assert form.heartbeat(b"[]") == form.heartbeat(b"[]", b"waiting") == form.opening(b"[]", 1) == b"\n"


def test_the_content_types() -> None:
    assert (NDJSON.content_type, JSON_LINES.content_type) == ("application/x-ndjson", "application/json")
