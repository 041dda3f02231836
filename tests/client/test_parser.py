"""The parser against the rules of the WHATWG, in whatever pieces the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.errors import EventTooLarge
from gateway.client.parser import EventStreamParser, StreamEvent

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


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 200, b"x" * 200, b"data: x\n" * 30])
def test_memory_is_bounded(piece: bytes) -> None:
    parser = EventStreamParser(maximum_bytes=1000)

    def feed() -> None:
        for _ in range(100):
            parser.feed(piece)

    with pytest.raises(EventTooLarge, match="1,000"):
        feed()


def test_the_largest_event_passes() -> None:
    parser = EventStreamParser(maximum_bytes=1000)
    for _ in range(3):
        [event] = parser.feed(b"data: " + b"x" * 900 + b"\n\n")
        assert len(event.data) == 900
