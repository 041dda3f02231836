"""What befalls the processes themselves: a log that nobody reads, loops that stand, workers that hang or die, and
places that cannot be written to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.process.watchdog import STALLED_STATUS
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import WAIT, GatewayProcess, eventually
from tests.end_to_end.sickness import Site, prompt, sample, says, serves_and_counts
from tests.end_to_end.stream import Client

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def site(tmp_path: Path, gateways: Launch) -> Site:
    return Site(tmp_path, gateways)


async def test_a_loop_that_stands_ends_its_process(site: Site) -> None:
    gateway = site.make("--stall-limit", "1")
    site.sicken(gateway)
    await gateway.start()
    (site.orders / "MainProcess.stand").touch()
    assert await gateway.ended() == STALLED_STATUS
    assert "the event loop has been blocked for" in gateway.errors
    assert "sitecustomize.py" in gateway.errors.split("the thread of the event loop")[1].split("thread ")[0]


async def test_a_process_that_was_stopped_has_not_stood(site: Site) -> None:
    for workers in ("1", "2"):
        gateway = site.make("--stall-limit", "2", "--workers", workers)
        await gateway.start()
        await says(gateway, "serving ", int(workers))
        gateway.signal_group(signal.SIGSTOP)
        # Longer than a supervisor waits for a worker: three seconds beyond the limit, and one for the stacks.
        await asyncio.sleep(8)
        gateway.signal_group(signal.SIGCONT)
        await asyncio.sleep(1.5)

        async def ready() -> bool:
            # A worker whose beat is a second late on a busy machine counts as silent until the next.
            return await gateway.readiness() == 200  # noqa: B023

        await eventually(ready, "the gateway is ready again")
        assert await gateway.stop() == 0
        assert "the event loop has been blocked" not in gateway.errors
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
            # The other one may be late for a moment, too, on a busy machine.
            assert "worker-1 does not answer, and is replaced" in answer.json()["missing"]
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


async def test_workers_are_heard_of_where_whoever_starts_them_ignores_the_end_of_children(site: Site) -> None:
    gateway = site.make("--workers", "2")
    ignoring = "signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    gateway.wrap(sys.executable, "-c", f"import os, signal, sys; {ignoring}")
    await gateway.start()
    await says(gateway, "serving ", 2)
    os.kill(gateway.workers()[0], signal.SIGKILL)
    await says(gateway, "was killed by SIGKILL", 1)
    assert await gateway.stop() == 0


@pytest.mark.parametrize("order", ["stop", "stand", "hold"])
async def test_a_worker_that_hangs_is_replaced(site: Site, client: Client, order: str) -> None:
    # Long enough for the test to see it unready on a busy machine, and for the other worker not to be taken for sick.
    gateway = site.make("--stall-limit", "10", "--workers", "2")
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
    # The other one serves meanwhile: asked early, since the whole process ends after the tenth.
    await says(gateway, "worker 1 ended with status 9", 2)
    assert (await prompt(f"{gateway.address}/healthz")).status_code == 200
    for times in range(3, 11):
        await says(gateway, "worker 1 ended with status 9", times)
    assert await gateway.ended() == 71
    assert gateway.errors.count("another is started in 0.1 s") == 9
    assert "as did those before it" in gateway.errors


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
