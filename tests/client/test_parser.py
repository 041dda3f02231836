"""The parser against the rules of the WHATWG, in whatever pieces the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.frame import StreamEvent
from gateway.client.parser import EventStreamParser

LINES = st.sampled_from(
    [
        *["", "", "data: one", "data:two", "data", "data:  three", "id: 7", "id", "id: a\0b", "event: gap", "event"],
        *[": note", "retry: 250", "retry: soon", "unknown: x", "data: \ufeff é", "no colon"],
    ]
)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


def reference(text: str) -> tuple[list[StreamEvent], str, int | None]:
    """The rules, word by word, over the whole text at once."""
    text = text.removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events: list[StreamEvent] = []
    data, kind, identifier, named, last, retry = "", "", "", False, "", None
    for line in lines:
        if not line:
            last = identifier
            if data:
                events.append(StreamEvent(kind or "message", data.removesuffix("\n").encode(), identifier, named))
            data, kind, named = "", "", False
            continue
        name, colon, value = line.partition(":")
        if not name and colon:
            continue
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            identifier, named = value, True
        elif name == "retry" and value.isdigit():
            retry = int(value)
    return events, last, retry


@given(st.booleans(), st.lists(st.tuples(LINES, ENDS)), st.text(max_size=5), st.data())
def test_any_pieces_give_what_the_rules_say(
    mark: bool, lines: list[tuple[str, str]], rest: str, data: st.DataObject
) -> None:
    text = ("\ufeff" if mark else "") + "".join(line + end for line, end in lines) + rest.replace("\r", "").strip("\n")
    whole = text.encode(errors="replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parser = EventStreamParser()
    events = []
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        events += parser.feed(whole[begin:end])
    expected, last, retry = reference(whole.decode())
    assert events == expected
    assert parser.last_event_id == last
    assert parser.retry == retry


def test_a_frame_without_data_moves_the_position_in_silence() -> None:
    parser = EventStreamParser("1")
    assert parser.feed(b": welcome\nid: 2\n\nid: 3\n") == []
    assert parser.last_event_id == "2"
    assert parser.frames == 1
    assert parser.feed(b"\n") == []
    assert parser.last_event_id == "3"


def test_an_event_that_is_cut_off_is_none() -> None:
    parser = EventStreamParser()
    assert parser.feed(b"id: 1\ndata: whole\n\nid: 2\ndata: ha") == [StreamEvent("message", b"whole", "1")]
    assert parser.last_event_id == "1"


LARGE = b"x" * 200


@pytest.mark.long
@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"id: 2\ndata: ", LARGE),
        (b"id: 2\ndata: ", b"\ndata:" + LARGE),
        (b"id: 2\n", b"data\n" * 3),
        (b"id: 2\ndata: y\n: ", LARGE),
    ],
    ids=["a line", "lines", "empty lines", "a comment"],
)
@pytest.mark.parametrize("size", [1, 7, 4000, 10**6])
def test_memory_is_bounded_and_the_stream_goes_on_behind(begin: bytes, piece: bytes, size: int) -> None:
    content = b"\xef\xbb\xbfid: 1\ndata: a\n\n" + begin + piece * 500 + b"\n\nid: 3\ndata: b\n\n"
    parser = EventStreamParser(maximum_bytes=1000)
    events: list[StreamEvent] = []
    for start in range(0, len(content), size):
        events += parser.feed(content[start : start + size])
        assert sum(map(len, parser._pieces)) <= 1000 + 9 + size
    first, *others, last = events
    assert (first, last) == (StreamEvent("message", b"a", "1"), StreamEvent("message", b"b", "3"))
    expected = (
        StreamEvent("message", b"y", "2") if b": " in begin[12:] else StreamEvent("message", b"", "2", left_out=True)
    )
    assert others == [expected]


def test_an_event_that_is_too_large_is_told_as_soon_as_it_has_an_id() -> None:
    parser = EventStreamParser("1", maximum_bytes=1000)
    assert parser.feed(b"event: change\nid: 2\ndata: " + b"x" * 2000) == [
        StreamEvent("change", b"", "2", left_out=True)
    ]
    assert parser.last_event_id == "2"
    assert parser.feed(b"x" * 2000 + b"\nid: 3\n\n") == []
    assert parser.last_event_id == "3"


def test_an_event_that_is_too_large_and_named_at_its_end_is_told_there() -> None:
    parser = EventStreamParser("1", maximum_bytes=1000)
    assert parser.feed(b"data: " + b"x" * 2000) == []
    assert parser.feed(b"\nid: 2\nevent: change\n\n") == [StreamEvent("change", b"", "2", left_out=True)]
    assert parser.feed(b"data: small\n\n") == [StreamEvent("message", b"small", "2", named=False)]


def test_the_very_first_line_may_be_too_large() -> None:
    parser = EventStreamParser(maximum_bytes=1000)
    pieces = [b"\xef\xbb", b"\xbfda", b"ta: ", *[LARGE] * 20, b"\n\n\xef\xbb\xbfdata: none\n\n"]
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert events == [StreamEvent("message", b"", "", named=False, left_out=True)]


def test_the_largest_event_passes() -> None:
    parser = EventStreamParser(maximum_bytes=1000)
    for _ in range(3):
        [event] = parser.feed(b"data: " + b"x" * 900 + b"\n\n")
        assert len(event.data) == 900
