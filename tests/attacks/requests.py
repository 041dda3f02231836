"""Attacks by requests. See Force."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from gateway.demo.wiki import WikiSample
from tests.attacks.force import BUFFER, Force, get, post, stream

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
TRICKLE = 0.2
"""Seconds between two bytes of a head that never ends."""


def _cycle(force: Force, requests: list[bytes]) -> Callable[[int], Any]:
    turns = itertools.cycle(requests)
    return lambda number: force.ask(next(turns), number)


async def slow(force: Force) -> None:
    """Heads and bodies that come a byte at a time, and connections on which nothing is said."""
    begun = [b"", get("/healthz")[:-2], post(b"{}")[:-2], b"GET /v2/str", post(b"x" * 4_000_000)[:9000]]

    async def behave(number: int) -> None:
        async with force.connection(number) as (reader, writer):
            writer.write(begun[number % len(begun)])
            for byte in itertools.cycle(b"x: yyyyyyyy\r\n"):
                if number % len(begun) and not writer.is_closing():
                    writer.write(bytes([byte]))
                with suppress(TimeoutError):
                    async with asyncio.timeout(TRICKLE):
                        await force.head(reader)
                        return

    await force.crowd(force.options.count, behave, pause=0.1)


async def broken(force: Force) -> None:
    """What is no request, is two at once, is half closed, or is more than one."""
    random = force.random
    lengths = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
    kinds = [
        random.randbytes(3000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + random.randbytes(500),
        HEALTH * 2000,
        HEALTH + random.randbytes(2000),
        lengths + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH,
        lengths + b"content-length: 6\r\n\r\n123456",
        lengths + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 9000,
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n a: folded\r\nx: a\rb\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nhost: \xff\r\n\r\n",
        b"GET /v2/streams/%ff%00%c0%af/../../etc HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\norigin: \xff\r\naccess-control-request-headers: "
        + b"a," * 9000
        + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3000 + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade, close\r\nexpect: 100-continue\r\n\r\n",
    ]
    turns = itertools.cycle(kinds)

    async def behave(number: int) -> None:
        async with force.connection(number) as (reader, writer):
            writer.write(next(turns))
            if number % 3 == 0:
                with suppress(OSError):
                    writer.write_eof()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await force.head(reader)

    await force.crowd(40, behave)


async def positions(force: Force) -> None:
    """Ids of thousands of entries, deep ones, long ones, and ones of partitions and offsets that nobody has."""

    def entries(count: int, **more: Any) -> str:
        return json.dumps([{"topic": "hostile", "partition": n, "offset": n, **more} for n in range(count)])

    ids = [
        entries(10_000)[:65_000],
        entries(1000),
        entries(1500, timestamp=1)[:65_000],
        "[" * 60_000,
        '[{"topic":"' + "x" * 60_000 + '","partition":0,"offset":1}]',
        '[{"topic":"hostile","partition":' + "9" * 60_000 + ',"offset":1}]',
        '[{"topic":"hostile","partition":0,"timestamp":1,"seen":' + "9" * 4000 + "}]",
        json.dumps([{"topic": f"t{number}", "partition": 0, "offset": 1} for number in range(1200)]),
        json.dumps([{"topic": "hostile", "partition": 0, "timestamp": 2**63 - 1, "offset": 2**63 - 1}]),
        json.dumps([{"topic": "hostile", "partition": 0, "timestamp": -(2**63)}]),
        json.dumps([{"topic": "hostile", "partition": 0, "offset": "1", "a": [[[[]]]] * 5000}])[:65_000],
    ]
    requests = [
        *(get(stream("plain,hostile"), Last_Event_ID=one) for one in ids),
        *(get(stream("hostile", lastEventId=one[:50_000])) for one in ids),
    ]
    await force.crowd(20, _cycle(force, requests))


async def refused(force: Force) -> None:
    """Requests that are refused, in a loop: whoever is refused must not be dearer than who is served."""
    names = ",".join(f"wiki.chang{number}" for number in range(99))
    requests = [
        get(stream("plain", filter="'\\" * 2000)),
        get(stream("plain", filter="event.a.matches('[')")),
        get(stream("plain", filter="size(" * 31 + "event" + ")" * 31)),
        get(stream("plain", since="x" * 50_000)),
        get(stream("plain", since="9" * 5000)),
        get(stream("plain", until="1h", since="P" * 4000)),
        get(stream("plain", limit="9" * 5000)),
        get(stream("plain", fields="a." * 20_000)),
        get(stream("plain", fields=",".join(["a" * 20] * 5000))),
        get(stream(names)),
        get(stream("plai" * 5000)),
        get(stream(",".join(["*" * 20 + "x"] * 99))),
        get(stream("*?" * 500 + "q")),
        get("/v2/stream/plain?" + "&".join(f"p{number}=1" for number in range(20_000))),
        get("/v2/stream/plain?" + "since=1h&" * 5000),
        get("/v2/streams/" + "wiki.chang" * 3000),
        get("/v2/schemas/" + "wiki/" * 5000 + "latest"),
        get("/v2/schemas/wiki/change/" + "1." * 5000),
        get("/explorer/" + "a" * 5000 + "/main.js"),
        get("/" + "a/" * 20_000),
        get(stream("plain"), accept=",".join(f"a{number}/b;q=0.{number % 10}" for number in range(9000))),
        get(stream("plain"), accept="text/html"),
        get(stream("plain"), accept_encoding="gzip;q=0." + "1" * 50_000),
        get(stream("plain"), authorization="Bearer " + "a" * 8000),
        get(stream("plain"), authorization="Bearer " + "eyJhbGciOiJSUzI1NiJ9." * 3),
        get("/v2/stream/plain?access_token=" + "a.b.c" * 1000),
        get(stream("plain"), x_forwarded_for=",".join(["1.2.3.4"] * 5000), forwarded="for=" + '"' * 9000),
        get(stream("plain"), x_request_id="\u00e9" * 3000),
    ]
    await force.crowd(20, _cycle(force, requests))


async def patterns(force: Force) -> None:
    """Globs over all streams there are, as many as may be asked for at once."""
    globs = [
        ",".join(f"*{number}*" for number in range(100)),
        "*",
        "s*,*1*,*2*",
        "?" * 6,
        ",".join(["s*?*?*?*9"] * 100),
    ]
    requests = [get(stream(glob, limit=1, since="1h")) for glob in globs]
    await force.crowd(20, _cycle(force, requests))


async def catalogue(force: Force) -> None:
    """Whatever tells of all streams, their schemas and their rates, again and again."""
    targets = (
        "/v2/streams",
        "/v2/streams/plain",
        "/v2/streams/s7",
        "/v2/streams/wiki.change",
        "/v2/schemas",
        "/v2/schemas/wiki/change/latest",
        "/openapi.json",
        "/asyncapi.json",
        "/docs",
        "/",
        "/explorer/rates",
        "/readyz",
    )
    requests = [
        get(target, accept=kind) for target in targets for kind in ("application/json, */*;q=0.1", "text/html, */*")
    ]
    await force.crowd(20, _cycle(force, requests))


async def connections(force: Force) -> None:
    """Connections by the hundred, most of which say nothing, and go again at once or after a while."""

    async def behave(number: int) -> None:
        async with force.connection(number) as (reader, writer):
            if number % 4 == 0:
                writer.write(HEALTH)
                await force.head(reader)
            elif number % 4 == 1:
                writer.write(get(stream("plain,hostile", since="1h")))
            elif number % 4 == 2:
                await asyncio.sleep(force.random.random())

    await force.crowd(force.options.count, behave, pause=0.1)


def next_event(seed: int) -> dict[str, Any]:
    """An event that the intake takes."""
    return next(_events(seed))


def _events(seed: int) -> Iterator[dict[str, Any]]:
    sample = WikiSample(seed, 1_700_000_000_000)
    while True:
        event, _ = sample.next(1_700_000_000_000)
        event["meta"]["stream"] = "wiki.change"
        yield event


def _near_four_megabytes(seed: int) -> bytes:
    events = itertools.islice(_events(seed), 900)
    return json.dumps([{**event, "comment": "x" * 3200} for event in events]).encode()[: 4 << 20]


async def intake(force: Force) -> None:
    """Bodies of nearly 4 MB of good events, bombs, deep ones, ones of another kind."""
    good = next_event(1)
    bodies = [
        post(_near_four_megabytes(1)),
        post(_near_four_megabytes(2)),
        post(gzip.compress(b"0" * (1 << 27)), "content-encoding: gzip"),
        post(gzip.compress(json.dumps([good] * 1000).encode()), "content-encoding: gzip"),
        post(gzip.compress(b"") * 50_000, "content-encoding: gzip"),
        post(gzip.compress(b"[{}]")[:-9], "content-encoding: gzip"),
        post(b"\x28\xb5\x2f\xfd" + b"\xff" * 1000, "content-encoding: zstd"),
        post(b"{}", "content-encoding: " + "gzip," * 5000),
        post(b"[" * 4_000_000),
        post(b'{"a":' * 700_000),
        post(b"[" + b"{}," * 1_300_000 + b"{}]"),
        post(b"[" + b"0," * 2_000_000 + b"0]"),
        post(b"{" + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}"),
        post(json.dumps({**good, "comment": "x" * 3_900_000}).encode()),
        post(json.dumps([{**good, "$schema": f"/wiki/{number}/1.0.0"} for number in range(1000)]).encode()),
        post(json.dumps([{**good, "length": {"old": [[[[number]]]]}} for number in range(1000)]).encode()),
        post(b"\xff" * 1_000_000),
        post(b"{}", kind="application/x-www-form-urlencoded"),
        post(b"{}", kind="application/json;" + "a=b;" * 9000),
        post(b'[{"type":"x","body":{}}]' * 1000, kind="application/reports+json"),
        post(json.dumps([good] * 1000).encode(), "authorization: Bearer " + "a.b.c" * 500),
    ]
    await force.crowd(force.options.count, _cycle(force, bodies), pause=0.05)


async def repeated(force: Force) -> None:
    """Small requests with a new key each, some of which come again."""
    events, made = _events(3), itertools.count()

    async def behave(number: int) -> None:
        event = next(events)
        if number % 2:
            del event["meta"]["id"]
        key = f"idempotency-key: {next(made) // 3}-" + "k" * 200
        await force.ask(post(json.dumps(event).encode(), key, "connection: close"), number)

    await force.crowd(20, behave)


SEEDS: tuple[bytes, ...] = (
    get(stream("plain,hostile", since="1h", limit=5, filter="event.a == 1", fields="a,b.c", canary="true")),
    get(stream("h*", until="2020-01-01T00:00:00Z", since=0), accept="application/x-ndjson;q=0.5, */*"),
    get(stream("plain"), Last_Event_ID='[{"topic":"plain","partition":0,"offset":1,"timestamp":5,"seen":2}]'),
    get(stream("timed", last_event_id='[{"topic":"timed","partition":0,"timestamp":5}]'), accept_encoding="gzip"),
    get("/v2/streams/plain", origin="http://a", authorization="Bearer a.b.c", x_forwarded_for="1.2.3.4"),
    get("/v2/schemas/wiki/change/1.0.0", if_none_match='"a"', x_request_id="a", traceparent="00-1-2-00"),
    post(
        b'{"$schema":"/wiki/change/1.0.0","meta":{"stream":"wiki.change"}}', "idempotency-key: a", "connection: close"
    ),
    post(gzip.compress(b"[{}]"), "content-encoding: gzip", kind="text/plain; charset=utf-8"),
)
PIECES: tuple[bytes, ...] = (
    *(
        b"%00",
        b"%ff",
        b"%",
        b"&",
        b"?",
        b"#",
        b"=",
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b",",
        b";",
        b" ",
    ),
    *(b"'", b'"', b"\\", b"*", b"..", b"/", b":", b"[", b"{", b"9" * 30, b"-1", b"1e999", b"NaN", b"null", b"q=2"),
    *(
        b"gzip",
        b"chunked",
        b"transfer-encoding: chunked\r\n",
        b"content-length: 1\r\n",
        b"HTTP/1.0",
        b"expect: 100-continue\r\n",
    ),
    *(b"since=1s&", b"filter=event&", b"event.a.all(x,", b"matches('(a{99}){99}')", b"a" * 5000, b"[" * 500),
)


async def fuzz(force: Force) -> None:
    """Requests with bytes of theirs changed, and with words put in."""
    random = force.random

    async def behave(number: int) -> None:
        data = bytearray(random.choice(SEEDS))
        for _ in range(random.randrange(1, 5)):
            at = random.randrange(len(data))
            change = random.randrange(4)
            if change == 0:
                data[at] = random.randrange(256)
            elif change == 1:
                data[at:at] = random.choice(PIECES)
            elif change == 2:
                del data[at : at + random.randrange(1, 20)]
            else:
                data[at:at] = bytes(data[at : at + 20]) * random.choice((1, 2, 100))
        async with force.connection(number) as (reader, writer):
            writer.write(bytes(data))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await force.head(reader)
                    await reader.read(BUFFER)
        force.counted["inputs"] += 1

    await force.crowd(20, behave, pause=0.005)
