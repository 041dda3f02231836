"""Bodies are expanded up to a bound, whatever they hold."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.intake.body import Expander, coding, media_type

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BOUND = 1 << 20
CODERS: dict[str, Any] = {"identity": bytes, "gzip": gzip.compress, "zstd": zstd.compress}


def expanded(name: str, body: bytes, size: int = 4096, bound: int = BOUND) -> bytes:
    expander = Expander(name, bound)
    for start in range(0, len(body), size):
        expander.feed(body[start : start + size])
    return expander.finish()


@given(st.binary(max_size=3000), st.sampled_from(sorted(CODERS)), st.integers(1, 3000))
def test_what_was_coded_comes_back_in_whatever_parts_it_came(data: bytes, name: str, size: int) -> None:
    assert expanded(name, CODERS[name](data * 50), size) == data * 50


@given(st.binary(max_size=200), st.sampled_from(["gzip", "zstd"]), st.integers(1, 50))
def test_anything_else_is_a_problem(data: bytes, name: str, size: int) -> None:
    if not data:
        # That it is empty is told by whoever reads what is in it.
        assert expanded(name, data, size) == b""
        return
    with pytest.raises(Problem) as caught:
        expanded(name, data, size)
    assert (caught.value.status, caught.value.parameter) == (400, "Content-Encoding")


SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
"""A frame that says nothing (RFC 8878 section 3.1.2)."""


@given(
    st.lists(st.binary(max_size=3000), min_size=1, max_size=5), st.sampled_from(["gzip", "zstd"]), st.integers(1, 99)
)
def test_several_members_are_one_body(parts: list[bytes], name: str, size: int) -> None:
    between = SKIPPABLE if name == "zstd" else b""
    body = between.join(CODERS[name](part) for part in parts)
    assert expanded(name, body + between, size) == b"".join(parts)
    assert expanded(name, between + body, len(body)) == b"".join(parts)
    assert expanded(name, body + CODERS[name](b""), size) == b"".join(parts)
    with pytest.raises(Problem, match="it is cut off"):
        expanded(name, body + CODERS[name](b"more")[:-1], size)
    with pytest.raises(Problem, match=f"not valid {name} data"):
        expanded(name, body + b"more", size)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_the_bounds_count_over_all_members(name: str) -> None:
    with pytest.raises(Problem) as caught:
        expanded(name, CODERS[name](b"x" * (BOUND // 2)) * 3)
    assert caught.value.status == 413
    assert expanded(name, CODERS[name](b"x") * 1000) == b"x" * 1000
    with pytest.raises(Problem, match="more than 1000 members or frames"):
        expanded(name, CODERS[name](b"x") * 1001)


def test_zeros_behind_a_member_are_padding() -> None:
    body = gzip.compress(b"a") + bytes(1000)
    assert expanded("gzip", body, 7) == b"a"
    assert expanded("gzip", body + gzip.compress(b"b"), 7) == b"ab"


@pytest.mark.parametrize("name", sorted(CODERS))
def test_the_bound_is_exact(name: str) -> None:
    assert len(expanded(name, CODERS[name](b"x" * BOUND))) == BOUND
    with pytest.raises(Problem) as caught:
        expanded(name, CODERS[name](b"x" * (BOUND + 1)))
    assert caught.value.status == 413


def _gzip_bomb() -> bytes:
    """A gigabyte of zeros: the same deflate block again and again."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    first = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH)
    return first + again * 1023


def _zstd_bomb() -> bytes:
    """A gigabyte of zeros in blocks of one repeated byte (RFC 8878 section 3.1.1.2.2), 128 KB each."""
    window, block = b"\x28\xb5\x2f\xfd\x00\x58", ((1 << 17) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return window + block * (1 << 13)


@pytest.mark.parametrize(("name", "bomb"), [("gzip", _gzip_bomb()), ("zstd", _zstd_bomb())], ids=["gzip", "zstd"])
def test_a_bomb_takes_no_memory(name: str, bomb: bytes) -> None:
    assert len(bomb) < BOUND * 2
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            expanded(name, bomb, 65_536, BOUND * 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 3 * BOUND


def test_a_window_that_is_too_large_is_refused() -> None:
    body = zstd.compress(b"x" * 100_000, options={zstd.CompressionParameter.window_log: 27})
    # It is no larger than what is in it, where that is known.
    assert expanded("zstd", body) == b"x" * 100_000
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    with pytest.raises(Problem) as caught:
        expanded("zstd", compressor.compress(b"x") + compressor.flush())
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/json", "application/json"),
        (" Application/JSON ; charset=UTF-8", "application/json"),
        ('text/plain;charset="utf-8";x=y', "text/plain"),
        ("application/reports+json; charset=us-ascii", "application/reports+json"),
    ],
)
def test_media_types(header: str, expected: str) -> None:
    assert media_type(header) == expected


@pytest.mark.parametrize("header", [None, "", " ", "json", "text/plain; charset=latin-1", "application/json+x"])
def test_other_media_types(header: str | None) -> None:
    with pytest.raises(Problem) as caught:
        media_type(header)
    assert (caught.value.status, caught.value.headers["accept"].split(", ")[0]) == (415, "application/json")


def test_codings() -> None:
    assert [coding(header) for header in (None, "", "identity", "GZIP", " zstd ", "x-gzip")] == [
        "identity", "identity", "identity", "gzip", "zstd", "gzip",
    ]  # fmt: skip
    with pytest.raises(Problem) as caught:
        coding("deflate")
    assert (caught.value.status, caught.value.headers) == (415, {"accept-encoding": "gzip, zstd"})
