"""What befalls a process whose output nobody reads, and one whose disk is full."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from gateway.process.watchdog import STALLED_STATUS
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import WAIT, eventually
from tests.end_to_end.sickness import PROMPT, Site, prompt, sample, serves_and_counts
from tests.end_to_end.stream import Client
from tests.kit.events import numbered

pytestmark = pytest.mark.end_to_end
BAD_RECORDS = 1000
REQUESTS = 800


@pytest.fixture
def site(tmp_path: Path, gateways: Launch) -> Site:
    return Site(tmp_path, gateways)


class Fifo:
    """A pipe with a name, whose reader holds it and reads nothing until it is told to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        # It is full from the start.
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * 4096)
        os.close(writer)

    def read(self) -> bytes:
        """All that is in it."""
        parts = []
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 1 << 20):
                parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Read no more, for good."""
        os.close(self._reader)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    fifo = Fifo(tmp_path / "fifo")
    yield fifo
    with suppress(OSError):
        fifo.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("access_log", [False, True])
async def test_a_log_that_nobody_reads(
    site: Site, fifo: Fifo, client: Client, *, access_log: bool, workers: int
) -> None:
    """Bad records, requests, streams, the admin port, and the end: nothing waits for a reader of the log."""
    flags = ["--access-log"] if access_log else []
    gateway = site.make("--workers", str(workers), *flags)
    gateway.redirect(fifo.path)
    await site.store(b'{"n":0}')
    await gateway.start()
    live = await client.stream(gateway.port, "one")
    for begin in range(0, BAD_RECORDS, 100):
        await site.store(*(b"[%d]" % number for number in range(begin, begin + 100)))
    await site.store(b'{"n":1}')
    await live.events(1)
    async with httpx.AsyncClient(timeout=PROMPT, trust_env=False) as http:
        for _ in range(REQUESTS if access_log else 20):
            assert (await http.get(f"{gateway.address}/healthz")).status_code == 200
    # A replay meets the same records, and neither tells nor counts them with those that were read.
    replay = await client.stream(gateway.port, "one", since=1, until=int(time.time() * 1000))
    await replay.events(2)

    async def counted() -> bool:
        return sample(await gateway.metrics(), "gateway_bad_records_total") == workers * BAD_RECORDS

    await eventually(counted, "each bad record is counted once a process")
    assert await gateway.stop() == 0


async def test_what_was_dropped_is_told_when_there_is_room_again(site: Site, fifo: Fifo) -> None:
    gateway = site.make("--access-log")
    gateway.redirect(fifo.path)
    await gateway.start()
    async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as http:
        for _ in range(6):
            # Long paths fill the queue sooner.
            for name in range(40):
                await http.get(f"{gateway.address}/{'x' * 60_000}{name}")

    async def dropped() -> bool:
        await prompt(f"{gateway.address}/{'x' * 60_000}")
        return sample(await gateway.metrics(), "gateway_log_lines_dropped_total") > 0

    await eventually(dropped, "lines are dropped")
    told = bytearray()

    async def read() -> bool:
        told.extend(fifo.read())
        return b"of the log, which nobody read" in told

    await eventually(read, "the notice")
    assert await gateway.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_log_whose_reader_goes_or_was_never_there(site: Site, fifo: Fifo, workers: int) -> None:
    for closed in (False, True):
        gateway = site.make("--access-log", "--workers", str(workers))
        if closed:
            gateway.close_errors()
        else:
            gateway.redirect(fifo.path)
        gateway.launch()
        await gateway.ready()
        if not closed:
            fifo.close()
        for _ in range(20):
            assert (await prompt(f"{gateway.address}/healthz")).status_code == 200
        assert (await prompt(f"{gateway.address}/v2/streams")).status_code == 200
        assert await gateway.stop() == 0
    # What has the number 2 was never a file of the gateway's.
    assert (site.directory / "events.db").read_bytes()[:6] == b"SQLite"


async def test_a_demo_whose_output_nobody_reads(tmp_path: Path, gateways: Launch, fifo: Fifo) -> None:
    gateway = gateways("--log", f"sqlite:///{tmp_path / 'demo.db'}", command="demo")
    gateway.redirect(fifo.path, output=True)
    await gateway.start()
    assert (await prompt(f"{gateway.address}/healthz")).status_code == 200
    assert await gateway.stop() == 0


async def test_a_loop_that_stands_ends_its_process_also_where_nobody_reads_why(site: Site, fifo: Fifo) -> None:
    gateway = site.make("--stall-limit", "1")
    gateway.redirect(fifo.path)
    site.sicken(gateway)
    await gateway.start()
    (site.orders / "MainProcess.stand").touch()
    assert await gateway.ended() == STALLED_STATUS


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on which nothing fits any more, where one may be mounted."""
    directory = tmp_path / "full"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    with suppress(OSError):
        (directory / "filling").write_bytes(bytes(1 << 20))
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


async def test_workers_with_nowhere_to_put_temporary_files(site: Site, full_disk: Path) -> None:
    gateway = site.make("--workers", "2")
    gateway.variables["TMPDIR"] = str(full_disk)
    await serves_and_counts(gateway)


async def test_a_log_on_a_full_disk(site: Site, full_disk: Path) -> None:
    gateway = site.make("--workers", "2", "--access-log")
    path = full_disk / "stderr"
    path.touch()
    gateway.redirect(path)
    await serves_and_counts(gateway)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["tail", "produce"])
async def test_a_command_whose_output_nobody_reads_ends_at_a_signal(
    site: Site, fifo: Fifo, command: str, number: signal.Signals
) -> None:
    gateway = site.make()
    await site.store(*(numbered(n, x="y" * 1000) for n in range(500)))
    await gateway.start()
    given = {
        "tail": ["tail", "one", "--since", "1h", "--server", gateway.address],
        "produce": ["produce", "one", "-", "--log", site.url, "--config", str(site.directory / "gateway.yaml")],
    }[command]
    writer = os.open(fifo.path, os.O_WRONLY)
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "gateway", *given], stdin=subprocess.PIPE, stdout=writer, stderr=writer
    )
    os.close(writer)
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(b"no json\n" * 10)
        process.stdin.flush()
    await asyncio.sleep(3)
    process.send_signal(number)
    try:
        await asyncio.to_thread(process.wait, WAIT)
    finally:
        process.kill()
        process.stdin.close()
    assert await gateway.stop() == 0
