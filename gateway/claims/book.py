"""The rules of claims, in memory. Pure: the time is given, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.claims.port import LEASE_SECONDS, AskedClaim, ClaimState, Standing


@dataclass(slots=True)
class Entry:
    """A claim as it is kept. Without a holder the event is stored; `until` is when it lapses otherwise."""

    at: float
    holder: bytes
    until: float


def standing(entry: Entry, holder: bytes, lapsed: bytes, now: float) -> Standing:
    """How a claim that is there stands for somebody; see ClaimState."""
    if not entry.holder:
        return Standing(ClaimState.STORED)
    if entry.holder == holder:
        return Standing(ClaimState.OWN)
    if entry.until > now:
        return Standing(ClaimState.HELD)
    return Standing(ClaimState.OWN) if entry.holder == lapsed else Standing(ClaimState.LAPSED, entry.holder)


class Book:
    """All claims of the last `seconds`, and of the `maximum` newest."""

    def __init__(self, seconds: float, maximum: int) -> None:
        self._seconds = seconds
        self._maximum = max(1, maximum)
        self._entries: dict[bytes, Entry] = {}
        self._values: dict[bytes, tuple[float, bytes]] = {}

    def __len__(self) -> int:
        return len(self._entries) + len(self._values)

    def take(self, holder: bytes, asked: Sequence[AskedClaim], now: float) -> list[Standing]:
        """See Claims."""
        return [self._take(holder, one, now) for one in asked]

    def renew(self, holder: bytes, ids: Sequence[bytes], now: float) -> list[bool]:
        """See Claims."""
        held = []
        for each in ids:
            entry = self._find(each, now)
            held.append(entry is not None and entry.holder == holder)
            if entry is not None and entry.holder == holder:
                entry.until = now + LEASE_SECONDS
        return held

    def settle(self, holder: bytes, stored: Sequence[bytes], freed: Sequence[bytes], now: float) -> None:
        """See Claims."""
        for each in stored:
            entry = self._find(each, now)
            if entry is None:
                self._add(each, Entry(now, b"", 0.0), now)
            else:
                entry.holder = b""
        for each in freed:
            entry = self._find(each, now)
            if entry is not None and entry.holder == holder:
                del self._entries[each]

    def bind(self, name: bytes, value: bytes, now: float) -> bytes:
        """See Keys."""
        at, bound = self._values.get(name, (0.0, b""))
        if bound and now - at < self._seconds:
            return bound
        self._values.pop(name, None)
        self._values[name] = now, value
        while len(self._values) > self._maximum:
            del self._values[next(iter(self._values))]
        return value

    def _take(self, holder: bytes, asked: AskedClaim, now: float) -> Standing:
        entry = self._find(asked.id, now)
        if entry is None:
            self._add(asked.id, Entry(now, holder, now + LEASE_SECONDS), now)
            return Standing(ClaimState.OWN)
        found = standing(entry, holder, asked.lapsed, now)
        if found.kind is ClaimState.OWN:
            entry.holder, entry.until = holder, now + LEASE_SECONDS
        return found

    def _find(self, claim: bytes, now: float) -> Entry | None:
        entry = self._entries.get(claim)
        if entry is not None and now - entry.at >= self._seconds:
            del self._entries[claim]
            return None
        return entry

    def _add(self, claim: bytes, entry: Entry, now: float) -> None:
        self._entries[claim] = entry
        while self._entries:
            oldest = next(iter(self._entries))
            if len(self._entries) <= self._maximum and now - self._entries[oldest].at < self._seconds:
                return
            del self._entries[oldest]
