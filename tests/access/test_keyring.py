"""Keys from an address: fetched in the background, again for one that is unknown, and kept while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from gateway.access.keyring import Keyring
from gateway.access.signed import Rules
from gateway.access.trust import Terms, Trust
from gateway.errors import KeysUnavailable
from tests.access.kit import document, public_jwk
from tests.kit.clock import HandClock
from tests.kit.waiting import becomes

URL = "https://issuer.example/keys"


class Issuer:
    """What stands at an address; None where it is away."""

    def __init__(self, *names: str) -> None:
        self.document: bytes | None = document(*map(public_jwk, names)) if names else None
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        await self.gate.wait()
        if self.document is None:
            raise KeysUnavailable("away")
        return self.document


@asynccontextmanager
async def keyring(
    issuer: Issuer, clock: HandClock, trust: Trust | None = None, refresh: float = 3600
) -> AsyncIterator[Keyring]:
    ring = Keyring(issuer, clock, refresh)
    ring.use(trust or Trust(key_url=URL))
    task = asyncio.create_task(ring.run())
    try:
        yield ring
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_keys_are_fetched_at_the_start() -> None:
    issuer = Issuer("a")
    async with keyring(issuer, HandClock()) as ring:
        await becomes(lambda: bool(ring.keys.ids))
        assert ring.keys.ids == {"a"}
        assert issuer.asked == [URL]


async def test_they_are_fetched_again_and_again() -> None:
    issuer = Issuer("a")
    async with keyring(issuer, HandClock(), refresh=0.01) as ring:
        await becomes(lambda: len(issuer.asked) > 2)
        issuer.document = document(public_jwk("b"))
        await becomes(lambda: ring.keys.ids == {"b"})


async def test_old_keys_are_kept_while_the_address_is_away() -> None:
    issuer, clock = Issuer("a"), HandClock()
    async with keyring(issuer, clock, refresh=0.01) as ring:
        await becomes(lambda: bool(ring.keys.ids))
        for broken in (None, b"", b"<html>", document()):
            issuer.document = broken
            begun = len(issuer.asked)
            await becomes(lambda begun=begun: len(issuer.asked) > begun + 1)  # type: ignore[misc]
            assert ring.keys.ids == {"a"}


async def test_an_unknown_key_is_looked_for_once_in_a_while() -> None:
    issuer, clock = Issuer("a"), HandClock()
    async with keyring(issuer, clock) as ring:
        await becomes(lambda: bool(ring.keys.ids))
        issuer.document = document(public_jwk("b"))
        # Too soon after the last time.
        for _ in range(100):
            await ring.look()
        assert len(issuer.asked) == 1
        assert ring.keys.ids == {"a"}
        clock.advance(31)
        # Many that ask at once wait for the same.
        await asyncio.gather(*(ring.look() for _ in range(100)))
        assert len(issuer.asked) == 2
        assert ring.keys.ids == {"b"}
        await ring.look()
        assert len(issuer.asked) == 2


async def test_whoever_comes_during_a_fetch_waits_for_it() -> None:
    issuer = Issuer("a")
    issuer.gate.clear()
    async with keyring(issuer, HandClock()) as ring:
        await becomes(lambda: bool(issuer.asked))
        looking = asyncio.create_task(ring.look())
        await asyncio.sleep(0)
        assert not looking.done()
        issuer.gate.set()
        await looking
        assert ring.keys.ids == {"a"}
        assert len(issuer.asked) == 1


async def test_a_reload_may_name_other_keys() -> None:
    issuer = Issuer("a")
    async with keyring(issuer, HandClock()) as ring:
        await becomes(lambda: bool(ring.keys.ids))
        keys = ring.keys
        ring.use(Trust(key_url=URL))
        assert ring.keys is keys
        issuer.document = document(public_jwk("b"))
        ring.use(Trust(key_url=URL + "2"))
        # Those of another address are not trusted any more.
        assert not ring.keys
        await becomes(lambda: ring.keys.ids == {"b"})
        ring.use(Trust(key_document=document(public_jwk("c"))))
        assert ring.keys.ids == {"c"}
        await ring.look()
        assert issuer.asked == [URL, URL + "2"]


@pytest.mark.parametrize("from_file", [True, False])
async def test_a_reload_may_allow_other_algorithms(from_file: bool) -> None:
    """Keys are read for the algorithms that are allowed, and are read again where others are."""
    issuer = Issuer("a")
    issuer.document = both = document(public_jwk("a"), public_jwk("ed", "OKP"))
    place = Trust(key_document=both) if from_file else Trust(key_url=URL)
    async with keyring(issuer, HandClock(), replace(place, terms=Terms(Rules(algorithms=("ES256",))))) as ring:
        await becomes(lambda: ring.keys.ids == {"a"})
        ring.use(replace(place, terms=Terms(Rules(algorithms=("EdDSA",)))))
        await becomes(lambda: ring.keys.ids == {"ed"})


async def test_what_comes_from_an_address_of_before_is_not_used() -> None:
    issuer = Issuer("a")
    issuer.gate.clear()
    async with keyring(issuer, HandClock()) as ring:
        await becomes(lambda: bool(issuer.asked))
        ring.use(Trust(key_document=document(public_jwk("c"))))
        issuer.gate.set()
        await ring._fetched.wait()
        assert ring.keys.ids == {"c"}
