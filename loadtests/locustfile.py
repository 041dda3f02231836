"""The people, for Locust: its page and charts show how many events they get, and how late.

    .venv/bin/gateway demo                                                # in another terminal
    .venv/bin/locust -f loadtests/locustfile.py                           # then http://127.0.0.1:8089
    .venv/bin/locust -f loadtests/locustfile.py --headless -u 200 -r 20 -t 60s
    .venv/bin/locust -f loadtests/locustfile.py --headless -u 50 -r 50 -t 60s Browser --stream wiki.change

Each event is a request of type `event`, its time the delay since the log's time of it (so the clocks of both ends
count); `first` is the time from the request to the first event, `replay` that of a whole replay, `post` that of putting
events in. An event that comes twice or out of order, or is not taken, is a failure. Locust's greenlets carry some
thousand events a second and core: for load, and for latencies under load, there is `loadtests.bench`. Only a server on
loopback is talked to.
"""

from __future__ import annotations

import http.client
import json
import random
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from locust import User, between, constant, events, task

from gateway.demo.wiki import WikiSample
from loadtests.machine import MeasurementError, loopback_only

FILTERS = (
    'event.wiki == "enwiki" && !event.bot',
    'event.wiki == "dewiki" && event.namespace == 0',
    "has(event.length) && event.length.new - event.length.old > 500",
    'event.title.startsWith("User:")',
    'event.type == "new"',
)
HOST = "http://127.0.0.1:8080"
STREAM = "wiki.change"
TIMEOUT_SECONDS = 60
STORM_SECONDS = 20
"""All those of a storm drop their connections at the same moments, so many seconds apart."""
SLOW_BYTES = 2048
RETRY_SECONDS = 1


class WrongStream(Exception):
    """The stream does not say what it has to."""


class NotTaken(Exception):
    """Events were not stored."""


def frames(response: http.client.HTTPResponse, piece: int = 65536, pause: float = 0.0) -> Iterator[bytes]:
    """The frames of a stream, and b"" after each read, until it ends."""
    rest = b""
    while data := response.read1(piece):
        *whole, rest = (rest + data).split(b"\n\n")
        yield from whole
        yield b""
        if pause:
            time.sleep(pause)


def field(frame: bytes, name: bytes) -> bytes:
    """The value of a field of a frame; b"" where there is none."""
    for line in frame.split(b"\n"):
        if line.startswith(name + b": "):
            return line[len(name) + 2 :]
    return b""


class Anyone(User):
    """Somebody with something to do at one stream."""

    abstract = True
    host = HOST

    @property
    def stream(self) -> str:
        """The stream's name."""
        options = self.environment.parsed_options
        return str(options.stream) if options else STREAM

    def connect(self) -> http.client.HTTPConnection:
        """A connection, which opens with its first request."""
        address = urlsplit(self.host or HOST)
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)

    def tell(self, kind: str, seconds: float, length: int = 0, exception: Exception | None = None) -> None:
        """Into Locust's tables and charts."""
        self.environment.events.request.fire(
            request_type=kind,
            name=type(self).__name__,
            response_time=max(0.0, 1000 * seconds),
            response_length=length,
            exception=exception,
            context={},
        )


class Person(Anyone):
    """A reader, who goes on after the last id when the stream ends."""

    abstract = True
    piece = 65536
    pause = 0.0
    live = True
    """Whether the delay of an event says anything."""

    def on_start(self) -> None:
        """Nobody has read anything yet."""
        self.identifier = b""
        self.read: dict[tuple[str, int], int] = {}

    def listen(self, seconds: float, **parameters: str) -> int:
        """Read for so long, or until the response ends; returns the number of events."""
        begun, count = time.monotonic(), 0
        connection = self.connect()
        headers = {"Last-Event-ID": self.identifier.decode()} if self.identifier else {}
        try:
            connection.request("GET", f"/v2/stream/{self.stream}?{urlencode(parameters)}", headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                raise WrongStream(f"status {response.status}: {response.read(300)!r}")
            for frame in frames(response, self.piece, self.pause):
                if field(frame, b"event") == b"message":
                    count += 1
                    if count == 1:
                        self.tell("first", time.monotonic() - begun)
                    self.take(frame)
                self.identifier = field(frame, b"id") or self.identifier
                if time.monotonic() - begun > seconds:
                    break
        except (OSError, http.client.HTTPException, WrongStream) as error:
            self.tell("stream", time.monotonic() - begun, exception=error)
            time.sleep(RETRY_SECONDS)
        finally:
            connection.close()
        return count

    def take(self, frame: bytes) -> None:
        """Tell of an event, and whether it may come now: in a partition, offsets rise."""
        positions = json.loads(field(frame, b"id"))
        newest = max(positions, key=lambda position: position["timestamp"])
        fault = None
        moved = [one for one in positions if "offset" in one and one["offset"] != self.read.get(_place(one))]
        if any(one["offset"] < self.read.get(_place(one), -1) for one in moved):
            fault = WrongStream(f"{positions} after {self.read}")
        self.read |= {_place(one): one["offset"] for one in moved}
        if self.live or fault:
            self.tell("event", time.time() - newest["timestamp"] / 1000, len(frame), fault)


def _place(position: dict[str, Any]) -> tuple[str, int]:
    return position["topic"], position["partition"]


class Browser(Person):
    """A tab that stays open, and comes back when it was closed."""

    weight = 10
    wait_time = between(0.5, 3)

    @task
    def look(self) -> None:
        """A few minutes."""
        self.listen(random.uniform(60, 300))


class Bot(Person):
    """Follows what a filter lets through."""

    weight = 4
    wait_time = constant(2)

    def on_start(self) -> None:
        """Each has one filter."""
        super().on_start()
        self.filter = random.choice(FILTERS)

    @task
    def follow(self) -> None:
        """For long."""
        self.listen(300, filter=self.filter, fields="title,user,wiki")


class Replayer(Person):
    """Reads the last minutes, and leaves."""

    weight = 1
    live = False
    wait_time = between(5, 15)

    @task
    def replay(self) -> None:
        """Each time from the same distance."""
        self.on_start()
        begun = time.monotonic()
        count = self.listen(60, since="5m", limit="2000")
        self.tell("replay", time.monotonic() - begun, count)


class SlowReader(Person):
    """Reads less than there is."""

    weight = 1
    piece = SLOW_BYTES
    pause = 1.0
    live = False
    wait_time = constant(1)

    @task
    def dawdle(self) -> None:
        """Its events' delays are its own doing."""
        self.listen(120)


class Storm(Person):
    """Loses its connection together with all others of its kind, and comes back at once."""

    weight = 2
    wait_time = constant(0)

    @task
    def hold(self) -> None:
        """Until the next moment at which all drop."""
        self.listen(STORM_SECONDS - time.time() % STORM_SECONDS)


class Producer(Anyone):
    """Puts events in: one, or a few at once, over a connection that stays."""

    weight = 2
    wait_time = between(0.5, 2)

    def on_start(self) -> None:
        """Nobody's events are those of another."""
        self.connection = self.connect()
        self.sample = WikiSample(random.getrandbits(32), int(1000 * time.time()))

    @task
    def put(self) -> None:
        """All of them have to be stored."""
        changes = [self.change() for _ in range(random.choice((1, 1, 1, 5, 20)))]
        body = json.dumps(changes[0] if len(changes) == 1 else changes)
        begun = time.monotonic()
        fault: Exception | None = None
        try:
            self.connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            said = answer.read()
            if answer.status != 201:
                fault = NotTaken(f"status {answer.status}: {said[:300]!r}")
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            fault = error
        self.tell("post", time.monotonic() - begun, len(body), fault)

    def change(self) -> dict[str, Any]:
        """A change of a page, as if it had just been made."""
        change, _ = self.sample.next(int(1000 * time.time()))
        meta = {name: value for name, value in change["meta"].items() if name not in {"id", "dt"}}
        return {**change, "meta": {**meta, "stream": self.stream}}


def _arguments(parser: ArgumentParser, **_: Any) -> None:
    parser.add_argument("--stream", default=STREAM, help="the stream that is read, and that events are put into")


def _refuse_strangers(environment: Any, **_: Any) -> None:
    address = urlsplit(environment.host or HOST)
    try:
        loopback_only(f"{address.hostname}:{address.port or 80}")
    except MeasurementError as error:
        raise SystemExit(str(error)) from error


events.init_command_line_parser.add_listener(_arguments)  # type: ignore[no-untyped-call]
events.init.add_listener(_refuse_strangers)  # type: ignore[no-untyped-call]
