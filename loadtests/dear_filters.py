"""What filters cost, and whom the dearest of them delay.

    python -m loadtests.dear_filters --expressions      µs of each filter in docs/FILTERS.md, beside Google's library
    python -m loadtests.dear_filters --streams 200      the age of events at a client without a filter, with and without
                                                        so many streams whose filters take all that they may

The second starts `gateway serve` over an embedded log in a folder of its own, produces events with long arrays, and
reads by HTTP. It ends with status 1 where the dear streams make the p99 more than twice what it is without them.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

import httpx
import orjson

from gateway.demo.wiki import WikiSample
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.filters.compile import compile_filter
from gateway.filters.subject import Subject
from gateway.model.record import NewRecord

GUIDE = Path(__file__).parent.parent / "docs/FILTERS.md"
DEAR = "event.l.all(x, event.l.all(y, x + y != {}))"
"""About 4,400 of the 5,000 steps that a filter may take on an event, whose list this is."""
LIST = list(range(22))
FIRST_TIME = 1_790_000_000_000
EVENTS = 2_000
PORT = 22_070
CONFIG = "streams:\n  s: {topics: [t]}\n"
GROWTH = 2.0
"""How many times the p99 without dear filters that with them may be."""


def expressions() -> list[str]:
    """Those of the guide."""
    found = re.findall(r"^```cel\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return "".join(found).splitlines()


def compare() -> None:
    """A line for each expression: µs an event here, and in the library where it is installed."""
    sample = WikiSample(7, FIRST_TIME)
    events = [sample.next(FIRST_TIME + 50 * number)[0] for number in range(EVENTS)]
    subjects = [Subject(event, "wiki.change", 0, place, FIRST_TIME, None) for place, event in enumerate(events)]
    ours_all, theirs_all = [], []
    for text in expressions():
        asked = compile_filter(text)
        ours = timed(lambda: [asked.matches(subject) for subject in subjects])  # noqa: B023
        theirs = library(text, subjects)
        ours_all.append(ours)
        theirs_all.append(theirs)
        steps = max(taken(asked, subject) for subject in subjects)
        print(f"{ours:7.2f} {theirs:7.2f} {steps:6d} steps  {text}")
    print(f"{statistics.mean(ours_all):7.2f} {statistics.mean(theirs_all):7.2f}  mean")


def taken(asked: object, subject: Subject) -> int:
    """Steps that the filter takes on the record."""
    meter = [1_000_000]
    asked.judge(subject, meter)  # type: ignore[attr-defined]
    return 1_000_000 - meter[0]


def timed(work: object) -> float:
    """µs an event at the best of several runs."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        best = min(best, time.perf_counter() - begun)
    return best * 1e6 / EVENTS


def library(text: str, subjects: Sequence[Subject]) -> float:
    """The same of Google's library, each event converted for it as a whole; NaN without it."""
    try:
        from cel_expr_python import cel
    except ImportError:
        return float("nan")
    types = cel.Type
    kinds = {"event": types.DYN, "topic": types.STRING, "partition": types.INT, "offset": types.INT,
             "timestamp": types.INT, "key": types.DYN}  # fmt: skip
    environment = cel.NewEnv(variables=kinds)
    compiled = environment.compile(text)
    values = [{name: getattr(subject, name) for name in kinds} for subject in subjects]
    return timed(lambda: [compiled.eval(environment.Activation(each)).value() for each in values])


async def delays(streams: int, seconds: float, rate: int, folder: Path) -> list[float]:
    """Seconds from the append of an event to its arrival at a client without a filter."""
    log = f"sqlite:///{folder}/events.db"
    await create(log)
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.yaml"), "--log", log,
        "--port", str(PORT), "--admin-port", str(PORT + 1), cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    # The clients of the dear streams are a process of their own: the plain client is not to wait for them.
    crowd = multiprocessing.get_context("spawn").Process(target=read_dear, args=(streams,), daemon=True)
    found: list[float] = []
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", timeout=30) as client:
            await ready(client)
            plain = asyncio.create_task(read(client, found))
            if streams:
                crowd.start()
            await asyncio.sleep(3)
            await produce(log, seconds, rate)
            await asyncio.sleep(1)
            plain.cancel()
            await asyncio.gather(plain, return_exceptions=True)
            return found
    finally:
        if crowd.is_alive():
            crowd.terminate()
            crowd.join()
        gateway.terminate()
        await gateway.wait()


def read_dear(streams: int) -> None:
    """Keep so many streams with dear filters open, and drop what they give."""
    asyncio.run(_read_dear(streams))


async def _read_dear(streams: int) -> None:
    # Each has a filter of its own: equal ones would be judged together.
    filters = [urllib.parse.quote(DEAR.format(1_000_000 + number)) for number in range(streams)]
    await asyncio.gather(*[_drop(f"/v2/stream/s?filter={each}") for each in filters])


async def _drop(target: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(head.decode())
    while await reader.read(1 << 16):
        pass


async def create(url: str) -> None:
    """Make the topic."""
    log = SqliteLog(url.removeprefix("sqlite:///"))
    await log.open()
    await log.create("t")
    await log.close()


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until the gateway is."""
    async with asyncio.timeout(30):
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)


async def read(client: httpx.AsyncClient, found: list[float]) -> None:
    """Read the stream without a filter to its end, and note the age of each event."""
    async with client.stream("GET", "/v2/stream/s", timeout=None) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                # One by one: this task is cancelled in the end.
                found.append(time.time() - orjson.loads(line[6:])["at"])  # noqa: PERF401


async def produce(url: str, seconds: float, rate: int) -> None:
    """Append events at the rate."""
    log = SqliteLog(url.removeprefix("sqlite:///"))
    await log.open()
    try:
        begun = time.monotonic()
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            await log.append("t", [NewRecord(orjson.dumps({"at": time.time(), "l": LIST}))])
    finally:
        await log.close()


def percentile(values: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return 1000 * sorted(values)[int(len(values) * share)]


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and show it."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.dear_filters", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--expressions", action="store_true")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=int, default=20, metavar="EVENTS/S")
    parser.add_argument("--seconds", type=float, default=15)
    arguments = parser.parse_args(given)
    if arguments.expressions:
        compare()
        return 0
    tails = []
    with tempfile.TemporaryDirectory() as folder:
        for streams in (0, arguments.streams):
            place = Path(folder) / str(streams)
            place.mkdir()
            (place / "gateway.yaml").write_text(CONFIG)
            found = asyncio.run(delays(streams, arguments.seconds, arguments.rate, place))
            tails.append(percentile(found, 0.99))
            print(f"{streams:4d} dear streams: {len(found)} events, p50 {percentile(found, 0.5):.1f} ms, "
                  f"p99 {tails[-1]:.1f} ms, longest {1000 * max(found):.1f} ms")  # fmt: skip
    return 0 if tails[1] <= GROWTH * tails[0] else 1


if __name__ == "__main__":
    sys.exit(main())
