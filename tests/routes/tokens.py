"""What the tests of tokens share: public and private streams, and tokens for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.access.static import digest_of, read_static_tokens
from gateway.access.trust import Trust
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.eventlog.memory.log import MemoryLog
from tests.access.kit import AUDIENCE, ISSUER, claims, document, public_jwk, signed
from tests.kit.waiting import becomes
from tests.routes.intake import change
from tests.routes.kit import PATIENCE, Site, running, stored

STREAMS = (
    Stream("news", ("news",), ("latest",)),
    Stream("open", ("open",), schema_title="wiki/change"),
    Stream("secret", ("hidden",), ("secrets", "lates"), schema_title="wiki/change", public=False),
    Stream("secret.other", ("other",), public=False),
    Stream("newsroom", ("newsroom",), public=False),
    Stream("quux.hidden", ("quux",), public=False),
)
STATIC = "static-token-of-thirty-two-characters"
TOKENS = {"board": {"sha256": digest_of(STATIC).hex(), "read": ["secret"], "write": ["secret"]}}
SETTINGS: dict[str, Any] = {"static_tokens": TOKENS, "token_audience": AUDIENCE, "token_issuer": ISSUER}


def token(lifetime: float = 60, **more: Any) -> str:
    """A good one for `secret`."""
    return signed(claims(int(time.time() * 1000), lifetime, **more))


def bearer(text: str) -> dict[str, str]:
    """The header for it."""
    return {"authorization": f"Bearer {text}"}


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Site]:
    """A gateway with public and private streams, five events in each."""
    log = MemoryLog()
    # Answers of one gateway are held against those of another: the log is told apart by nothing.
    log._identity = "the same in all"
    for stream in STREAMS:
        for topic in stream.topics:
            log.create_topic(topic)
            log.append_now(topic, [stored(number) for number in range(5)])
    given = {**SETTINGS, **settings}
    async with running(log, STREAMS, admin=True, **given) as site:
        definitions = site.gateway.current.definitions
        terms = definitions.trust.terms
        trust = Trust(read_static_tokens(given["static_tokens"]), document(public_jwk("first")), terms=terms)
        await site.gateway.take(Definitions(definitions.catalog, definitions.schemas, None, trust))
        await becomes(lambda: site.gateway.hub.available)
        yield site


def names(response: httpx.Response) -> list[str]:
    """The streams of the catalogue."""
    return [stream["name"] for stream in response.json()]


async def post(site: Site, stream: str, shown: str | None) -> httpx.Response:
    headers = {} if shown is None else bearer(shown)
    async with asyncio.timeout(PATIENCE):
        return await site.client.post("/v1/events", json=change(stream=stream), headers=headers)
