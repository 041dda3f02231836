"""Frames as a client's own decoder reads them."""

from __future__ import annotations

import orjson
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.event import one_line
from gateway.wire.sse import SSE

IDENTIFIER = b'[{"topic":"t","partition":0,"offset":1,"timestamp":2}]'
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
documents = st.dictionaries(st.text(), st.recursive(scalars, st.lists, max_leaves=5))


def read(data: bytes) -> list[tuple[str, str, str, int | None]]:
    """Event, data, id and retry of what the decoder dispatches."""
    lines, decoder, events = SSELineDecoder(), SSEDecoder(), []
    for line in lines.decode(data.decode()) + lines.flush():
        event = decoder.decode(line)
        if event is not None:
            events.append((event.event, event.data, event.id, event.retry))
    return events


@given(documents)
def test_an_event_comes_out_as_it_went_in(document: dict[str, object]) -> None:
    data = orjson.dumps(document)
    assert read(SSE.message(IDENTIFIER, data)) == [("message", data.decode(), IDENTIFIER.decode(), None)]


@given(documents)
def test_line_breaks_between_tokens_end_no_frame(document: dict[str, object]) -> None:
    data = one_line(orjson.dumps(document, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n"))
    [(_, received, _, _)] = read(SSE.message(IDENTIFIER, data))
    assert orjson.loads(received) == document


def test_the_opening_tells_the_retry_and_the_position() -> None:
    opening = SSE.opening(IDENTIFIER, 1234)
    assert opening.startswith(b":")
    assert opening.endswith(b"\n\n")
    assert read(opening)[0][2:] == (IDENTIFIER.decode(), 1234)


def test_a_heartbeat_has_an_id_and_no_data() -> None:
    assert SSE.heartbeat(IDENTIFIER) == b"id: " + IDENTIFIER + b"\n\n"
    assert SSE.heartbeat(IDENTIFIER, b"waiting") == b": waiting\nid: " + IDENTIFIER + b"\n\n"


@given(documents)
def test_a_notice_is_an_event_of_its_own(document: dict[str, object]) -> None:
    data = orjson.dumps(document)
    assert read(SSE.notice(b"gap", IDENTIFIER, data)) == [("gap", data.decode(), IDENTIFIER.decode(), None)]
