"""The host under the embedded log: a disk that is full, and a clock that is set back."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.effort import lasting
from tests.end_to_end.conftest import Accounts, Launch, Serve
from tests.end_to_end.follower import Follow
from tests.end_to_end.numbers import STREAM, Sender, numbered
from tests.end_to_end.process import GatewayProcess, configuration, eventually
from tests.kit.disk import SmallDisk, small_disk

pytestmark = pytest.mark.end_to_end

PADDING = 20_000
ROOM = 2_000_000
"""Bytes that the log may have until the disk is full."""
REFUSED = lasting(3, 60)
"""Events that are refused, one after the other, before there is room again."""
LOAD = "50 events/s, 2 live and 2 replaying clients"
LIBRARIES = ("/usr/lib", "/usr/local/lib")
HOUR = 3600


class Quota:
    """A bound on the size of a file, for the gateway alone; what is beyond it fails with EFBIG."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def fill(self, gateway: GatewayProcess) -> None:
        """No file grows beyond what is there by more than a little."""
        largest = max(path.stat().st_size for path in self.directory.glob("events.db*"))
        self._bound(gateway, largest + ROOM)

    def free(self, gateway: GatewayProcess) -> None:
        """Files may grow again."""
        self._bound(gateway, resource.RLIM_INFINITY)

    def _bound(self, gateway: GatewayProcess, size: int) -> None:
        _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size, hard))


class HostDisk:
    """A file system of the gateway's own, which something else fills; what is beyond it fails with ENOSPC."""

    def __init__(self, disk: SmallDisk) -> None:
        self.directory = disk.directory
        self._disk = disk

    def fill(self, _: GatewayProcess) -> None:
        """Take all but a little."""
        self._disk.fill(ROOM)

    def free(self, _: GatewayProcess) -> None:
        """Give it back."""
        self._disk.free()


@pytest.fixture
def quota(tmp_path: Path) -> Quota:
    """A bound for each file."""
    return Quota(tmp_path)


@pytest.fixture(name="small_disk")
def host_disk(tmp_path: Path) -> Iterator[HostDisk]:
    """64 MB; the quota tries the same where nothing can be mounted."""
    with small_disk(tmp_path / "disk", "64m") as disk:
        yield HostDisk(disk)


@pytest.mark.parametrize("kind", ["quota", "small_disk"])
async def test_a_disk_that_is_full(
    request: pytest.FixtureRequest, serve: Serve, follow: Follow, account: Accounts, tmp_path: Path, *, kind: str
) -> None:
    """What cannot be stored is refused with 503 and never acknowledged; readers stay; with room again all goes on."""
    disk: Quota | HostDisk = request.getfixturevalue(kind)
    settings = numbered(tmp_path)
    gateway = await serve(log=f"sqlite:///{disk.directory / 'events.db'}", ring_bytes=500_000, **settings)
    async with Sender(gateway, padding=PADDING) as sender:
        await sender.until(20)
        live = [await follow(gateway.port, STREAM, since=1) for _ in range(2)]
        line = account(f"disk full ({kind.replace('_', ' ')}) for {REFUSED} refused events", LOAD)
        disk.fill(gateway)
        line.struck()
        # Not by one from before, as a slow disk gives it.
        await sender.answered(503, len(sender.statuses))
        full = sender.stored
        for _ in range(REFUSED):
            await sender.answered(503, len(sender.statuses))
        assert sender.stored == full
        assert (await gateway.get("/healthz")).status_code == 200
        # All that was acknowledged is there, and only that, also for who comes while the disk is full.
        replaying = [await follow(gateway.port, STREAM, since=1), await follow(gateway.port, STREAM, live[0].last_id)]
        for client in (*live, replaying[0]):
            await client.have(full - 1)
        assert max(live[0].numbers) == full - 1
        disk.free(gateway)
        line.begin()
        await line.heal([*live, replaying[0]], full)
        await sender.until(full + 20)
        last = await sender.end() - 1
    for client in (*live, replaying[0]):
        await client.have(last)
        line.count(client, range(last + 1))
    await replaying[1].have(last)
    line.count(replaying[1], range(replaying[1].numbers[0], last + 1))
    line.close()
    assert {201, 503} == set(sender.statuses)
    assert all(client.responses == 1 for client in (*live, *replaying))
    assert await gateway.stop() == 0


@pytest.fixture
def faketime() -> Path:
    """The library that tells a process another time."""
    found = (path for place in LIBRARIES for path in Path(place).rglob("libfaketimeMT.so.1"))
    return next(found, None) or absent("there is no libfaketime")


@pytest.fixture
def clock(tmp_path: Path, faketime: Path) -> Callable[[int], dict[str, str]]:
    """(seconds): set the clock of the gateway by so much, now; returns the variables that it needs at its start."""
    path = tmp_path / "clock"

    def set_clock(seconds: int) -> dict[str, str]:
        path.with_suffix(".new").write_text(f"{seconds:+d}\n")
        path.with_suffix(".new").rename(path)
        return {
            "LD_PRELOAD": str(faketime),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_CACHE_DURATION": "1",
            # Only the time of day goes back: that for durations never does.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Where it guesses that a wait by that clock has to be mended, each ends at once, and a thread that waits
            # for Python's lock spins: four times the CPU, and a test of half a minute.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    return set_clock


def told(identifier: str | None) -> int:
    """The timestamp in an id."""
    found = re.search(r'"timestamp":(\d+)', identifier or "")
    assert found is not None
    return int(found[1])


async def test_a_clock_that_is_set_back(
    gateways: Launch,
    follow: Follow,
    account: Accounts,
    clock: Callable[[int], dict[str, str]],
    tmp_path: Path,
) -> None:
    """By an hour, and later forward again: ids hold, and `since` leaves nothing out."""
    settings = numbered(tmp_path)
    path = configuration(tmp_path, **settings)
    gateway = gateways("--config", str(path), "--log", f"sqlite:///{tmp_path / 'events.db'}")
    gateway.variables |= clock(0)
    await gateway.start()
    async with Sender(gateway) as sender:
        await sender.until(50)
        live = await follow(gateway.port, STREAM, since=1)
        await live.have(49)
        before, newest = live.last_id, live.numbers[-1]
        line = account("clock set back by an hour, and forward again", "50 events/s, 5 clients")
        line.struck()
        clock(-HOUR)

        async def gone_back() -> bool:
            return told(live.last_id) < told(before) - HOUR * 900

        await eventually(gone_back, "events have the earlier time")
        back = live.numbers[-1]
        early = live.last_id
        resumed = [await follow(gateway.port, STREAM, before), await follow(gateway.port, STREAM, early)]
        replay = await follow(gateway.port, STREAM, since=1)
        await sender.until(back + 50)
        clock(0)
        line.begin()

        async def gone_on() -> bool:
            return told(live.last_id) > told(before)

        await eventually(gone_on, "events have the right time again")
        # Nothing that came after this time is left out, though some have an earlier one now.
        since = await follow(gateway.port, STREAM, since=told(before))
        first = sender.stored
        await line.heal([live, *resumed, replay, since], first)
        await gateway.kill()
        await gateway.start()
        last = await sender.end() - 1
    for client in (live, *resumed, replay, since):
        await client.have(last)
        line.count(client, range(client.numbers[0], last + 1))
    line.close()
    assert live.numbers[0] == replay.numbers[0] == 0
    assert since.numbers[0] <= newest
