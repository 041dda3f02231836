"""Measures a view over HTTP: building it from an embedded log, values now and then, snapshots, and memory.

Latencies are those of one request after the other, or of a few clients at a time, on loopback.

    python -m loadtests.view_requests [KEYS [REQUESTS]]
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import orjson

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from loadtests.machine import CLIENT_CORES, family, usage
from loadtests.server import STREAM, Gateway, get

VIEW = f"views:\n  pages: {{stream: {STREAM}, key: [wiki, title]}}\n"
PATH = "/v2/views/pages"
START = 1_790_000_000_000
PADDING = "x" * 200
BATCH = 5000
CLIENTS = 8
BUILD_SECONDS = 1800.0


def say(what: str, figure: str) -> None:
    """One line."""
    print(f"{what:<52} {figure}", flush=True)


def title(key: int) -> str:
    """Of the page with this number."""
    return f"page {key}"


async def fill(path: Path, keys: int) -> None:
    """A log with an event for each key."""
    log = SqliteLog(str(path))
    await log.open()
    await log.create(STREAM, 1)
    for begin in range(0, keys, BATCH):
        events = [
            {"wiki": f"w{key % 50}", "title": title(key), "n": key, "text": PADDING}
            for key in range(begin, min(keys, begin + BATCH))
        ]
        records = [NewRecord(orjson.dumps(one), None, START + begin + n, 0) for n, one in enumerate(events)]
        await log.append(STREAM, records)
    await log.close()


class Client:
    """One connection, which stays open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str) -> float:
        """The seconds that the answer takes."""
        begun = time.perf_counter()
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        data = self._socket.recv(1 << 20)
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{path}: {data[:300]!r}")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(1 << 20)
        return time.perf_counter() - begun

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def latencies(taken: list[float]) -> str:
    """The middle and the end of the distribution."""
    ordered = sorted(taken)
    middle, end = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"p50 {1000 * middle:.2f} ms, p99 {1000 * end:.2f} ms"


def ask(server: Gateway, what: str, paths: list[str]) -> None:
    """One client asks for all of them."""
    client, begun = Client(server.port), server.cpu()
    taken = [client.get(path) for path in paths]
    client.close()
    say(what, f"{latencies(taken)}, {1e6 * (server.cpu() - begun) / len(paths):.0f} µs of CPU")


def ask_together(server: Gateway, what: str, paths: list[str]) -> None:
    """Several clients share them."""
    taken: list[float] = []

    def work(part: list[str]) -> None:
        client = Client(server.port)
        taken.extend([client.get(path) for path in part])
        client.close()

    threads = [threading.Thread(target=work, args=(paths[number::CLIENTS],)) for number in range(CLIENTS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say(what, f"{latencies(taken)}, {len(paths) / (time.perf_counter() - begun):,.0f} requests/s")


def snapshot(port: int, accept: str, stop: threading.Event | None = None) -> tuple[int, float]:
    """The bytes up to `ready`, and the seconds."""
    begun, size, tail = time.perf_counter(), 0, b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {PATH} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n\r\n".encode())
        while b"ready" not in tail and not (stop is not None and stop.is_set()):
            data = connection.recv(1 << 20)
            if not data:
                raise SystemExit("the snapshot broke off")
            size += len(data)
            tail = tail[-16:] + data
    return size, time.perf_counter() - begun


@contextmanager
def readers(port: int, count: int) -> Iterator[None]:
    """So many who read the snapshot again and again meanwhile."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            snapshot(port, "application/x-ndjson", stop)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Peak:
    """The most resident bytes of the server's processes, looked at all the time."""

    def __init__(self, server: Gateway) -> None:
        self._server = server
        self._over = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.bytes = max(self.bytes, self._server.memory())

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


def build(log: str, directory: Path, keys: int, settings: list[str]) -> None:
    """Build the view beside a server."""
    begun = time.perf_counter()
    with Gateway(log, 0.05, directory, settings=settings, streams=VIEW) as server, Peak(server) as peak:
        while get(server.port, f"{PATH}?limit=1")[0] != 200:
            if time.perf_counter() - begun > BUILD_SECONDS:
                raise SystemExit("the view is not built")
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
        cpu = max(usage(pid).cpu for pid in family(server.process.pid))
        say(f"build {keys:,} keys", f"{keys / cpu:,.0f} keys/s of CPU, {keys / seconds:,.0f}/s with the start")
    say("memory of all processes while it is built", f"{peak.bytes >> 20} MB at most")


def serve(log: str, directory: Path, keys: int, requests: int, settings: list[str]) -> None:
    """Read the view from a server that builds nothing."""
    with Gateway(log, 0.05, directory, settings=settings) as server:
        without = server.memory()
    with Gateway(log, 0.05, directory, settings=settings, streams=VIEW) as server:
        begun = time.perf_counter()
        get(server.port, f"{PATH}?limit=1")
        say("first answer after a start", f"{1000 * (time.perf_counter() - begun):.1f} ms")
        chosen = random.Random(1).choices(range(keys), k=requests)
        paths = [f"{PATH}/w{key % 50}/{quote(title(key))}" for key in chosen]
        ask(server, "value now", paths)
        ask_together(server, f"value now, {CLIENTS} clients", paths)
        ask(server, "value as of a time", [f"{path}?at={START + keys - 1}" for path in paths[: requests // 4]])
        position = quote(orjson.dumps([{"topic": STREAM, "partition": 0, "offset": keys - 1}]))
        ask(server, "value as of an id", [f"{path}?at={position}" for path in paths[: requests // 4]])
        ask(server, "page of 100 keys", [f"{PATH}?limit=100&prefix=w{key % 50}" for key in chosen[: requests // 20]])
        say("memory without the view, and with it", f"{without >> 20} MB, {server.memory() >> 20} MB")
        for form in ("text/event-stream", "application/x-ndjson"):
            with Peak(server) as peak:
                used = server.cpu()
                size, seconds = snapshot(server.port, form)
                used = server.cpu() - used
            told = f"{seconds:.1f} s, {size / 1e6:.0f} MB, {keys / used:,.0f} rows/s of CPU, {peak.bytes >> 20} MB"
            say(f"snapshot of {keys:,} keys, {form}", told)
        with readers(server.port, CLIENTS):
            time.sleep(0.5)
            ask(server, f"value now beside {CLIENTS} snapshots", paths[: requests // 10])


def main(keys: int = 100_000, requests: int = 10_000) -> None:
    """Print the figures."""
    os.sched_setaffinity(0, CLIENT_CORES)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        asyncio.run(fill(directory / "events.db", keys))
        log = f"sqlite:///{directory / 'events.db'}"
        settings = ["--view-directory", str(directory / "views")]
        build(log, directory, keys, settings)
        serve(log, directory, keys, requests, [*settings, "--processing", "off"])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
