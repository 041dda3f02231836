"""The keys in force: from a file, or fetched from a URL in the background and kept while that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.access.keys import KeySet, read_keys
from gateway.access.trust import Trust
from gateway.clock import Clock
from gateway.cooperative import give_way
from gateway.errors import KeysUnavailable
from gateway.observability import telemetry

RETRY_SECONDS = 10.0
"""After a fetch that failed."""
LOOK_INTERVAL = 30.0
"""Seconds between two fetches for the sake of keys that tokens name and nobody knows."""
LOOK_WAIT = 3.0
"""Seconds that a request waits for such a fetch."""


class Keyring:
    """`fetch` gives the document at an address and raises KeysUnavailable; `refresh` is in seconds."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[bytes]],
        clock: Clock,
        refresh: float,
        look_interval: float = LOOK_INTERVAL,
    ) -> None:
        self.keys = KeySet()
        self._fetch = fetch
        self._algorithms: tuple[str, ...] = ()
        self._clock = clock
        self._refresh = refresh
        self._look_interval = look_interval
        self._url: str | None = None
        self._document: bytes | None = None
        self._fetching = False
        self._begun = float("-inf")
        self._asked = asyncio.Event()
        self._fetched = asyncio.Event()

    def use(self, trust: Trust) -> None:
        """Take the keys from there from now on, for these algorithms; those of the same address are kept meanwhile."""
        algorithms = trust.terms.rules.algorithms
        others, self._algorithms = algorithms != self._algorithms, algorithms
        if trust.key_document is not None and (others or trust.key_document != self._document):
            self.keys = read_keys(trust.key_document, algorithms)
        elif trust.key_document is None and trust.key_url != self._url:
            self.keys = KeySet()
        self._document = trust.key_document
        if others or trust.key_url != self._url:
            self._url = trust.key_url
            self._begun = float("-inf")
            self._asked.set()

    async def run(self) -> None:
        """Fetch again and again; a failure changes nothing but the wait until the next."""
        while True:
            await give_way()
            self._asked.clear()
            wait = self._refresh
            if self._url is not None and not await self._fetch_once(self._url):
                wait = min(wait, RETRY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._asked.wait()

    async def look(self) -> None:
        """Return when the keys have been fetched because of an unknown one, or at once if the last fetch was too
        recent."""
        if self._url is None:
            return
        if not self._fetching:
            if self._clock.monotonic() - self._begun < self._look_interval:
                return
            self._asked.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_WAIT):
                await self._fetched.wait()

    async def _fetch_once(self, url: str) -> bool:
        self._fetching, self._begun = True, self._clock.monotonic()
        algorithms = self._algorithms
        try:
            # Reading keys is computing, which streams must not wait for.
            keys = await asyncio.to_thread(read_keys, await self._fetch(url), algorithms)
        except (KeysUnavailable, ValueError) as error:
            telemetry.keys_unavailable(error)
            return False
        else:
            if (url, algorithms) == (self._url, self._algorithms):
                telemetry.keys_fetched(len(keys), keys.notes if keys.ids != self.keys.ids else ())
                self.keys = keys
            return True
        finally:
            self._fetching = False
            fetched, self._fetched = self._fetched, asyncio.Event()
            fetched.set()
