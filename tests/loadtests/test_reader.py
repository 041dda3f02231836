"""What the load client reads: wherever the pieces end, every event is counted, and what is wrong is seen."""

from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.client import COUNTED, GZIP, INFLATED, RESUMES, SAMPLED, SPARSE, Client, Reader, State
from loadtests.events import padded, wiki
from tests.loadtests.compiler import needs_compiler

pytestmark = needs_compiler

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MOMENT = 1_800_000_000_000_000_000


def frame(seq: int) -> bytes:
    """A frame as the gateway writes it."""
    return b'event: message\nid: [{"topic":"load","partition":0,"offset":%d}]\ndata: %s\n\n' % (seq, padded(seq))


def chunked(body: bytes, size: int) -> bytes:
    """A whole answer in chunks of so many bytes, which end wherever they do."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return HEAD + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


class Stream:
    """A client of a reader, fed by hand."""

    def __init__(self, flags: int = COUNTED) -> None:
        self.reader = Reader()
        self.state = State(flags=flags)
        self.reader.begin(self.state, -1)

    def receive(self, answer: bytes, cuts: list[int] = []) -> str:  # noqa: B006
        """Let the answer arrive in pieces that end at these places; what is wrong with it."""
        places = sorted({0, len(answer), *(cut % len(answer) for cut in cuts)})
        for begin, end in pairwise(places):
            fault = self.reader.take_in(self.state, answer[begin:end], MOMENT)
        return fault

    @property
    def counts(self) -> tuple[int, int, int, int]:
        state = self.state
        return state.events, state.following, state.gaps, state.repeated


CUTS = st.lists(st.integers(0, 1 << 20), max_size=40)


@given(CUTS, st.integers(20, 3000), st.integers(1, 6))
def test_every_event_is_counted_wherever_pieces_and_chunks_end(cuts: list[int], size: int, events: int) -> None:
    stream = Stream()
    assert not stream.receive(chunked(b"id: []\n\n" + b"".join(map(frame, range(events))), size), cuts)
    assert stream.counts == (events, events, 0, 0)
    assert (stream.reader.events, stream.reader.waiting) == (events, 0)


def test_every_byte_may_come_alone() -> None:
    stream, answer = Stream(), chunked(frame(0) + frame(1), 700)
    assert not stream.receive(answer, list(range(len(answer))))
    assert stream.counts == (2, 2, 0, 0)
    assert stream.state.received == len(answer)


@given(CUTS)
def test_a_response_may_be_without_chunks(cuts: list[int]) -> None:
    stream = Stream()
    assert not stream.receive(b"HTTP/1.1 200 OK\r\n\r\n" + frame(0) + frame(1), cuts)
    assert stream.counts == (2, 2, 0, 0)


@given(CUTS, st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_whatever_is_not_the_whole_sequence_is_seen(cuts: list[int], sequence: list[int]) -> None:
    stream = Stream()
    stream.receive(chunked(b"".join(map(frame, sequence)), 5000), cuts)
    events, _, gaps, repeated = stream.counts
    assert events == len(sequence)
    assert (gaps == repeated == 0) == (sequence == list(range(len(sequence))))


@pytest.mark.parametrize(
    ("sequence", "gaps", "repeated"),
    [([0, 1, 3], 1, 0), ([2], 2, 0), ([0, 1, 1, 2], 0, 1), ([0, 1, 2, 0], 0, 1), ([0, 2, 1, 3], 1, 1)],
)
def test_what_is_missing_and_what_comes_twice_is_counted(sequence: list[int], gaps: int, repeated: int) -> None:
    stream = Stream()
    stream.receive(chunked(b"".join(map(frame, sequence)), 100_000))
    assert stream.counts[2:] == (gaps, repeated)


def test_a_sparse_stream_has_no_gap_but_a_repetition() -> None:
    stream = Stream(COUNTED | SPARSE)
    stream.receive(chunked(frame(3) + frame(7) + frame(7), 4000))
    assert stream.counts == (3, 8, 0, 1)


@given(CUTS)
def test_a_sample_knows_when_each_event_was_sent_and_came(cuts: list[int]) -> None:
    stream = Stream(COUNTED | SAMPLED)
    frames = [frame(seq) for seq in range(300)]
    stream.receive(chunked(b"".join(frames), 4000), cuts)
    sent, came = Client(0, None, stream.state).samples  # type: ignore[arg-type]
    stream.reader.forget(stream.state)
    assert list(sent) == [int(one.partition(b'"sent":')[2].partition(b",")[0]) for one in frames]
    assert list(came) == [MOMENT] * 300


CODED = b"\r\ncontent-encoding: gzip\r\n\r\n"


@given(CUTS, st.integers(20, 3000))
def test_a_compressed_stream_is_inflated(cuts: list[int], size: int) -> None:
    deflate = zlib.compressobj(wbits=31)
    flushes = [deflate.compress(frame(seq)) + deflate.flush(zlib.Z_SYNC_FLUSH) for seq in range(3)]
    stream = Stream(COUNTED | GZIP | INFLATED)
    assert not stream.receive(HEAD[:-4] + CODED + chunked(b"".join(flushes), size)[len(HEAD) :], cuts)
    assert stream.counts == (3, 3, 0, 0)


@given(st.integers(0, 1 << 20), st.integers(100, 4000))
def test_what_was_cut_off_goes_on_after_its_last_whole_frame(cut: int, size: int) -> None:
    answer = chunked(b"id: start\n\n" + b"".join(map(frame, range(4))), size)
    place = answer.index(b"start\n\n") + 7 + cut % (len(answer) - answer.index(b"start\n\n") - 7)
    stream = Stream(COUNTED | RESUMES)
    stream.receive(answer[:place])
    events = stream.state.events
    assert events == stream.state.following
    expected = b'[{"topic":"load","partition":0,"offset":%d}]' % (events - 1) if events else b"start"
    assert stream.state.id == expected
    stream.reader.begin(stream.state, -1)
    assert not stream.receive(chunked(b"".join(map(frame, range(events, 4))) or b":\n\n", size))
    assert stream.counts == (4, 4, 0, 0)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\n\r\n", "answered HTTP/1.1 503"),
        (b"HTTP/1.1 2000\r\n", "answered HTTP/1.1 2000"),
        (b"x" * 20_000, "a line without an end"),
        (b"HTTP/1.1 200 OK\r\n" + b"name: value\r\n" * 2000, "a head without an end"),
        (HEAD + b"no chunk, and no end of its line" + b"." * 1000, "a line without an end: no chunk"),
        (HEAD + b"chunk?\r\n", "not a chunk: chunk"),
        (HEAD + b"3\r\n:\n\nmore\r\n", "not the end of a chunk: more"),
        (chunked(frame(0), 100) + b"0\r\n\r\n", "the server ended the stream"),
        (chunked(b"data: something else\n\n", 100), "not the head of an event: data: something else"),
        (chunked(b'data: {"seq":1,"sent":2}\n\n', 100), "not the head of an event"),
        (chunked(frame(0).replace(b"\n\n", b"\n" + frame(1)), 9000), "not the head of an event"),
        (chunked(b"event: gap\ndata: {}\n\n", 100), "not an event of the load: event: gap"),
        (HEAD[:-4] + CODED, "coded as gzip"),
    ],
)
def test_what_is_no_stream_of_events_is_a_fault(answer: bytes, fault: str) -> None:
    assert Stream().receive(answer).startswith(fault)


def test_a_plain_answer_where_a_compressed_one_was_asked_for_is_a_fault() -> None:
    assert Stream(GZIP).receive(HEAD) == "not coded as gzip"


def test_a_broken_compressed_stream_is_a_fault() -> None:
    fault = Stream(GZIP | INFLATED).receive(HEAD[:-4] + CODED + b"5\r\nplain\r\n")
    assert fault.startswith("not gzip")


def test_events_of_real_shape_are_counted() -> None:
    payload, stream = wiki(), Stream()
    assert not stream.receive(chunked(b"".join(b"data: %s\n\n" % payload(seq) for seq in range(50)), 1000))
    assert stream.counts == (50, 50, 0, 0)
