"""Events that are not one a line: arrays, and objects over several lines."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.produce.entry import BEGINNING_BYTES, Entry
from gateway.produce.lines import CHUNK_BYTES, Input, LineSplitter, Splitter
from gateway.produce.packed import InputError
from gateway.produce.values import ValueSplitter, are_lines

TEXTS = st.text(st.sampled_from('ab"\\{}[],:\n é'), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
CUTS = st.lists(st.integers(0, 400), max_size=20)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({*(one for one in cuts if one < len(data)), 0, len(data)})
    return [data[first:last] for first, last in pairwise(ends)]


def found(splitter: ValueSplitter | Splitter, chunks: list[bytes]) -> list[Entry]:
    entries = [entry for chunk in chunks for entry in splitter.feed(chunk)]
    return entries + splitter.finish()


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 0, 2]), CUTS)
def test_the_elements_of_an_array(values: list[Any], indent: int | None, cuts: list[int]) -> None:
    splitter = ValueSplitter()
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    entries = found(splitter, cut(text.encode(), cuts))
    assert splitter.fault is None
    assert [json.loads(entry.data) for entry in entries] == values
    assert [entry.number for entry in entries] == list(range(1, len(values) + 1))
    assert all(entry.length == len(entry.data) for entry in entries)
    if indent is None:
        assert all(entry.line == 1 for entry in entries)


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=5), CUTS)
def test_objects_that_follow_each_other(values: list[Any], cuts: list[int]) -> None:
    splitter = ValueSplitter()
    texts = [json.dumps(value, indent=1) for value in values]
    entries = found(splitter, cut("\n".join(texts).encode(), cuts))
    assert [entry.data.decode() for entry in entries] == texts
    assert splitter.fault is None
    begins = [1 + sum(text.count("\n") + 1 for text in texts[:number]) for number in range(len(texts))]
    assert [entry.line for entry in entries] == begins


@given(st.text(st.sampled_from('[]{},:"\\\n 1a'), max_size=40).map(str.encode), CUTS)
@example(b'["\\\\"]', [3])
@example(b'["\\\\",1]', [4])
def test_how_the_bytes_come_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    whole, parts = ValueSplitter(), ValueSplitter()
    assert found(whole, [data]) == found(parts, cut(data, cuts))
    assert whole.fault == parts.fault


@pytest.mark.parametrize(
    ("text", "numbers", "fault"),
    [
        ('[\n{"n":1}\n{"n":2}]', 1, "line 3: neither a comma nor the end of the array follows the event"),
        ('[{"n":1},,{"n":2}]', 1, "line 1: an event is missing before ','"),
        ('[{"n":1},\n]', 1, "line 2: an event is missing before ']'"),
        ('[{"n":1}\n\n', 1, "line 3: the array does not end"),
        ('[{"n":1},\n{"n":\n', 1, "line 2: the event that begins here does not end"),
        ('{\n"n":1}\n}\n', 1, "line 3: no event begins with '}'"),
        ('{\n"n":1},\n{"n":2}', 1, "line 2: no event begins with ','"),
        ("[}", 0, "line 1: no event begins with '}'"),
        ('["a', 0, "line 1: the event that begins here does not end"),
        ("[", 0, "line 1: the array does not end"),
        ("[]", 0, None),
        ("[ ] [1]\n{}", 2, None),
        ("[1, nonsense ]", 2, None),
        ('[{"n":1]]', 1, None),
    ],
)
def test_a_mistake_between_events_is_told_with_its_line(text: str, numbers: int, fault: str | None) -> None:
    splitter = ValueSplitter()
    assert len(found(splitter, [text.encode()])) == numbers
    assert splitter.fault == fault


@pytest.mark.parametrize(
    ("beginning", "lines"),
    [
        (b"", None),
        (b" \n\n", None),
        (b"\n [", False),
        (b'[{"n":1}]', False),
        (b"{", None),
        (b"{\n", False),
        (b'{ "n": [\r\n', False),
        (b'{"n": 1,\n', False),
        (b'{"n": 1}\n{\n', True),
        (b'{"n": \n', True),
        (b"{}\n", True),
        (b"nonsense", True),
        (b"\xef\xbb\xbf[", True),
    ],
)
def test_the_beginning_tells_whether_events_are_lines(beginning: bytes, lines: bool | None) -> None:
    assert are_lines(beginning) is lines


@given(CUTS)
def test_lines_stay_lines(cuts: list[int]) -> None:
    data = b'\n{"n":1}\n[\n{\n{"n":2}'
    lines = LineSplitter()
    assert found(Splitter(), cut(data, cuts)) == lines.feed(data) + lines.finish()


def test_a_first_line_without_end_is_not_held_for_ever() -> None:
    splitter = Splitter()
    piece = b'{"n":"' + b"x" * CHUNK_BYTES
    assert splitter.feed(piece) == []
    assert [entry.length for entry in splitter.feed(b"\n")] == [len(piece)]


def test_of_a_giant_value_only_the_beginning_is_held() -> None:
    splitter = ValueSplitter(maximum=1000)
    assert splitter.feed(b'[ {"n":"') == []
    tracemalloc.start()
    piece = b'c\\"' * 1000
    for _ in range(2_000):
        assert splitter.feed(piece) == []
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    giant, last = splitter.feed(b'"}, 7]')
    assert giant == Entry(1, (b'{"n":"' + piece)[:BEGINNING_BYTES], 6 + 6_000_000 + 2, 1)
    assert last == Entry(2, b"7", 1, 1)


async def test_an_input_counts_events_and_passes_over_the_first() -> None:
    source = Input(io.BytesIO(b'[{"n":1}, {"n":2},\n{"n":3}'))
    parts = source.parts(asyncio.Event(), skip=1)
    entries = await anext(parts) + await anext(parts)
    with pytest.raises(InputError, match="line 2: the array does not end"):
        await anext(parts)
    assert [(entry.data, entry.place) for entry in entries] == [
        (b'{"n":2}', "event 2 (line 1)"),
        (b'{"n":3}', "event 3 (line 2)"),
    ]
    assert (source.unit, source.count) == ("event", 3)
