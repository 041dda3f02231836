"""Compact positions: what was written is read back, and no other text is read as a position."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import InvalidPosition
from gateway.model.position import (
    LARGEST_INTEGER,
    NOTHING_READ,
    SMALLEST_TIME,
    ConsumedPosition,
    Ids,
    PositionEncoder,
    RequestedPosition,
    parse_position,
)
from gateway.model.position.layout import HEADROOM, MOST_NAMES, MOST_PARTITIONS, WIDE_DIGITS
from gateway.model.position.token import CHECK_DIGITS, PREFIX, PRIME, TokenForm, _rest, _written
from gateway.model.record import TopicPartition

JSON, COMPACT = Ids("json"), Ids("compact")
NOW = 1_764_000_000_000
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

topics = st.text("abcxyz.-_ä√", min_size=1, max_size=20)
numbers = st.one_of(st.integers(0, 5), st.integers(0, LARGEST_INTEGER))
partitions = st.builds(TopicPartition, topics, numbers)
times = st.one_of(
    st.integers(NOW - 10_000, NOW), st.sampled_from([-1, 0, NOW * 1000]), st.integers(SMALLEST_TIME, LARGEST_INTEGER)
)
consumed_positions = st.one_of(
    st.just(NOTHING_READ), st.builds(ConsumedPosition, st.integers(-1, LARGEST_INTEGER), times, st.integers(0, 10**6))
)
requested = st.one_of(
    st.builds(RequestedPosition, st.none(), times, st.integers(0, LARGEST_INTEGER)),
    st.builds(RequestedPosition, st.integers(0, LARGEST_INTEGER), st.one_of(st.none(), times), st.just(0)),
)
positions = st.dictionaries(
    partitions, st.tuples(st.one_of(consumed_positions, requested), st.booleans()), min_size=1, max_size=12
)


def both(drawn: dict[TopicPartition, tuple[ConsumedPosition | RequestedPosition, bool]]) -> tuple[bytes, bytes]:
    by_timestamp = {partition: by for partition, (_, by) in drawn.items()}
    position = {partition: at for partition, (at, _) in drawn.items()}
    one, other = (PositionEncoder(by_timestamp, ids=ids).identifier(position) for ids in (JSON, COMPACT))
    return one, other


def token(position: dict[TopicPartition, ConsumedPosition]) -> str:
    return PositionEncoder(dict.fromkeys(position, False), ids=COMPACT).identifier(position).decode()


def many(count: int, topic: str = "eqiad.mediawiki.recentchange") -> dict[TopicPartition, ConsumedPosition]:
    return {TopicPartition(topic, n): ConsumedPosition(90_000_000 + 7919 * n, NOW - n * 13, 1) for n in range(count)}


def sealed(body: bytes) -> bytes:
    """With a checksum that is right: what a stranger can write who has read how."""
    return PREFIX + body + _written(_rest(body), CHECK_DIGITS)


@given(positions)
def test_both_forms_say_the_same(
    drawn: dict[TopicPartition, tuple[ConsumedPosition | RequestedPosition, bool]],
) -> None:
    text, compact = both(drawn)
    read = parse_position(text)
    assert parse_position(compact) == read
    assert read.keys() == drawn.keys()


@given(positions)
def test_a_token_stands_in_urls_and_headers_as_it_is(
    drawn: dict[TopicPartition, tuple[ConsumedPosition | RequestedPosition, bool]],
) -> None:
    _, compact = both(drawn)
    assert compact.startswith(PREFIX)
    assert set(compact.decode()) <= {*DIGITS, "."}


@given(positions)
def test_no_id_is_longer_than_foretold(
    drawn: dict[TopicPartition, tuple[ConsumedPosition | RequestedPosition, bool]],
) -> None:
    by_timestamp = {partition: by for partition, (_, by) in drawn.items()}
    for text, ids in zip(both(drawn), (JSON, COMPACT), strict=True):
        assert len(text) <= PositionEncoder(by_timestamp, ids=ids).longest


def test_the_longest_id_that_is_foretold_is_near_to_what_there_may_be() -> None:
    position = {
        partition: ConsumedPosition(LARGEST_INTEGER, SMALLEST_TIME if n % 2 else LARGEST_INTEGER)
        for n, partition in enumerate(many(700))
    }
    encoder = PositionEncoder(dict.fromkeys(position, False), ids=COMPACT)
    assert len(encoder.identifier(position)) <= encoder.longest < 1.3 * len(encoder.identifier(position))


@given(positions, st.data())
def test_a_letter_that_was_changed_is_refused(
    drawn: dict[TopicPartition, tuple[ConsumedPosition | RequestedPosition, bool]], data: st.DataObject
) -> None:
    text = both(drawn)[1].decode()
    index = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(max_codepoint=0x17F, exclude_characters=text[index] + "\0"))
    with pytest.raises(InvalidPosition):
        parse_position(text[:index] + letter + text[index + 1 :])


def test_every_change_of_one_letter_is_refused() -> None:
    text = token({TopicPartition("t", 0): ConsumedPosition(7, NOW), TopicPartition("u", 3): NOTHING_READ})
    for index, letter in enumerate(text):
        for other in DIGITS + "+/=. ":
            if other != letter:
                with pytest.raises(InvalidPosition):
                    parse_position(text[:index] + other + text[index + 1 :])


@given(positions, st.data())
def test_what_was_cut_or_put_in_is_refused(
    drawn: dict[TopicPartition, tuple[ConsumedPosition | RequestedPosition, bool]], data: st.DataObject
) -> None:
    text = both(drawn)[1].decode()
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    between = data.draw(st.text(DIGITS, max_size=3))
    changed = text[:begin] + between + text[end:]
    if changed != text:
        with pytest.raises(InvalidPosition):
            parse_position(changed)


def test_leading_zeroes_count() -> None:
    text = token({TopicPartition("t", 0): ConsumedPosition(7, NOW)})
    assert text[3] == "A"
    for changed in (text[:3] + text[4:], text[:3] + "A" + text[3:]):
        with pytest.raises(InvalidPosition, match="cut or changed"):
            parse_position(changed)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("p1.", "cut or changed"),
        ("p1.AAAA", "cut or changed"),
        ("p2.AAAAAAAAAAAA", "version p2; this server knows p1"),
        ("p10.AAAAAAAAAAAA", "version p10"),
        ("p01.AAAAAAAAAAAA", "version p01"),
        ("q1.AAAAAAAAAAAA", "neither JSON"),
        ("p1AAAA", "neither JSON"),
        ("p1.ä", "cut or changed"),
        ("p1.A+/=", "cut or changed"),
    ],
)
def test_what_is_no_token_is_told(text: str, detail: str) -> None:
    with pytest.raises(InvalidPosition, match=detail):
        parse_position(text)


@given(st.binary(max_size=60))
@example(b"")
def test_what_a_stranger_seals_is_a_position_or_refused(head: bytes) -> None:
    digits = _written(int.from_bytes(head, "big"), -(-len(head) // 3) * 4)
    for groups in range(len(digits) // 4 + 1):
        with suppress(InvalidPosition):
            read = parse_position(sealed(_written(groups, 4) + digits))
            for requested in read.values():
                assert requested.offset is None or 0 <= requested.offset <= LARGEST_INTEGER
                assert requested.timestamp is None or SMALLEST_TIME <= requested.timestamp <= LARGEST_INTEGER


def head_of(*numbers: int | bytes) -> bytes:
    data = b"".join(bytes([one]) if isinstance(one, int) else one for one in numbers)
    data += bytes(-len(data) % 3)
    return _written(len(data) // 3, 4) + _written(int.from_bytes(data, "big"), len(data) // 3 * 4)


EMPTY_SHAPE = (1, 0, 0, 0)
MANY = b"\x80\x80\x80\x01"
"""2 ** 21, of which the lowest bit says that no more runs follow: so half of that."""


@pytest.mark.parametrize(
    ("head", "detail"),
    [
        (head_of(*EMPTY_SHAPE, 1, 0, 1, b"t", MANY, 1), f"more than {MOST_PARTITIONS}"),
        (head_of(*EMPTY_SHAPE, 2, 0, 1, b"t", 2, 1, 1, 0, 2, 1), "not in order"),
        (head_of(*EMPTY_SHAPE, 2, 0, 1, b"t", 2, 1, 0, 1, b"s", 2, 1), "not in order"),
        (head_of(*EMPTY_SHAPE, 1, 0, 1, b"\xff", 2, 1), "not a string"),
        (head_of(*EMPTY_SHAPE, 1, 0, 200, b"t"), "too large|in the middle"),
        (head_of(*EMPTY_SHAPE, 1, 0, 1, b"t", 2, 2), "too large"),
        (head_of(*EMPTY_SHAPE, 1, 0, 1, b"t", 2, 1, b"\0\0\0\0"), "longer than what it says"),
        (head_of(0, 0), "cut or changed"),
        (head_of(b"\xff" * 30), "too large"),
    ],
)
def test_a_head_that_nobody_wrote_is_refused_before_it_costs_anything(head: bytes, detail: str) -> None:
    with pytest.raises(InvalidPosition, match=detail):
        parse_position(sealed(head))


def test_topics_that_grow_by_what_they_share_are_bounded() -> None:
    parts: list[int | bytes] = [*EMPTY_SHAPE, b"\x80\x08", 0, b"\x80\x20", b"a" * 4096, 2, 1]
    for n in range(1023):
        parts += [b"\x80\x20", 2, b"%c%c" % (33 + n // 90, 33 + n % 90), 2, 1]
    assert MOST_NAMES < 1024 * 4096
    with pytest.raises(InvalidPosition, match="too long"):
        parse_position(sealed(head_of(*parts)))


def test_the_prime_is_one() -> None:
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for witness in (2, 3, 5, 7, 11, 13, 17):  # Enough below 3.4 * 10**14 (Jaeschke, 1993).
        powers = [pow(witness, odd << times, PRIME) for times in range(twos)]
        assert powers[0] == 1 or PRIME - 1 in powers


steps = st.lists(st.tuples(st.integers(0, 3), consumed_positions), max_size=30)


@given(st.lists(consumed_positions, min_size=4, max_size=4), steps)
def test_a_pen_writes_what_is_written_afresh(
    begin: list[ConsumedPosition], moves: list[tuple[int, ConsumedPosition]]
) -> None:
    names = [TopicPartition(topic, number) for topic in "ab" for number in range(2)]
    encoder = PositionEncoder(dict.fromkeys(names, False), ids=COMPACT)
    position = dict(zip(names, begin, strict=True))
    pen = encoder.pen(position)
    for index, consumed in moves:
        position[names[index]] = consumed
        pen.put(index, encoder.requested(names[index], consumed))
        assert parse_position(pen.text()) == parse_position(encoder.identifier(position))


def test_only_a_slot_and_the_checksum_change_from_id_to_id() -> None:
    position: dict[TopicPartition, ConsumedPosition] = many(700)
    encoder = PositionEncoder(dict.fromkeys(position, False), ids=COMPACT)
    pen = encoder.pen(position)
    before = pen.text()
    pen.put(350, RequestedPosition(95_000_000, NOW + 5))
    after = pen.text()
    changed = [index for index, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    slots = [index for index in changed if index < len(after) - CHECK_DIGITS]
    assert 0 < slots[-1] - slots[0] < 10


def test_a_token_is_short() -> None:
    assert len(token(many(700))) < 6_000
    assert len(token(dict.fromkeys(many(700), NOTHING_READ))) < 100
    one_each = {
        TopicPartition(f"eqiad.mediawiki.page-{n:02}", 0): ConsumedPosition(10**9 + n, NOW - 10**7 * n)
        for n in range(100)
    }
    assert len(token(one_each)) < 3_000


def test_odd_times_of_a_few_make_no_slot_of_the_others_wider() -> None:
    position = many(700)
    plain = len(token(position))
    odd = dict(list(position.items())[::100])
    for time in (-1, 0, NOW * 1000, SMALLEST_TIME, LARGEST_INTEGER):
        assert len(
            token(position | {partition: consumed._replace(timestamp=time) for partition, consumed in odd.items()})
        ) < plain + 40 * len(odd)


def test_times_that_go_on_change_the_layout_now_and_then() -> None:
    position = many(64)
    form = TokenForm(dict.fromkeys(position, False))
    pen = form.pen([RequestedPosition(consumed.offset, consumed.timestamp) for consumed in position.values()])
    heads = set()
    sizes = []
    for step in range(4 * 64):
        pen.put(step % 64, RequestedPosition(91_000_000 + step, NOW + step * HEADROOM // 16))
        heads.add(pen._layout.head)
        sizes.append(len(pen.text()))
    assert len(heads) < 40
    assert max(sizes) < sizes[0] + 64 // 8 * WIDE_DIGITS + 64


def test_beyond_a_length_ids_are_compact_but_where_json_is_asked_for() -> None:
    few, lots = dict.fromkeys(many(12), False), dict.fromkeys(many(40), False)
    assert not PositionEncoder(few).compact
    assert PositionEncoder(few, ids=Ids("compact")).compact
    assert PositionEncoder(few, ids=Ids(None, 500)).compact
    assert PositionEncoder(lots).compact
    assert not PositionEncoder(lots, ids=Ids("json")).compact
    assert not PositionEncoder(lots, ids=Ids(None, 100_000)).compact
