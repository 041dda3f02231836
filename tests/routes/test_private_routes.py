"""What is private has no name outside: every route of the public port, whatever it is asked, answers as if there were
no private streams. The routes come from the table that the port is made of, so that a new one is asked too."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from gateway.access.trust import Trust
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.eventlog.memory.log import MemoryLog
from gateway.eventlog.trouble import Kind, Trouble
from gateway.model.record import TopicPartition
from gateway.routes.events import EVENTS_PATH
from tests.access.kit import AUDIENCE, ISSUER, document, public_jwk
from tests.kit.waiting import becomes
from tests.routes.intake import change
from tests.routes.kit import Site, position, running, stored
from tests.routes.tokens import bearer, token

PUBLIC = (
    Stream("news", ("news",), ("latest",)),
    Stream("secrecy", ("secrecy",), schema_title="wiki/change", message_key_fields=("user.name",)),
)
GRANTED = (Stream("mine", ("mine",), schema_title="wiki/change", public=False),)
"""Private too, and named by the token of whoever shows one."""
PRIVATE = (
    Stream("secret", ("hidden",), ("secrets", "lates"), "Sealed", "Of the cellar.", "wiki/change", public=False),
    Stream("newsroom", ("newsroom",), public=False),
    Stream("cellar.errors", ("cellar-errors",), schema_title="gateway/error", public=False),
    Stream("cellar.reports", ("cellar-reports",), schema_title="browser/report", public=False),
)

NAMED = ("secret", "secrets", "newsroo", "hidden", "newsroom", "cellar.errors", "news,secret", "secret,nothing")
NAMES = ("*", "news", *NAMED, "secrte", "s*t", "*room", "?ecret", "lates", "%73ecret", "secret,")
FULLY = 4
"""So many paths of a route are asked with every query, the others with one."""
PARTS = {
    "name": ("base.css", *NAMES),
    "version": ("newest",),
    "path": ("wiki/change", "wiki/change/latest", "wiki/change/secret", "secret/latest", *NAMED),
}
"""What is put into the parts of a path, that which finds something first. Of other parts, all names are."""
RANGE = "since=1&until=2026-01-01"
QUERIES = (
    RANGE,
    f"{RANGE}&limit=3",
    f"{RANGE}&limit=0",
    f"{RANGE}&filter=topic%20==%20%22hidden%22%20||%20partition%20==%200",
    f"{RANGE}&filter=event.secret.cellar%20>%20secrets",
    f"{RANGE}&filter=stream%20==%20%22secret%22",
    f"{RANGE}&fields=secret..cellar",
    f"{RANGE}&fields=number,secret",
    f"{RANGE}&secret=1",
    f"{RANGE}&by=topic&step=1h&stream=secret",
    "since=secret&until=secrets",
    f"{RANGE}&last_event_id={position(('hidden', 0, 3, None))}",
    f"{RANGE}&last_event_id={position(('news', 0, -1, 0), ('hidden', 0, 3, None))}",
    f"{RANGE}&last_event_id={position(('newsroom', 7, 3, None))}",
    f"{RANGE}&last_event_id={position(('of.nobody', 0, 3, None))}",
    f"{RANGE}&access_token=a.b.c",
)
BODIES = (
    b'[{"meta": {"stream": "secret"}}, 5, ',
    b'[{"$schema": "/gateway/error/1.0.0", "meta": {"stream": "cellar.errors"}}, {"meta": {"stream": "secrte"}}]',
)
EVENTS = [change(1, stream) | {"meta": {"id": "one", "stream": stream}} for stream in (*NAMED, "secrecy", "of.nobody")]
HEADERS = (
    *({"accept": kind} for kind in ("application/x-ndjson", "text/html", "text/csv")),
    *({"last-event-id": text} for text in (position(("hidden", 0, 3, None)), position(("of.nobody", 0, 3, None)), "a")),
)
DETAIL = "broker1.cellar:9092 refuses"


@asynccontextmanager
async def site(*streams: Stream) -> AsyncIterator[Site]:
    """All topics are there, and sick as a topic can be where they are private, whether streams name them or not."""
    log = MemoryLog()
    log._identity = "the same in all"
    for stream in (*PUBLIC, *GRANTED, *PRIVATE):
        (topic,) = stream.topics
        log.create_topic(topic)
        log.append_now(topic, [stored(number) for number in range(5 if stream in PUBLIC else 50)])
    settings: dict[str, Any] = {
        "error_stream": "cellar.errors",
        "token_audience": AUDIENCE,
        "token_issuer": ISSUER,
        "heartbeat": 15.0,
    }
    async with running(log, streams, **settings) as here:
        gateway = here.gateway
        now = gateway.current.definitions
        trust = Trust(key_document=document(public_jwk("first")), terms=now.trust.terms)
        await gateway.take(Definitions(now.catalog, now.schemas, now.error_stream, trust))
        await becomes(lambda: gateway.hub.available and gateway.hub.filled.is_set())
        sick = [TopicPartition(stream.topics[0], 0) for stream in streams if stream in PRIVATE]
        gateway.watch.stuck = sick[:2]
        gateway.hub.recovery.sick = dict.fromkeys(sick, Trouble(Kind.NO_RIGHT, DETAIL))
        gateway.intake.failing.update({place.topic: Trouble(Kind.DISK_FULL, DETAIL) for place in sick})
        yield here


def requests(here: Site) -> Iterator[httpx.Request]:
    """Everything that is asked."""
    for route in here.gateway.public_routes(here.gateway.operations()):
        parts = re.findall(r"{(\w+)(?::\w+)?}", route.path)
        for number, given in enumerate(itertools.product(*(PARTS.get(part, NAMES) for part in parts))):
            path = re.sub("{[^}]*}", "%s", route.path) % given
            for method in ("HEAD", "OPTIONS", "PUT", "DELETE"):
                yield here.client.build_request(method, path)
            for query in QUERIES if number < FULLY else QUERIES[:1]:
                yield here.client.build_request("GET", f"{path}?{query}")
            if number < FULLY:
                yield from (here.client.build_request("GET", f"{path}?{RANGE}", headers=more) for more in HEADERS)
            yield here.client.build_request("POST", path, json=EVENTS[0])
            if path == EVENTS_PATH:
                yield from (here.client.build_request("POST", path, json=event) for event in [*EVENTS, EVENTS])
                kinds = [{"content-type": kind} for kind in ("text/plain", "application/reports+json")]
                for content, kind in itertools.product(BODIES, kinds):
                    yield here.client.build_request("POST", path, content=content, headers=kind)
    yield here.client.build_request("GET", "/metrics")
    yield here.client.build_request("GET", "/-/connections")


async def answers(here: Site, shown: str | None) -> list[tuple[str, int, str, str]]:
    """What comes for each, but for what is another each time."""
    found = []
    for request in requests(here):
        # Documents name the address that they are asked under.
        request.headers["host"] = "gateway.example"
        if shown is not None:
            request.headers.update(bearer(shown))
        answer = await here.client.send(request)
        headers = [f"{name}: {value}" for name, value in answer.headers.items() if name not in ("date", "x-request-id")]
        what = f"{request.method} {request.url.raw_path.decode()} {request.headers} {request.content.decode()}"
        body = re.sub(r'"end":\d+', "", answer.text)
        found.append((what, answer.status_code, "\n".join(headers), body))
    return found


async def told(shown: str | None, *without: Stream) -> None:
    async with site(*without) as here:
        expected = await answers(here, shown)
    async with site(*without, *PRIVATE) as here:
        found = await answers(here, shown)
    for one, other in zip(found, expected, strict=True):
        assert one == other
    assert {200, 400, 404, 405, 406} <= {status for _, status, _, _ in found}
    # Private words stand in what repeats the request alone.
    asked = re.compile("newsroo|cellar")
    assert not [
        what for what, _, headers, body in found if not asked.search(unquote(what)) and asked.search(headers + body)
    ]


async def test_updates_of_the_rates_name_none_either() -> None:
    async def shown(*streams: Stream) -> dict[str, Any]:
        events = {"accept": "text/event-stream"}
        async with site(*streams) as here, here.stream("/explorer/rates", headers=events) as updates:
            return dict((await updates.message())["data"]["streams"])

    assert set(await shown(*PUBLIC)) == {"news", "secrecy"}
    assert await shown(*PUBLIC, *PRIVATE) == await shown(*PUBLIC)


@pytest.mark.long
async def test_a_stranger_cannot_tell_a_private_stream_from_none() -> None:
    await told(None, *PUBLIC)


@pytest.mark.long
async def test_nor_can_who_shows_a_token_for_another() -> None:
    await told(token(3600, read_streams=["mine"], write_streams=["mine"]), *PUBLIC, *GRANTED)
