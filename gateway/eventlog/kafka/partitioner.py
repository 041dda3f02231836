"""Chooses the partition of a record by its key, the same that Kafka's other clients choose."""

from __future__ import annotations

from struct import Struct

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_MASK = 0xFFFFFFFF
_WORD = Struct("<I")


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's Java client and aiokafka have it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """The 32 bits of Austin Appleby's MurmurHash2 with Kafka's seed."""
    length = len(key)
    hashed = _SEED ^ length
    whole = length & ~3
    for (word,) in _WORD.iter_unpack(key[:whole]):
        mixed = word * _FACTOR & _MASK
        hashed = (hashed * _FACTOR ^ (mixed ^ mixed >> 24) * _FACTOR) & _MASK
    if whole < length:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _MASK
    hashed = (hashed ^ hashed >> 13) * _FACTOR & _MASK
    return hashed ^ hashed >> 15
