"""Claims of one process, or of several gateways in one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from gateway.claims.book import Book
from gateway.claims.port import AskedClaim, ClaimsAway, Standing
from gateway.clock import Clock


class MemoryClaims:
    """Claims in a book, which may be that of others too. With `available = False` it raises ClaimsAway. `sure`: see
    Claims; False where other gateways write to the log and have no part in the book."""

    def __init__(self, book: Book, clock: Clock, sure: bool = True) -> None:
        self._book = book
        self._clock = clock
        self._holder = uuid.uuid4().bytes
        self.sure = sure
        self.available = True

    async def take(self, asked: Sequence[AskedClaim]) -> list[Standing]:
        """See Claims."""
        return self._checked().take(self._holder, asked, self._clock.monotonic())

    async def renew(self, ids: Sequence[bytes]) -> list[bool]:
        """See Claims."""
        return self._checked().renew(self._holder, ids, self._clock.monotonic())

    async def settle(self, stored: Sequence[bytes], freed: Sequence[bytes]) -> None:
        """See Claims."""
        self._checked().settle(self._holder, stored, freed, self._clock.monotonic())

    async def bind(self, name: bytes, value: bytes) -> bytes:
        """See Keys."""
        return self._checked().bind(name, value, self._clock.monotonic())

    async def run(self) -> None:
        """See Claims."""
        await asyncio.Event().wait()  # nothing to do

    async def close(self) -> None:
        """Nothing to release."""

    def _checked(self) -> Book:
        if not self.available:
            raise ClaimsAway("the claims in memory are set unavailable")
        return self._book
