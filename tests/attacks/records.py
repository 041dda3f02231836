"""Attacks by what stands in the log. See Force."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator

from gateway.demo.wiki import WikiSample
from gateway.model.record import NewRecord
from tests.attacks.force import Force, get, stream
from tests.speed import slowness

MEGABYTE = 1 << 20
PLAIN, HOSTILE = "plain", "hostile"
LARGEST = 2**63 - 1

NO_EVENTS: tuple[bytes | None, ...] = (
    None,
    b"",
    b" ",
    b"null",
    b"true",
    b"17",
    b'"text"',
    b"[]",
    b"[{}]",
    b"{",
    b"}",
    b'{"a":}',
    b'{"a":1,}',
    b"{'a':1}",
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":01}',
    b'{"a":"\x01"}',
    b'\xef\xbb\xbf{"a":1}',
    b'{"a":"\xff\xfe"}',
    b'{"a":"\xc0\xaf"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\x"}',
    b'{"a":"\\ud8"}',
    b"\x00" * 1000,
    b"\x00\x00\x00\x00\x01{}",
    b'{"a":1}{"a":2}',
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"[" * 100_000,
    b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    b'{"a":"' + b"x" * 1000,
)
"""What is no JSON object, or too deep for one."""

STRANGE: tuple[bytes, ...] = (
    b"{}",
    b'{"":""}',
    b'{"a":1,"a":2,"a":{"a":3,"a":4}}',
    b'{"a":"\\ud800"}',
    b'{"\\udfff":"\\ud83d\\ude00\\ud83d"}',
    b'{"a":"\\u0000","\\u0000":1}',
    b'{"a":1e400,"b":-1e400,"c":1e-400,"d":-0,"e":-0.0}',
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":1' + b"0" * 400 + b".5e-300}",
    b'{"a":18446744073709551616,"b":-9223372036854775809}',
    b'{"a":"event: message\\ndata: {}\\n\\n"}',
    b'{\r\n"a"\r:\n1\t}',
    '{"a":"\u2028\u2029\ufeff\u202e"}'.encode(),
    b'{"meta":null,"$schema":null}',
    b'{"meta":[],"$schema":{"a":1}}',
    b'{"meta":{"domain":"canary","id":5,"dt":[],"stream":{}},"$schema":7}',
    b'{"meta":{"domain":{"domain":"canary"},"id":"' + b"i" * 5000 + b'"}}',
    b'{"a":' + b"[" * 60 + b"]" * 60 + b"}",
    b'{"__proto__":{"a":1},"constructor":1,"__class__":"x"}',
    b'{"plain":"0"}',
    b'{"plain":null}',
)
"""Objects that somebody did not expect."""


def large() -> Iterator[bytes]:
    """Objects that are large in one way or another."""
    yield b'{"a":"' + b"x" * (4 * MEGABYTE - 10) + b'"}'
    yield b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}"
    yield b'{"a":[' + b"0," * 400_000 + b"0]}"
    yield b'{"a":[' + b'{"a":{}},' * 100_000 + b"0]}"
    yield b'{"a":"' + b"\\u00e9" * 300_000 + b'"}'
    yield b'{"a":"' + "é".encode() * 500_000 + b'"}'
    yield b"{" + b'"a":0,' * 100_000 + b'"a":0}'
    yield b'{"a":' + b" " * 2 * MEGABYTE + b"1}"
    yield b"{" + b"\n" * MEGABYTE + b"}"


async def _write(force: Force, records: Iterator[tuple[str, NewRecord]], pause: float) -> None:
    for topic, record in records:
        await force.append(topic, [record])
        await asyncio.sleep(pause)


async def _read(force: Force, names: str) -> None:
    """Live and replaying clients in every format, with all that looks into an event."""
    ways: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({"since": "1h"}, {}),
        ({"since": "1970-01-01"}, {"accept": "application/x-ndjson"}),
        ({"fields": "a,a.a,meta.id"}, {}),
        ({"since": "1h", "fields": "a.a.a"}, {"accept-encoding": "gzip"}),
        ({"filter": "event.a == 1 || event['a'] != event.b"}, {}),
        ({"since": "1h", "filter": "size(event.a) > 0 && has(event.meta)"}, {}),
        ({"since": "1h", "canary": "true", "limit": "100"}, {"accept": "application/x-ndjson"}),
    ]

    async def follow(number: int) -> None:
        query, headers = ways[number % len(ways)]
        await force.follow(get(stream(names, **query), **headers), number)

    await force.crowd(3 * len(ways), follow, pause=0.3)


async def strange(force: Force) -> None:
    """All that is no event, and all that is a strange one, between those of the plain client and elsewhere."""
    values = itertools.cycle([*NO_EVENTS, *STRANGE])
    records = ((topic, NewRecord(value, b"\xff\x00")) for value in values for topic in (PLAIN, HOSTILE))
    await asyncio.gather(_write(force, records, 0.01), _read(force, "plain,hostile"))


async def flood(force: Force) -> None:
    """Thousands of values that are none at once, again and again, and clients that read them from the beginning."""

    async def write() -> None:
        values = itertools.cycle(NO_EVENTS[:26])
        while True:
            for topic in (PLAIN, HOSTILE):
                await force.append(topic, [NewRecord(next(values)) for _ in range(force.options.count)])
            await asyncio.sleep(1)

    await asyncio.gather(write(), _read(force, "plain,hostile"))


async def oversized(force: Force) -> None:
    """Values of megabytes, of a hundred thousand members, of blanks. They take most of a core's time: a slower one is
    given fewer, as it is given more time for each."""
    values = itertools.cycle(list(large()))
    records = ((topic, NewRecord(value)) for value in values for topic in (PLAIN, HOSTILE))
    await asyncio.gather(_write(force, records, 0.2 * slowness()), _read(force, "plain,hostile"))


async def times(force: Force) -> None:
    """Records of times that nobody expects, and everything that tells of times."""
    odd = [-1, -2, 0, -LARGEST - 1, LARGEST, 1_795_000_000_000_000, 253_402_300_800_000, -62_135_596_800_001, 2**53]
    records = (
        (topic, NewRecord(b'{"a":%d}' % number, None, time))
        for number in itertools.count()
        for time in odd
        for topic in (HOSTILE, "timed")
    )
    targets = [
        "/v2/streams",
        "/v2/streams/hostile",
        "/v2/streams/timed",
        "/",
        "/explorer/rates",
        stream("hostile", since="1970-01-01", limit=50),
        stream("timed", since="1h", limit=50),
        stream("hostile", since="9999-12-31T23:59:59Z"),
        stream("hostile", since=str(LARGEST)),
        stream("hostile", until="2100-01-01", since="0001-01-01"),
        stream("timed", since=1, until=253_402_300_800_000),
    ]

    async def ask(number: int) -> None:
        await force.ask(get(targets[number % len(targets)], accept="application/json, */*;q=0.1"), number)

    await asyncio.gather(_write(force, records, 0.01), _read(force, "hostile,timed"), force.crowd(22, ask, pause=0.1))


async def keys(force: Force) -> None:
    """Keys and headers of megabytes, by the thousand, or of any bytes."""
    kinds = [
        NewRecord(b"{}", b"k" * MEGABYTE),
        NewRecord(b"{}", b"\xff\x00\xed\xa0\x80" * 1000),
        NewRecord(b"{}", b"", headers=tuple((f"h{number}", b"x") for number in range(10_000))),
        NewRecord(b"{}", None, headers=(("h" * 100_000, b"x" * MEGABYTE),)),
        NewRecord(b"{}", None, headers=(("traceparent", b"\xff" * 100_000), ("content-type", b"\x00"))),
        NewRecord(b'{"a":"b"}', "é\u2028\0".encode(), headers=(("ce_id", b"\xff"), ("", b""))),
    ]
    records = ((topic, kind) for kind in itertools.cycle(kinds) for topic in (PLAIN, HOSTILE))
    await asyncio.gather(_write(force, records, 0.05), _read(force, "plain,hostile"))


def mutated(force: Force, value: bytes) -> bytes:
    """A value with some bytes changed, taken out, put in or repeated."""
    random, data = force.random, bytearray(value)
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(data) + 1)
        change = random.randrange(6)
        if change == 0 and at < len(data):
            data[at] = random.randrange(256)
        elif change == 1:
            data[at:at] = random.randbytes(random.randrange(1, 9))
        elif change == 2:
            del data[at : at + random.randrange(1, 30)]
        elif change == 3:
            data[at:at] = bytes(data[at : at + 30]) * random.choice((1, 10, 300))
        elif change == 4 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif change == 5:
            data[at:at] = random.choice(NO_EVENTS[3:-5]) or b"{}"
    return bytes(data)


async def fuzz(force: Force) -> None:
    """Events of the sample with bytes of theirs changed."""
    sample = WikiSample(force.options.seed, 1_700_000_000_000)

    def records() -> Iterator[tuple[str, NewRecord]]:
        while True:
            event, _ = sample.next(1_700_000_000_000)
            value = mutated(force, json.dumps(event).encode())
            yield force.random.choice((PLAIN, HOSTILE)), NewRecord(value, force.random.randbytes(3))

    await asyncio.gather(_write(force, records(), 0.001), _read(force, "plain,hostile"))
