"""Reloading a gateway that serves: nobody is dropped, nothing is lost, and what is broken changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app.composition import open_log
from gateway.eventlog.port import EventLog
from gateway.model.record import NewRecord
from gateway.settings.table import Settings
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import WAIT, GatewayProcess, Streams, configuration, eventually
from tests.end_to_end.stream import Client, check_sequence
from tests.eventlog.kit import patiently
from tests.kit.events import numbered

pytestmark = pytest.mark.end_to_end

SCHEMA = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}


async def says(gateway: GatewayProcess, text: str, times: int = 1) -> None:
    """Wait for what a gateway says in its log."""

    async def said() -> bool:
        return gateway.errors.count(text) >= times

    await eventually(said, f"{text!r} in the log")


class Site:
    """A gateway, its configuration, and another process that writes to its log."""

    def __init__(self, directory: Path, url: str, log: EventLog, launch: Launch) -> None:
        self.directory = directory
        self.url = url
        self.log = log
        self._launch = launch
        # Topics are the broker's, which other tests share.
        self.prefix = f"test.{uuid.uuid4().hex}."
        self.gateway: GatewayProcess
        (directory / "schemas").mkdir()

    def stream(self, topic: str, **more: Any) -> dict[str, Any]:
        """A stream of this topic."""
        return {"topics": [self.prefix + topic], **more}

    def configure(self, streams: Streams, **settings: Any) -> Path:
        """Write the configuration."""
        return configuration(self.directory, streams, schema_repositories=[str(self.directory / "schemas")], **settings)

    def launch(self, streams: Streams, workers: int = 1, **settings: Any) -> GatewayProcess:
        """Start the gateway and wait for nothing."""
        config = self.configure(streams, **settings)
        self.gateway = self._launch("--config", str(config), "--log", self.url, "--workers", str(workers))
        self.gateway.launch()
        return self.gateway

    async def serve(self, streams: Streams, workers: int = 1, **settings: Any) -> GatewayProcess:
        """Start the gateway; returns when each of its workers serves."""
        gateway = self.launch(streams, workers, **settings)
        await gateway.ready()
        await self.says("serving ", workers)
        return gateway

    async def says(self, text: str, times: int = 1) -> None:
        """Wait for what the gateway says in its log."""
        await says(self.gateway, text, times)

    async def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request to the admin port."""
        address = f"http://127.0.0.1:{self.gateway.admin_port}"
        async with httpx.AsyncClient(base_url=address, timeout=WAIT, trust_env=False) as client:
            return await client.request(method, path, **more)

    async def reload(self) -> httpx.Response:
        """Ask for a reload."""
        return await self.admin("POST", "/-/reload")

    async def send(self, topic: str, numbers: Iterable[int], timestamp: int | None = None) -> None:
        """Store numbered events."""
        time_ms = int(time.time() * 1000) if timestamp is None else timestamp
        records = [NewRecord(numbered(number), None, time_ms) for number in numbers]
        await self.log.append(self.prefix + topic, records)


def schema(site: Site, title: str, version: str, **more: Any) -> Path:
    """Write a schema."""
    path = site.directory / "schemas" / title / f"{version}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**SCHEMA, **more}))
    return path


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a log."""
    if request.param == "kafka":
        yield f"kafka://{request.getfixturevalue('kafka')}"
    else:
        yield f"sqlite:///{tmp_path / 'events.db'}"


@pytest.fixture
async def site(url: str, tmp_path: Path, gateways: Launch) -> AsyncIterator[Site]:
    """A configuration and a log; the gateway is started by the test."""
    log = open_log(Settings(log=url))
    await log.open()
    site = Site(tmp_path, url, log, gateways)
    for topic in ("one", "old", "hidden"):
        await patiently(partial(log.create, site.prefix + topic))
    yield site
    await log.close()


@pytest.mark.parametrize("workers", [1, 2])
async def test_reloads_under_live_subscribers(site: Site, client: Client, workers: int) -> None:
    streams = {"one": site.stream("one"), "gone": site.stream("hidden")}
    gateway = await site.serve(streams, workers)
    live = [await client.stream(gateway.port, "one") for _ in range(4)]
    live += [await client.stream(gateway.port, "one", filter="event.n >= 0") for _ in range(4)]
    # Of a stream that no configuration names any more.
    live.append(await client.stream(gateway.port, "one,gone"))
    writing = True

    async def write() -> int:
        number = 0
        while writing:
            await site.send("one", range(number, number + 5))
            number += 5
            await asyncio.sleep(0.01)
        return number

    task = asyncio.create_task(write())
    for number in range(3):
        streams = {"one": site.stream("one", description=str(number)), f"more-{number}": site.stream("old")}
        site.configure(streams)
        os.kill(gateway.pid, signal.SIGHUP)
        await site.says("reloaded: streams added", number + 1)
        answer = await site.reload()
        assert answer.status_code == 200
        assert answer.json()["workers"] == ["reloaded"] * workers
        assert answer.json()["streams"] == {"added": [], "removed": [], "changed": []}
        # Whichever worker is asked.
        for _ in range(6):
            described = (await gateway.get("/v2/streams")).json()
            assert {one["name"]: one["description"] for one in described} == {"one": str(number), f"more-{number}": ""}
    writing = False
    last = await task - 1
    await site.send("hidden", [last + 1])
    for stream in live[:-1]:
        await stream.number(last)
        check_sequence(stream.numbers, 0, last)
    # Of two topics, the log may deliver either first.
    check_sequence(sorted(await live[-1].events(last + 2)), 0, last + 1)
    assert not any(stream.over or stream.named("gap") or stream.named("error") for stream in live)
    assert await gateway.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stream_over_a_topic_that_has_a_past(site: Site, client: Client, workers: int) -> None:
    now = int(time.time() * 1000)
    await site.send("old", range(5), now - 3_600_000)
    await site.send("old", range(5, 10), now - 60_000)
    gateway = await site.serve({"one": site.stream("one")}, workers)
    site.configure({"one": site.stream("one"), "old": site.stream("old", stream_aliases=["alias"])})
    assert (await site.reload()).json()["streams"]["added"] == ["old"]
    live = [await client.stream(gateway.port, "alias") for _ in range(4)]
    past = [await client.stream(gateway.port, "old", since="10m") for _ in range(4)]
    every = [await client.stream(gateway.port, "old,one", since="2h") for _ in range(4)]
    await site.send("old", range(10, 20))
    for streams, first in ((live, 10), (past, 5), (every, 0)):
        for stream in streams:
            await stream.number(19)
            check_sequence(stream.numbers, first, 19)
            assert not stream.named("gap")
    resumed = await client.stream(gateway.port, "old,one", every[0].messages[2].identifier)
    await resumed.number(19)
    check_sequence(resumed.numbers, 3, 19)


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_id_that_names_a_new_topic_is_resumed_from_at_once(site: Site, client: Client, workers: int) -> None:
    await site.send("old", range(10), int(time.time() * 1000) - 3_600_000)
    gateway = await site.serve({"one": site.stream("one")}, workers)
    identifier = json.dumps([{"topic": site.prefix + "old", "partition": 0, "offset": 3}])
    assert (await client.request(gateway.port, "old", identifier)).status == 404
    site.configure({"one": site.stream("one"), "old": site.stream("old")})
    os.kill(gateway.pid, signal.SIGHUP)

    async def begun() -> bool:
        return (await gateway.get("/v2/streams/old")).status_code == 200

    await eventually(begun, "the stream is there")
    await site.says("reloaded: ")
    resumed = await client.stream(gateway.port, "old", identifier)
    await resumed.number(9)
    check_sequence(resumed.numbers, 4, 9)


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_is_broken_changes_nothing(site: Site, client: Client, workers: int) -> None:
    schema(site, "thing", "1.0.0")
    streams = {"one": site.stream("one", schema_title="thing")}
    gateway = await site.serve(streams, workers)
    stream = await client.stream(gateway.port, "one")
    config = site.configure({**streams, "two": site.stream("old", schema_title="thnig"), "three": {}})
    answer = await site.reload()
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["title"] == "Broken configuration"
    (mistake,) = answer.json()["mistakes"]
    assert mistake.startswith(f"{config}:1: two: schema_title is thnig, which is in no schema repository")
    os.kill(gateway.pid, signal.SIGHUP)
    await site.says("nothing was reloaded", 2)
    assert mistake in gateway.errors
    config.write_text("streams:\n  one: {}\n  two: [\nheartbeat: soon\n")
    assert (await site.reload()).json()["mistakes"][0].startswith(f"{config}:5: ")
    config.write_text("streams:\n  one: {public: 1}\n  two: {resume: never}\nheartbeat: soon\n")
    assert [line.split(": ")[0] for line in (await site.reload()).json()["mistakes"]] == [
        f"{config}:2",
        f"{config}:3",
        f"{config}:4",
    ]
    # A topic is read by offset or by timestamp for as long as the process runs.
    site.configure({"one": site.stream("one", schema_title="thing", resume="timestamp")})
    answer = await site.reload()
    assert (answer.status_code, answer.json()["title"]) == (409, "Restart needed")
    assert f"the topic {site.prefix}one is read for a resume by offset" in answer.json()["mistakes"][0]
    broken = schema(site, "thing", "2.0.0", type="thing")
    site.configure(streams)
    assert (await site.reload()).json()["mistakes"][0].startswith(f"{broken}: this is not a valid JSON Schema")
    # A worker that dies meanwhile comes back with what is in force.
    if workers > 1:
        for worker in gateway.workers():
            os.kill(worker, signal.SIGKILL)
        await site.says("serving ", 2 * workers)
        await gateway.ready()
        stream = await client.stream(gateway.port, "one")
    assert [one["name"] for one in (await gateway.get("/v2/streams")).json()] == ["one"]
    assert (await gateway.get("/v2/schemas/thing/latest")).json()["type"] == "object"
    await site.send("one", range(3))
    check_sequence(await stream.events(3), 0, 2)
    broken.unlink()
    assert (await site.reload()).status_code == 200


async def test_schemas_and_settings(site: Site) -> None:
    first = schema(site, "thing", "1.0.0")
    gateway = await site.serve({"one": site.stream("one", schema_title="/^thing$/")})
    schema(site, "thing", "1.1.0", description="new")
    schema(site, "errors", "1.0.0")
    errors = {"errors": site.stream("old", schema_title="errors")}
    site.configure({"one": site.stream("one", schema_title="/^thing$/"), **errors}, error_stream="errors", retry=300)
    document = (await site.reload()).json()
    assert document == {
        "streams": {"added": ["errors"], "removed": [], "changed": []},
        "schemas": {"added": ["/errors/1.0.0", "/thing/1.1.0"], "removed": [], "changed": []},
        "rules": {"added": [], "removed": [], "changed": []},
        "views": {"added": [], "removed": [], "changed": []},
        "settings": {"changed": ["error_stream"], "restart": ["retry"]},
        "warnings": [],
        "workers": ["reloaded"],
    }
    await site.says("these changed settings wait for a restart: retry")
    assert (await gateway.get("/v2/schemas/thing/latest")).json()["description"] == "new"
    schema(site, "thing", "1.0.0", description="another")
    (warning,) = (await site.reload()).json()["warnings"]
    assert warning.startswith(f"{first}: it is released, and has changed")
    assert (await gateway.get("/v2/schemas/thing/1.0.0")).json()["description"] == "another"


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_becomes_private_is_public_no_longer(site: Site, client: Client, workers: int) -> None:
    one, hidden = site.stream("one"), site.stream("hidden")
    gateway = await site.serve({"one": one, "hidden": hidden}, workers)
    staying = [await client.stream(gateway.port, "one") for _ in range(4)]
    ending = [await client.stream(gateway.port, names) for names in ("hidden", "one,hidden", "*") for _ in range(2)]
    inside = await client.stream(gateway.admin_port, "*")
    site.configure({"one": one, "hidden": {**hidden, "public": False}})
    assert (await site.reload()).json()["streams"]["changed"] == ["hidden"]
    for stream in ending:
        await stream.end()
        assert stream.complete
    await site.send("hidden", range(3))
    await site.send("one", range(3, 5))
    assert sorted(await inside.events(5)) == [0, 1, 2, 3, 4]
    for stream in staying:
        assert await stream.events(2) == [3, 4]
    assert (await client.request(gateway.port, "hidden")).status == 404
    again = await client.stream(gateway.admin_port, "hidden", since="1h")
    assert await again.events(3) == [0, 1, 2]
    assert [one["name"] for one in (await site.admin("GET", "/v2/streams")).json()] == ["one", "hidden"]
    # A stop drains both ports.
    assert await gateway.stop() == 0
    for stream in (*staying, inside, again):
        await stream.end()
        assert stream.complete


def holds_back(process: int, number: signal.Signals) -> bool:
    """Whether a process has blocked a signal."""
    status = Path(f"/proc/{process}/status").read_text()
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk"))
    return bool(int(blocked.split()[1], 16) & 1 << (number - 1))


@pytest.mark.parametrize("command", ["serve", "demo"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hang_up_ends_no_process(tmp_path: Path, gateways: Launch, command: str, workers: int) -> None:
    """Not while it starts, nor while it ends, and also where it is sent to every process."""
    config = configuration(tmp_path, {"one": {"schema_title": "wiki/change"}}, drain_time=0.5, workers=workers)
    log = f"sqlite:///{tmp_path / 'events.db'}"
    gateway = gateways("--config", str(config), "--log", log, command=command)
    gateway.launch()

    async def begun() -> bool:
        # Before that it is the interpreter that starts.
        return holds_back(gateway.pid, signal.SIGHUP)

    async def hang_up(while_it: asyncio.Task[Any]) -> int:
        count = 0
        while not while_it.done():
            with suppress(ProcessLookupError):
                gateway.signal_group(signal.SIGHUP)
            count += 1
            await asyncio.sleep(0.02)
        return count

    await eventually(begun, "the process has begun")
    starting = asyncio.create_task(gateway.ready())
    # How many come before it serves is up to the machine: where this process has no core for a while, one or two.
    assert await hang_up(starting) > 0
    await starting
    await says(gateway, "reloaded: ")
    if (command, workers) == ("serve", 2):
        # A worker that is started again.
        await says(gateway, "serving ", 2)
        os.kill(gateway.workers()[0], signal.SIGKILL)
        await hang_up(asyncio.create_task(says(gateway, "serving ", 3)))
        assert gateway.errors.count("another is started") == 1
    stopping = asyncio.create_task(gateway.stop())
    await hang_up(stopping)
    assert await stopping == 0


async def test_a_mirror_that_is_served_has_nothing_to_reload(tmp_path: Path, gateways: Launch) -> None:
    source = gateways("--config", str(configuration(tmp_path, {"one": {}})), "--log", f"sqlite:///{tmp_path}/a.db")
    await source.start()
    demo = gateways("--from", f"{source.address}/v2/stream/one", "--log", f"sqlite:///{tmp_path}/b.db", command="demo")
    await demo.start()
    os.kill(demo.pid, signal.SIGHUP)
    await says(demo, "has nothing to reload")
    async with httpx.AsyncClient(timeout=WAIT, trust_env=False) as client:
        assert (await client.post(f"http://127.0.0.1:{demo.admin_port}/-/reload")).status_code == 409
    assert await demo.stop() == 0
