"""What the load client reads: wherever the pieces end, every event is counted, and what is wrong is seen."""

from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.events import padded, wiki
from loadtests.response import RESERVED, ProtocolError, Response
from loadtests.stream import Inflated, Resumable, Sample, StreamReader, Tally

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def frame(seq: int) -> bytes:
    """A frame as the gateway writes it."""
    return b'event: message\nid: [{"topic":"load","partition":0,"offset":%d}]\ndata: %s\n\n' % (seq, padded(seq))


def chunked(body: bytes, size: int) -> bytes:
    """A whole answer in chunks of so many bytes, which end wherever they do."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return HEAD + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def receive(reader: StreamReader, answer: bytes, cuts: list[int], response: Response | None = None) -> Response:
    """Let the answer arrive in pieces that end at these places."""
    response = response or Response()
    buffer = bytearray(RESERVED + len(answer))
    places = sorted({0, len(answer), *(cut % len(answer) for cut in cuts)})
    for begin, end in pairwise(places):
        buffer[RESERVED : RESERVED + end - begin] = answer[begin:end]
        for start, stop in response.pieces(buffer, RESERVED + end - begin):
            reader.read(buffer, start, stop, 0)
    return response


CUTS = st.lists(st.integers(0, 1 << 20), max_size=40)


@given(CUTS, st.integers(20, 3000), st.integers(1, 6))
@pytest.mark.parametrize("make", [Tally, Sample, Resumable])
def test_every_event_is_counted_wherever_pieces_and_chunks_end(
    make: type[Tally | Sample], cuts: list[int], size: int, events: int
) -> None:
    reader = make()
    receive(reader, chunked(b"id: []\n\n" + b"".join(map(frame, range(events))), size), cuts)
    assert (reader.events, reader.following, reader.gaps, reader.repeated) == (events, events, 0, 0)


@given(CUTS)
def test_every_byte_may_come_alone(cuts: list[int]) -> None:
    reader = Tally()
    answer = chunked(frame(0) + frame(1), 700)
    receive(reader, answer, list(range(len(answer))))
    assert (reader.events, reader.gaps) == (2, 0)


@given(CUTS, st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_sample_and_tally_agree_on_whether_a_sequence_is_whole(cuts: list[int], sequence: list[int]) -> None:
    answer = chunked(b"".join(map(frame, sequence)), 5000)
    sample, tally = Sample(), Tally()
    receive(sample, answer, cuts)
    receive(tally, answer, [])
    whole = sequence == list(range(len(sequence)))
    assert sample.events == tally.events == len(sequence)
    assert (sample.gaps == sample.repeated == 0) == whole
    # One piece hides from a tally only what makes itself up between its first and last number.
    if tally.gaps == tally.repeated == 0:
        assert (sequence[0], sequence[-1]) == (0, len(sequence) - 1)


@pytest.mark.parametrize(
    ("sequence", "gaps", "repeated"),
    [([0, 1, 3], 1, 0), ([2], 2, 0), ([0, 1, 1, 2], 0, 1), ([0, 1, 2, 0], 0, 3)],
)
def test_a_tally_counts_what_is_missing_and_what_comes_twice(sequence: list[int], gaps: int, repeated: int) -> None:
    reader = Tally()
    for seq in sequence:
        buffer = bytearray(RESERVED) + frame(seq)
        reader.read(buffer, RESERVED, len(buffer), 0)
    assert (reader.gaps, reader.repeated) == (gaps, repeated)


def test_a_sparse_sample_knows_of_no_gap_but_of_a_repetition() -> None:
    reader = Sample(sparse=True)
    receive(reader, chunked(frame(3) + frame(7) + frame(7), 4000), [])
    assert (reader.events, reader.gaps, reader.repeated) == (3, 0, 1)


def test_a_sample_knows_each_delay() -> None:
    reader = Sample()
    payload = frame(0)
    sent = int(payload.partition(b'"sent":')[2].partition(b",")[0])
    buffer = bytearray(RESERVED) + payload
    reader.read(buffer, RESERVED, len(buffer), sent + 5_000_000)
    assert (list(reader.delays), list(reader.arrivals)) == ([5_000_000], [sent + 5_000_000])


@given(CUTS, st.integers(20, 3000))
def test_a_compressed_stream_is_inflated(cuts: list[int], size: int) -> None:
    deflate = zlib.compressobj(wbits=31)
    flushes = [deflate.compress(frame(seq)) + deflate.flush(zlib.Z_SYNC_FLUSH) for seq in range(3)]
    head = HEAD.replace(b"chunked", b"chunked\r\nContent-Encoding: gzip")
    reader = Inflated()
    receive(reader, head + chunked(b"".join(flushes), size)[len(HEAD) :], cuts, Response(b"gzip"))
    assert (reader.events, reader.gaps, reader.repeated) == (3, 0, 0)


def test_a_broken_compressed_stream_is_an_error() -> None:
    head = HEAD.replace(b"chunked", b"chunked\r\ncontent-encoding: gzip")
    with pytest.raises(zlib.error):
        receive(Inflated(), head + b"5\r\nplain\r\n", [], Response(b"gzip"))


@given(st.integers(0, 1 << 20), st.integers(100, 4000))
def test_what_was_cut_off_goes_on_after_its_last_whole_frame(cut: int, size: int) -> None:
    answer = chunked(b"id: start\n\n" + b"".join(map(frame, range(4))), size)
    place = answer.index(b"start\n\n") + 7 + cut % (len(answer) - answer.index(b"start\n\n") - 7)
    reader = Resumable()
    receive(reader, answer[:place], [])
    identifier = reader.cut()
    assert reader.events == reader.following
    expected = b'[{"topic":"load","partition":0,"offset":%d}]' % (reader.events - 1) if reader.events else b"start"
    assert identifier == expected
    receive(reader, chunked(b"".join(map(frame, range(reader.events, 4))) or b":\n\n", size), [])
    assert (reader.events, reader.gaps, reader.repeated) == (4, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n",
        b"x" * 20_000,
        HEAD + b"no chunk, and no end of its line" + b"." * 100,
    ],
)
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        receive(Tally(), answer, [])


def test_a_plain_answer_where_a_compressed_one_was_asked_for_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="gzip"):
        receive(Tally(), HEAD, [], Response(b"gzip"))


def test_the_end_of_a_response_is_seen() -> None:
    assert not receive(Tally(), chunked(frame(0), 100), []).ended
    assert receive(Tally(), chunked(frame(0), 100) + b"0\r\n\r\n", []).ended


def test_events_of_real_shape_are_counted() -> None:
    payload, reader = wiki(), Tally()
    receive(reader, chunked(b"".join(b"data: %s\n\n" % payload(seq) for seq in range(50)), 1000), [])
    assert (reader.events, reader.gaps, reader.repeated) == (50, 0, 0)
