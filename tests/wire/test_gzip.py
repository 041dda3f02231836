"""Compressed streams: whatever has arrived can be decoded, and the whole is one gzip member."""

from __future__ import annotations

import gzip as standard
import zlib

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import gzip

pieces = st.lists(st.binary(max_size=300), max_size=80)


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_checksums_are_joined_and_taken_apart(first: bytes, second: bytes) -> None:
    whole = zlib.crc32(first + second)
    assert gzip.combine(zlib.crc32(first), zlib.crc32(second), len(second)) == whole
    assert gzip.without_head(whole, zlib.crc32(first), len(second)) == zlib.crc32(second)


def test_a_checksum_of_much_data_is_joined() -> None:
    first, second = b"a" * 7, b"b" * (1 << 22)
    assert gzip.combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@given(pieces)
def test_each_flush_is_decodable_when_it_arrives(drawn: list[bytes]) -> None:
    decoder = zlib.decompressobj(31)
    decoder.decompress(gzip.HEADER)
    deflate = gzip.SharedDeflate()
    for index, piece in enumerate(drawn):
        data = gzip.independent(piece) if index % 3 == 2 else b""
        assert decoder.decompress(data) == (piece if data else b"")
    assert b"".join(drawn) == b"".join(zlib.decompressobj(-15).decompress(gzip.independent(piece)) for piece in drawn)
    chain = zlib.decompressobj(-15)
    for piece in drawn:
        assert chain.decompress(deflate.compress(piece)[0]) == piece


@given(pieces, st.integers(0, 79))
def test_a_late_joiner_goes_on_at_a_key_block(drawn: list[bytes], joins: int) -> None:
    """Blocks that stand alone until the next key block, then those of the chain."""
    deflate = gzip.SharedDeflate()
    compressed = gzip.HEADER
    received = b""
    keyed = False
    for index, piece in enumerate(drawn):
        block, is_key = deflate.compress(piece)
        assert is_key == (index % gzip.KEY_INTERVAL == 0)
        if index < joins:
            continue
        keyed = keyed or is_key
        compressed += block if keyed else gzip.independent(piece)
        received += piece
    compressed += gzip.trailer(zlib.crc32(received), len(received))
    assert standard.decompress(compressed) == received


def test_an_empty_member_is_a_member() -> None:
    assert standard.decompress(gzip.HEADER + gzip.trailer(0, 0)) == b""
