"""What befalls the processes themselves: a log that nobody reads, loops that stand, workers that hang or die, and
places that cannot be written to."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app.composition import open_log
from gateway.model.record import NewRecord
from gateway.process.watchdog import STALLED_STATUS
from gateway.settings.table import Settings
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import WAIT, GatewayProcess, configuration, eventually
from tests.end_to_end.stream import Client
from tests.kit.events import numbered

pytestmark = pytest.mark.end_to_end

BAD_RECORDS = 1000
REQUESTS = 800
PROMPT = 5.0
"""Seconds within which what must not stand is answered."""
SICK = """
import os, sys, time
from multiprocessing import current_process
from pathlib import Path

PLACE = Path(os.environ["SICK_PLACE"])

def sicken() -> None:
    '''What a test wants of a process: files named after it are its orders.'''
    import asyncio
    from gateway.app.gateway import Gateway

    serve = Gateway.run

    async def run(self, *arguments, **named):
        async def look():
            while True:
                await asyncio.sleep(0.05)
                for order in PLACE.glob(f"{current_process().name}.*"):
                    kind = order.suffix
                    order.unlink()
                    if kind == ".stand":
                        time.sleep(3600)
                    if kind == ".hold":
                        import ctypes
                        while True:  # A signal, as that which asks for the stacks, ends a sleep.
                            ctypes.PyDLL(None).sleep(3600)  # which holds Python's lock
        if (PLACE / f"{current_process().name}-dies").exists():
            os._exit(9)
        looking = asyncio.create_task(look())
        try:
            await serve(self, *arguments, **named)
        finally:
            looking.cancel()

    Gateway.run = run

if PLACE.is_dir() and not any("resource_tracker" in one for one in sys.orig_argv):
    from gateway.process import restarts
    restarts.FIRST_PAUSE = restarts.LONGEST_PAUSE = float(os.environ.get("SICK_PAUSE", "1"))
    sicken()
"""


class Site:
    """A gateway with one stream, and the log that it reads."""

    def __init__(self, directory: Path, launch: Launch) -> None:
        self.directory = directory
        self.url = f"sqlite:///{directory / 'events.db'}"
        self.orders = directory / "orders"
        self._launch = launch
        (directory / "schemas").mkdir()
        self.orders.mkdir()

    def make(self, *arguments: str, **settings: Any) -> GatewayProcess:
        """A gateway that is not started yet."""
        schemas = [str(self.directory / "schemas")]
        config = configuration(self.directory, {"one": {}}, schema_repositories=schemas, **settings)
        return self._launch("--config", str(config), "--log", self.url, *arguments)

    def sicken(self, gateway: GatewayProcess, pause: float = 1.0) -> None:
        """Let the test give orders to its processes."""
        modules = self.directory / "modules"
        modules.mkdir(exist_ok=True)
        (modules / "sitecustomize.py").write_text(SICK)
        gateway.variables |= {
            "PYTHONPATH": str(modules),
            "SICK_PLACE": str(self.orders),
            "SICK_PAUSE": str(pause),
        }

    async def store(self, *values: bytes) -> None:
        """Put values into the stream's topic."""
        log = open_log(Settings(log=self.url))
        await log.open()
        await log.create("one")
        await log.append("one", [NewRecord(value, None, int(time.time() * 1000)) for value in values])
        await log.close()


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


async def prompt(url: str) -> httpx.Response:
    """A request that must not wait."""
    async with httpx.AsyncClient(timeout=PROMPT, trust_env=False) as client:
        return await client.get(url)


async def says(gateway: GatewayProcess, text: str, times: int = 1) -> None:
    """Wait for a line of the log."""

    async def said() -> bool:
        return gateway.errors.count(text) >= times

    await eventually(said, f"{text!r} in the log")


def sample(text: str, name: str) -> float:
    """The sum of a metric's samples."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


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


async def test_a_loop_that_stands_ends_its_process(site: Site) -> None:
    gateway = site.make("--stall-limit", "1")
    site.sicken(gateway)
    await gateway.start()
    (site.orders / "MainProcess.stand").touch()
    assert await gateway.ended() == STALLED_STATUS
    assert "the event loop has been blocked for" in gateway.errors
    assert "sitecustomize.py" in gateway.errors.split("the thread of the event loop")[1].split("thread ")[0]


async def test_a_loop_that_stands_ends_its_process_also_where_nobody_reads_why(site: Site, fifo: Fifo) -> None:
    gateway = site.make("--stall-limit", "1")
    gateway.redirect(fifo.path)
    site.sicken(gateway)
    await gateway.start()
    (site.orders / "MainProcess.stand").touch()
    assert await gateway.ended() == STALLED_STATUS


async def test_a_process_that_was_stopped_has_not_stood(site: Site) -> None:
    for workers in ("1", "2"):
        gateway = site.make("--stall-limit", "1", "--workers", workers)
        await gateway.start()
        await says(gateway, "serving ", int(workers))
        gateway.signal_group(signal.SIGSTOP)
        await asyncio.sleep(6)
        gateway.signal_group(signal.SIGCONT)
        await asyncio.sleep(1.5)
        assert await gateway.readiness() == 200
        assert await gateway.stop() == 0
        assert "still" not in gateway.errors
        assert "not answered" not in gateway.errors


async def replaced(gateway: GatewayProcess, client: Client, site: Site, before: int) -> None:
    """The other worker serves all along, and the sick one is replaced."""
    ended = 0.0
    deadline = time.monotonic() + WAIT
    unready = False
    while not ended:
        assert time.monotonic() < deadline
        text = await gateway.metrics()
        ended = sample(text, "gateway_workers_ended_total")
        answer = await prompt(f"http://127.0.0.1:{gateway.admin_port}/readyz")
        if answer.status_code == 503:
            unready = True
            assert answer.json()["missing"] == ["worker-1 does not answer, and is replaced"]
            told = await gateway.metrics()
            # It may have been replaced since.
            assert sample(told, "gateway_workers") <= 1 or sample(told, "gateway_workers_ended_total") > ended
        await asyncio.sleep(0.05)
    assert unready
    assert 'gateway_workers_ended_total{cause="stalled"} 1.0' in text
    await says(gateway, "serving ", 3)

    async def whole() -> bool:
        return sample(await gateway.metrics(), "gateway_workers") == 2 and await gateway.readiness() == 200

    await eventually(whole, "both workers")


@pytest.mark.parametrize("order", ["stop", "stand", "hold"])
async def test_a_worker_that_hangs_is_replaced(site: Site, client: Client, order: str) -> None:
    gateway = site.make("--stall-limit", "4", "--workers", "2")
    site.sicken(gateway)
    await site.store(b'{"n":0}')
    await gateway.start()
    await says(gateway, "serving ", 2)

    async def counted() -> bool:
        return sample(await gateway.metrics(), "gateway_workers") == 2

    await eventually(counted, "both workers")
    # Streams of the first worker, which has the admin port, go on.
    first, second = sorted(gateway.workers())
    if order == "stop":
        os.kill(second, signal.SIGSTOP)
    else:
        (site.orders / f"worker-1.{order}").touch()
    await replaced(gateway, client, site, 2)
    assert first in gateway.workers()
    if order == "stand":
        assert "status 70: its watchdog ended it" in gateway.errors
    else:
        assert "worker 1 did not answer, and was killed" in gateway.errors
    if order == "hold":
        assert "sitecustomize.py" in gateway.errors.split("Current thread")[1]
    if order == "stop":
        assert "and is stopped" in gateway.errors
    assert await gateway.stop() == 0


async def test_a_worker_that_dies_again_and_again(site: Site, client: Client) -> None:
    gateway = site.make("--workers", "2")
    site.sicken(gateway, pause=0.1)
    await site.store(b'{"n":0}')
    (site.orders / "worker-1-dies").touch()
    gateway.launch()
    await gateway.ready()
    live = await client.stream(gateway.port, "one", since=1)
    await live.events(1)
    # The other one serves meanwhile.
    await says(gateway, "worker 1 ended with status 9", 4)
    assert (await prompt(f"{gateway.address}/healthz")).status_code == 200
    assert await gateway.ended() == 71
    assert gateway.errors.count("another is started in 0.1 s") == 9
    assert "as did those before it" in gateway.errors


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


@pytest.fixture
def mounts() -> None:
    """Mounts of one's own can be made here."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mounts can be made here")


@pytest.mark.usefixtures("mounts")
async def test_workers_on_a_root_that_is_read_only(site: Site) -> None:
    """Only the directory of the log can be written to, as in the image."""
    gateway = site.make("--workers", "2")
    script = f'mount --bind {site.directory} {site.directory} && mount -o remount,ro,bind / && exec "$@"'
    gateway.wrap("unshare", "--mount", "sh", "-c", script, "sh")
    await serves_and_counts(gateway)


async def serves_and_counts(gateway: GatewayProcess) -> None:
    """Both workers serve, and their figures are told."""
    gateway.launch()
    await gateway.ready()

    async def counted() -> bool:
        try:
            return sample(await gateway.metrics(), "gateway_workers") == 2
        except httpx.ConnectError:
            return False  # The worker with the admin port begins later than the other.

    await eventually(counted, "both workers")
    for _ in range(50):
        assert (await prompt(f"{gateway.address}/v2/streams")).status_code == 200
    assert sample(await gateway.metrics(), "gateway_workers_ended_total") == 0
    assert await gateway.stop() == 0


@pytest.mark.parametrize(("files", "starts"), [(256, False), (600, True)])
async def test_few_open_files(site: Site, files: int, starts: bool) -> None:
    gateway = site.make()
    gateway.wrap("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh")
    gateway.launch()
    if starts:
        await gateway.ready()
        assert await gateway.stop() == 0
    else:
        assert await gateway.ended() == 1
    assert "ulimit -n" in gateway.errors
    assert "LimitNOFILE=" in gateway.errors
    assert "at least 1256" in gateway.errors


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
