"""Content negotiation."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.routes.negotiate import accepts_gzip, choose_format
from gateway.wire.format import Format
from gateway.wire.ndjson import JSON_LINES, NDJSON
from gateway.wire.sse import SSE


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, SSE),
        ("", SSE),
        (" ", SSE),
        ("*/*", SSE),
        ("text/*", SSE),
        ("Text/Event-Stream", SSE),
        ("text/event-stream; charset=utf-8", SSE),
        ("application/x-ndjson", NDJSON),
        ("application/json", JSON_LINES),
        ("application/*", NDJSON),
        ("application/json, application/x-ndjson", NDJSON),
        ("application/json, */*", SSE),
        ("application/json, */*;q=0.1", JSON_LINES),
        ("text/event-stream;q=0.5, application/json;q=0.6", JSON_LINES),
        ("text/event-stream;q=0, */*", NDJSON),
        ("text/*;q=0, application/x-ndjson;q=0, */*;q=0.001", JSON_LINES),
        ("image/png, text/event-stream ; q = 0.2", SSE),
        ("text/event-stream;q=high, application/json;q=0.1", JSON_LINES),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", SSE),
        (",,,application/json,", JSON_LINES),
        ("application/problem+json", SSE),
        ("application/problem+json, application/problem+xml;q=0.5", SSE),
        ("application/problem+json, application/x-ndjson;q=0.5", NDJSON),
    ],
)
def test_the_highest_q_wins_and_a_tie_goes_to_sse(accept: str | None, chosen: Format) -> None:
    assert choose_format(accept) is chosen


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/event-stream;q=0",
        "*/*;q=0",
        "*/*;q=0.0",
        ",",
        "x",
        "a/b/c",
        "application/problem+json, text/html",
    ],
)
def test_nothing_acceptable(accept: str) -> None:
    with pytest.raises(Problem) as caught:
        choose_format(accept)
    assert (caught.value.status, caught.value.parameter) == (406, "Accept")
    assert all(
        form in caught.value.detail for form in ("text/event-stream", "application/x-ndjson", "application/json")
    )


@pytest.mark.parametrize(
    ("accept_encoding", "accepted"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("gzip;q=1.0, identity;q=0.5", True),
        ("identity;q=0.5, gzip;q=0.4", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *;q=1", False),
        ("*;q=0.1", True),
        ("*;q=0", False),
        ("deflate, br", False),
        ("gzipped", False),
        ("gzip;q=nan", False),
    ],
)
def test_gzip(accept_encoding: str | None, accepted: bool) -> None:
    assert accepts_gzip(accept_encoding) is accepted


@given(st.text(st.sampled_from("abgzip/*;,=q0.19 -\t\x7fé"), max_size=60))
def test_any_header_has_an_answer(header: str) -> None:
    accepts_gzip(header)
    with suppress(Problem):
        assert choose_format(header) in (SSE, NDJSON, JSON_LINES)
