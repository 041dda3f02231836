"""What comes in bodies: events into the intake, and streams to the client."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.client.parser import EventStreamParser
from gateway.errors import Problem
from gateway.intake.body import Expander, coding, media_type
from gateway.intake.split import BadBody, Piece, TooManyEvents
from gateway.intake.validate import InvalidEvent, validate
from gateway.schemas.repository import SchemaRepository
from tests.access.kit import NOW
from tests.effort import examples
from tests.fuzz.kit import JSON, Fuzzer, damaged, pieces
from tests.kit.intake import split
from tests.routes.intake import change

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Each process has figures of its own, which are shown at the end.
pytestmark = pytest.mark.alone

CATALOG = Catalog([Stream("wiki.change", ("changes",), schema_title="wiki/change", timestamp_field="timestamp")])
SCHEMA_REPOSITORY = SchemaRepository([Path("config/schemas")])
EVENTS = 100
BYTES = 1 << 18

body = Fuzzer("intake: bodies", (Problem, BadBody, TooManyEvents, InvalidEvent), silent=True)
ONE = json.dumps(change()).encode()
META = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "dt", "stream", "request_id", "domain"), JSON))
CHANGED = st.dictionaries(st.sampled_from([*change(), "more"]), JSON, max_size=4)
BODIES = st.one_of(
    damaged(st.sampled_from([ONE, b"[" + ONE + b", " + ONE + b"]", b"[{}]"])),
    st.lists(CHANGED.map(lambda some: {**change(), **some}), max_size=4).map(lambda value: json.dumps(value).encode()),
    META.map(lambda meta: json.dumps({**change(), "meta": {**change()["meta"], **meta}}).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
    pieces("{", "}", "[", "]", '"', ":", ",", "1", "1e999", "-", "null", "\\", "\\u", "d800", " ", "NaN").map(
        lambda text: text.encode(errors="replace")
    ),
)


def _judged(content: bytes) -> int:
    """How many events of a body are taken; each of the others has a reason."""
    taken = 0
    for chunk in split(content, EVENTS):
        for piece in chunk:
            assert isinstance(piece, Piece)
            if piece.fault is not None:
                assert piece.fault
                continue
            try:
                validate(piece.text, piece.event, CATALOG, SCHEMA_REPOSITORY, NOW)
                taken += 1
            except InvalidEvent as error:
                body.refuse(error)
    return taken


@settings(max_examples=examples(100), deadline=None)
@given(BODIES)
@example(b"[" * BYTES)
@example(b'{"a":' * (BYTES // 5))
@example(b'"' + b"\\" * BYTES)
@example(b'["' + b'",","' * (BYTES // 5))
@example(b"[" + b"0," * (BYTES // 2))
@example(b"[" + b"9" * BYTES)
@example(b"1e" + b"9" * BYTES)
@example(b"{" + b",".join(b'"%d":0' % number for number in range(20_000)) + b"}")
@example(b"{" + b'"a":0,' * 20_000 + b'"a":0}')
@example(b"\xff" * BYTES)
def test_body(content: bytes) -> None:
    body.attempt(lambda: _judged(content))


coded = Fuzzer("intake: codings", (Problem,))
PLAIN = st.sampled_from([b"", ONE, b"x" * 1000])
CODED = st.one_of(
    st.tuples(st.just("gzip"), damaged(PLAIN.map(gzip.compress)) | st.binary(max_size=40)),
    st.tuples(st.just("zstd"), damaged(PLAIN.map(zstd.compress)) | st.binary(max_size=40)),
)


@settings(max_examples=examples(80), deadline=None)
@given(CODED, st.lists(st.integers(0, 2000), max_size=5))
# What is small and becomes large.
@example(("gzip", gzip.compress(b"0" * (1 << 26))), [])
@example(("zstd", zstd.compress(b"0" * (1 << 26))), [])
@example(("gzip", gzip.compress(b"") * 5000), [1])
@example(("zstd", zstd.compress(b"") * 5000), [1])
@example(("gzip", zlib.compress(b"x")), [])
def test_coding(given_: tuple[str, bytes], cuts: list[int]) -> None:
    name, data = given_
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})

    def expand() -> bytes:
        expander, start = Expander(name, BYTES), 0
        for end in ends:
            expander.feed(data[start:end])
            start = end
        return expander.finish()

    found = coded.attempt(expand)
    assert found is None or len(found) <= BYTES


described = Fuzzer("intake: headers", (Problem,))


@settings(max_examples=examples(50), deadline=None)
@given(
    pieces(
        "application/json", "text/plain", ";", "charset", "=", '"', "utf-8", "gzip", "zstd", "x-", "identity", ",", " "
    )
)
@example(";" * 500_000)
@example("application/json" + ';a="' * 100_000)
@example("application/json;" + " " * 300_000)
@example("application/json" + ";x" * 200_000)
def test_description(header: str) -> None:
    kind = described.attempt(lambda: media_type(header))
    assert kind in (None, "application/json", "text/plain", "application/reports+json")
    assert described.attempt(lambda: coding(header)) in (None, "gzip", "zstd", "identity")


stream = Fuzzer("client: event streams", ())
LARGEST = 4096
LINES = pieces(
    "data: x",
    "data",
    "data:",
    "id: [1]",
    "id",
    "event: gap",
    "retry: 5",
    "retry: 9999999999",
    ":",
    "\n",
    "\r",
    "\r\n",
    "\ufeff",
    "\x00",
    "é",
)


def _read(chunks: Sequence[bytes]) -> EventStreamParser:
    parser = EventStreamParser(maximum_bytes=LARGEST)
    for chunk in chunks:
        for event in parser.feed(chunk):
            assert len(event.data) < LARGEST
            assert not (event.left_out and event.data)
            assert b"\r" not in event.data
            assert "\x00" not in event.id
    return parser


@pytest.mark.long
@settings(max_examples=examples(100), deadline=None)
@given(LINES.map(lambda text: text.encode(errors="replace")) | st.binary(max_size=200), st.integers(1, 50))
@example(b"data\n" * 50_000, 3)
@example(b"data: x\n" * 50_000, 3)
@example(b"x" * 50_000, 1)
@example(b"\r" * 50_000, 1)
@example(b"id: x\n" * 50_000, 7)
@example(b"event: x\n" * 50_000, 7)
def test_stream(content: bytes, size: int) -> None:
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    stream.attempt(lambda: _read(chunks))


@settings(max_examples=examples(30), deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                b"data: x\n",
                b"data:" + b"y" * 11 + b"\n",
                b"data: " + b"z" * 12 + b"\n",
                b"id: 1\n",
                b"event: e\n",
                b"\n",
                b": c\n",
            ]
        ),
        max_size=30,
    ),
    st.integers(1, 9),
    st.integers(0, 30),
)
@example([b"data: x\n", b"id: 1\n", b"data:yyyyyyyyyyy\n"], 1, 0)
def test_a_stream_says_the_same_however_it_is_cut(lines: list[bytes], size: int, bound: int) -> None:
    content = b"".join(lines)
    whole, cut = EventStreamParser(maximum_bytes=bound), EventStreamParser(maximum_bytes=bound)
    expected = whole.feed(content)
    found = [event for start in range(0, len(content), size) for event in cut.feed(content[start : start + size])]
    assert found == expected
    assert (cut.last_event_id, cut.retry, cut.frames) == (whole.last_event_id, whole.retry, whole.frames)
