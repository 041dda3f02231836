"""The producer for peers that take their events by HTTP, a process of its own, like `loadtests.produce` otherwise.

    python -m loadtests.peers.publish FORM PORT KIND EVENTS RATE

FORM is `nchan` (the event is the body) or `mercure` (a form with a JSON web token, whose key is in PUBLISHER_KEY).
One connection, requests one after the other without waiting for the answers, so that the order holds and a publisher's
round trip does not bound the rate.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Callable
from urllib.parse import urlencode

import httptools

from loadtests.events import KINDS
from loadtests.machine import MeasurementError
from loadtests.produce import produce

KEY_VARIABLE = "PUBLISHER_KEY"
TOPIC = "load"

Encode = Callable[[bytes], bytes]


def token(key: str) -> str:
    """A JSON web token (RFC 7519, HS256) that may publish to every topic of Mercure."""

    def encoded(part: bytes) -> bytes:
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    parts = ({"alg": "HS256", "typ": "JWT"}, {"mercure": {"publish": ["*"]}})
    head = b".".join(encoded(json.dumps(part).encode()) for part in parts)
    return (head + b"." + encoded(hmac.digest(key.encode(), head, hashlib.sha256))).decode()


def request(path: str, headers: list[str], body: bytes) -> bytes:
    """A POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def nchan(event: bytes) -> bytes:
    """A request that publishes to nchan."""
    return request("/publish", ["Content-Type: application/json"], event)


def mercure(key: str) -> Encode:
    """What makes the requests that publish to Mercure."""
    headers = [f"Authorization: Bearer {token(key)}", "Content-Type: application/x-www-form-urlencoded"]
    return lambda event: request(
        "/.well-known/mercure", headers, urlencode({"topic": TOPIC, "data": event.decode()}).encode()
    )


class Publisher(asyncio.Protocol):
    """A connection that publishes. Anything but a success is an error."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._unanswered = 0
        self._answered: asyncio.Future[None] | None = None

    async def append(self, events: list[bytes]) -> None:
        """Publish; returns when all are answered."""
        assert self._unanswered == 0
        self._unanswered = len(events)
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(map(self._encode, events)))
        await self._answered

    def close(self) -> None:
        """Hang up."""
        self._answered = None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio.Protocol."""
        self._fail(f"the connection is lost: {exc}")

    def on_message_complete(self) -> None:
        """Of httptools: an answer is there."""
        status = self._parser.get_status_code()
        self._unanswered -= 1
        if not 200 <= status < 300:
            self._fail(f"an event was answered with {status}")
        elif self._unanswered == 0 and self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _fail(self, why: str) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(MeasurementError(why))


async def main(encode: Encode, port: int, kind: str, events: int, rate: int) -> None:
    """Publish when told to."""
    _, publisher = await asyncio.get_running_loop().create_connection(lambda: Publisher(encode), "127.0.0.1", port)
    print("ready", flush=True)
    if await asyncio.to_thread(sys.stdin.readline):
        print("done", json.dumps(await produce(publisher.append, KINDS[kind](), events, rate)), flush=True)
    publisher.close()


if __name__ == "__main__":
    form = nchan if sys.argv[1] == "nchan" else mercure(os.environ[KEY_VARIABLE])
    asyncio.run(main(form, int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
