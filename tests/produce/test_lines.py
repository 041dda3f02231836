"""Lines of files and pipes."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import os
import random
import sys
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.produce.entry import BEGINNING_BYTES, Entry
from gateway.produce.lines import Input, LineSplitter
from gateway.produce.packed import InputError, Unpacker
from gateway.wire.members import PART_BYTES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Pack = Callable[[bytes], bytes]
PACKS: list[Pack] = [gzip.compress, bz2.compress, lzma.compress, zstd.compress]


async def lines(source: Input) -> list[Entry]:
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
    assert splitter.feed(b"first\nab") == [Entry(1, b"first", 5)]
    tracemalloc.start()
    piece = b"c" * 1000
    for _ in range(10_000):
        assert splitter.feed(piece) == []
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    long, last = splitter.feed(b"\nlast\n")
    assert long == Entry(2, b"ab" + b"c" * (BEGINNING_BYTES - 2), 10_000_002)
    assert last == Entry(3, b"last", 4)


def test_a_line_of_just_the_longest_length_is_whole() -> None:
    splitter = LineSplitter(maximum=10)
    whole, longer = splitter.feed(b"0123456789\n0123456789a\n")
    assert len(whole.data) == whole.length == 10
    assert longer.length == 11


@pytest.mark.long
@pytest.mark.parametrize("pack", [bytes, *PACKS])
async def test_a_file(tmp_path: Path, pack: Pack) -> None:
    data = b"".join(b"line %d\n" % number for number in range(100_000)) + b"last"
    path = tmp_path / "lines"
    path.write_bytes(pack(data[:500_000]) + pack(data[500_000:]))
    with path.open("rb") as file:
        source = Input(file)
        found = await lines(source)
    assert b"\n".join(line.data for line in found) == data
    assert source.size == source.taken == path.stat().st_size
    assert source.count == 100_001


@pytest.mark.long
@pytest.mark.parametrize("pack", [bytes, *PACKS])
@pytest.mark.parametrize("skip", [0, 1, 6000, 9999, 10_000, 10_001])
async def test_the_first_lines_are_passed_over_and_counted(pack: Pack, skip: int) -> None:
    data = b"".join(b"line %d\n" % number for number in range(1, 10_001))
    source = Input(io.BytesIO(pack(data)))
    found = [line async for part in source.parts(asyncio.Event(), skip) for line in part]
    assert [line.number for line in found] == list(range(skip + 1, 10_001))
    assert all(line.data == b"line %d" % line.number for line in found)
    assert source.count == 10_000


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\n", b"\x1f\x8a\n", b"x", b"BZ", b"\xfd7zX", b"\x28\xb5", b"{}"])
async def test_a_short_input(data: bytes) -> None:
    found = await lines(Input(io.BytesIO(data)))
    assert [line.data for line in found] == ([data.rstrip(b"\n")] if data else [])


def test_a_short_line_is_not_held_back() -> None:
    assert list(Unpacker().feed(b"1\n")) == [b"1\n"]
    assert list(Unpacker().feed(b"B")) == [], "it may become bzip2"


@pytest.mark.parametrize("pack", PACKS)
async def test_broken_compression(pack: Pack) -> None:
    name = {gzip.compress: "gzip", bz2.compress: "bzip2", lzma.compress: "xz", zstd.compress: "zstd"}[pack]
    whole = pack(random.Random(1).randbytes(10_000))
    for data, said in (
        (whole[:-9], "in the middle"),
        (whole[:200], "in the middle"),
        (whole[:10] + bytes(50), f"not valid {name} data|in the middle"),
        (whole + b"rest of another kind", f"not valid {name} data"),
    ):
        with pytest.raises(InputError, match=said):
            await lines(Input(io.BytesIO(data)))


@pytest.mark.parametrize("pack", PACKS)
async def test_zeros_after_a_member_are_padding(pack: Pack) -> None:
    assert [line.data for line in await lines(Input(io.BytesIO(pack(b"x\n") + bytes(512))))] == [b"x"]


async def test_frames_of_zstd_that_are_to_be_skipped() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"size"
    packed = (skipped + zstd.compress(b"x\n")) * 2
    assert [line.data for line in await lines(Input(io.BytesIO(packed)))] == [b"x", b"x"]


@pytest.mark.long
@pytest.mark.parametrize("pack", PACKS)
def test_what_is_unpacked_comes_in_bounded_parts(pack: Pack) -> None:
    unpacker = Unpacker()
    parts = [len(part) for part in unpacker.feed(pack(bytes(20_000_000)))]
    assert sum(parts) == 20_000_000
    assert max(parts) <= PART_BYTES
    assert list(unpacker.finish()) == []


@pytest.mark.long
def test_a_bomb_takes_no_memory() -> None:
    bomb = gzip.compress(bytes(200_000_000))
    tracemalloc.start()
    assert sum(len(part) for part in Unpacker().feed(bomb)) == 200_000_000
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("pack", PACKS)
def test_bytes_may_come_one_by_one(pack: Pack) -> None:
    data = b"one\ntwo\n" * 100
    unpacker = Unpacker()
    packed = pack(data) + pack(data)
    found = b"".join(part for number in range(len(packed)) for part in unpacker.feed(packed[number : number + 1]))
    assert found + b"".join(unpacker.finish()) == 2 * data


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
        assert await coming == [Entry(3, b"three", 5)]
        coming = asyncio.ensure_future(anext(parts, None))
        await asyncio.sleep(0)
        stop.set()
        assert await coming is None
        assert source.taken == 14
    os.close(write)


async def test_an_input_that_cannot_be_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, pytest.raises(InputError, match="Bad file descriptor"):
        await lines(Input(file))
