"""Recognises events that come back: in a circle of mirrors, each mirror reads again what it has written.

A mirror changes no byte of an event and keeps its time, so both together identify an event that returns. If the event
has a `meta.id`, it is left out. If it has none, it may be another event that looks the same, and is copied. But when
hardly any other event arrives, a circle is the only explanation.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping

from gateway.client import ClientError
from gateway.errors import BadRecord
from gateway.model.event import parse_event

SLOTS = 2**20
"""Digests that are remembered at the most, in 8 MB: each until another takes its slot. So of events that return after a
million others a third is still known, and a circle dies away."""

SAMPLED = 1024
"""One of this many events is remembered for 128 times as long, in 1 MB more. If mirrors of a circle begin with the
whole history, an event returns after millions of others."""

MOST_DOUBTS = 1000
MOST_SAMPLES = 100
"""The excess of returned events, and samples, over new ones at which the mirror ends."""

CIRCLE = "nearly all that comes has come before: mirrors form a circle, of which this one is a part"


class MirrorsItself(ClientError):
    """The mirror reads its own copies."""


class Returns:
    """Remembers what came from a source, and says what is to be left out."""

    def __init__(self, slots: int = SLOTS, most_doubts: int = MOST_DOUBTS) -> None:
        self._slots = array("Q", bytes(8 * slots))
        self._sampled = array("Q", bytes(slots))
        self._most_doubts = most_doubts
        self._doubts = 0
        self._samples = 0
        self._last = 0

    def begin_batch(self) -> None:
        """Later events came at another moment. Equal events beside each other come from their sender, and not round
        a circle."""
        self._last = 0

    def has_returned(self, data: bytes, time: int | None) -> bool:
        """Whether this event, with the time (ms) of its record in the source, has come before and is to be left out.
        Raises MirrorsItself."""
        digest = _digest(data)
        if not _remember(self._slots, digest):
            self._doubts = max(0, self._doubts - 1)
            if digest % SAMPLED == 0:
                self._judge_sample(digest // SAMPLED)
            return False
        if _has_id(data):
            return True
        last, self._last = self._last, digest
        if time is not None and _remember(self._slots, _digest(b"%d %b" % (time, data))) and digest != last:
            self._doubts += 1
            if self._doubts >= self._most_doubts:
                raise MirrorsItself(CIRCLE)
        return False

    def _judge_sample(self, digest: int) -> None:
        self._samples = max(0, self._samples + (1 if _remember(self._sampled, digest) else -1))
        if self._samples >= MOST_SAMPLES:
            raise MirrorsItself(CIRCLE)


def _remember(slots: array[int], digest: int) -> bool:
    """Whether it was remembered already."""
    slot = digest % len(slots)
    known = slots[slot] == digest
    slots[slot] = digest
    return known


def _digest(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


def _has_id(data: bytes) -> bool:
    try:
        meta = parse_event(data).get("meta")
    except BadRecord:
        return False
    return isinstance(meta, Mapping) and isinstance(meta.get("id"), str) and meta["id"] != ""
