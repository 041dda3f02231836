"""Lines of files and pipes."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.lines import BEGINNING_BYTES, Input, InputError, Line, LineSplitter, Unpacker


async def lines(source: Input) -> list[Line]:
    """All lines of an input."""
    return [line async for part in source.parts(asyncio.Event()) for line in part]


@given(st.binary(max_size=200).map(lambda data: data.replace(b"x", b"\n")), st.lists(st.integers(0, 200)))
def test_lines_do_not_depend_on_how_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    splitter = LineSplitter()
    ends = sorted({*(cut for cut in cuts if cut < len(data)), 0, len(data)})
    found = [line for first, last in pairwise(ends) for line in splitter.feed(data[first:last])]
    found += splitter.finish()
    wanted = data.split(b"\n")
    if not wanted[-1]:
        wanted.pop()
    assert [line.data for line in found] == wanted
    assert [line.number for line in found] == list(range(1, len(wanted) + 1))
    assert all(line.length == len(line.data) for line in found)


def test_of_a_long_line_only_the_beginning_is_kept() -> None:
    splitter = LineSplitter(maximum=1000)
    assert splitter.feed(b"first\nab") == [Line(1, b"first", 5)]
    tracemalloc.start()
    piece = b"c" * 1000
    for _ in range(10_000):
        assert splitter.feed(piece) == []
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    long, last = splitter.feed(b"\nlast\n")
    assert long == Line(2, b"ab" + b"c" * (BEGINNING_BYTES - 2), 10_000_002)
    assert last == Line(3, b"last", 4)


def test_a_line_of_just_the_longest_length_is_whole() -> None:
    splitter = LineSplitter(maximum=10)
    whole, longer = splitter.feed(b"0123456789\n0123456789a\n")
    assert len(whole.data) == whole.length == 10
    assert longer.length == 11


@pytest.mark.parametrize("compressed", [True, False])
async def test_a_file(tmp_path: Path, compressed: bool) -> None:
    data = b"".join(b"line %d\n" % number for number in range(100_000)) + b"last"
    path = tmp_path / "lines"
    path.write_bytes(gzip.compress(data[:500_000]) + gzip.compress(data[500_000:]) if compressed else data)
    with path.open("rb") as file:
        source = Input(file)
        found = await lines(source)
    assert b"\n".join(line.data for line in found) == data
    assert source.size == source.taken == path.stat().st_size


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\n", b"\x1f\x8a\n", b"x"])
async def test_a_short_input(data: bytes) -> None:
    found = await lines(Input(io.BytesIO(data)))
    assert [line.data for line in found] == ([data.rstrip(b"\n")] if data else [])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "in the middle"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-1] + b"\xff", "no whole gzip data"),
        (b"\x1f\x8bnot gzip", "no whole gzip data"),
        (gzip.compress(b"x\n", mtime=0) + b"rest", "no whole gzip data"),
    ],
)
async def test_broken_compression(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        await lines(Input(io.BytesIO(data)))


async def test_zeros_after_a_member_are_padding() -> None:
    assert [line.data for line in await lines(Input(io.BytesIO(gzip.compress(b"x\n") + bytes(512))))] == [b"x"]


def test_what_is_unpacked_comes_in_bounded_parts() -> None:
    bomb = gzip.compress(bytes(200_000_000))
    tracemalloc.start()
    assert sum(len(part) for part in Unpacker().feed(bomb)) == 200_000_000
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


async def test_a_pipe_gives_lines_as_they_come_and_can_be_stopped() -> None:
    read, write = os.pipe()
    stop = asyncio.Event()
    with os.fdopen(read, "rb") as file:
        source = Input(file)
        assert source.size is None
        parts = source.parts(stop)
        os.write(write, b"one\ntwo\nthr")
        assert [line.data for line in await anext(parts)] == [b"one", b"two"]
        coming = asyncio.ensure_future(anext(parts, None))
        await asyncio.sleep(0)
        os.write(write, b"ee\n")
        assert await coming == [Line(3, b"three", 5)]
        coming = asyncio.ensure_future(anext(parts, None))
        await asyncio.sleep(0)
        stop.set()
        assert await coming is None
        assert source.taken == 14
    os.close(write)


async def test_an_input_that_cannot_be_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, pytest.raises(InputError, match="Bad file descriptor"):
        await lines(Input(file))
