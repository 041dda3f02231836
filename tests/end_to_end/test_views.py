"""A view that is built beside the servers, by a process that is killed again and again; and one of a real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import EventLog
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord, TopicPartition
from tests.end_to_end.conftest import Launch
from tests.end_to_end.kafka import create_again, delete_topic
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, configuration, eventually, run
from tests.eventlog.kit import KafkaBench, patiently
from tests.kit.frames import Frame, FrameReader

pytestmark = pytest.mark.end_to_end

CONFIGURATION = """
schema_repositories: [{schemas}]
view_directory: {directory}
streams:
  pages: {{message_key_fields: [page], partitions: 2}}
views:
  pages: {{stream: pages, key: page, reduce: merge, delete: event.gone}}
"""
KILLS = 2
PAGES = 20


class Pages:
    """A log of pages, and what its fold is. The times of its records rise by a second each."""

    def __init__(self, log: EventLog, topic: str = "pages") -> None:
        self.log = log
        self.topic = topic
        self.begin = (int(time.time()) - 3600) * 1000
        self.events: dict[int, list[tuple[int, dict[str, Any]]]] = {0: [], 1: []}

    async def open(self) -> None:
        await self.log.open()
        await patiently(lambda: self.log.create(self.topic, 2))

    async def put(self, numbers: range) -> None:
        events = [{"page": n % PAGES, f"m{n % 3}": n, "gone": n % 7 == 0} for n in numbers]
        records = [
            NewRecord(orjson.dumps(one), None, self.begin + 1000 * n, one["page"] % 2)
            for n, one in zip(numbers, events, strict=True)
        ]
        # Known before it is stored: a client may be told of it before this process hears that it is.
        expected = []
        for event in events:
            known = self.events[event["page"] % 2]
            expected.append((event["page"] % 2, len(known)))
            known.append((len(known), event))
        stored = await self.log.append(self.topic, records)
        assert [(partition.partition, offset) for partition, offset in stored] == expected

    def fold(self, cut: dict[int, int]) -> dict[int, dict[str, Any]]:
        """The state once these records, the last of their partitions, have been read."""
        state: dict[int, dict[str, Any]] = {}
        for partition, events in self.events.items():
            for offset, event in events:
                if offset > cut.get(partition, -1):
                    break
                if event["gone"]:
                    state.pop(event["page"], None)
                else:
                    state[event["page"]] = {**state.get(event["page"], {}), **event}
        return state

    async def close(self) -> None:
        await self.log.close()


class Follower:
    """A client that follows the view. Each frame from `ready` on is held against the fold. It may come back."""

    def __init__(self, gateway: GatewayProcess, pages: Pages) -> None:
        self._gateway = gateway
        self._pages = pages
        self.after_reset = pages
        """What the log has once it is another one."""
        self.last: str | None = None
        self.held: dict[int, Any] = {}
        self.kinds: list[str] = []
        """Of all frames."""
        self.checked = 0
        self._ready = False

    async def until(self, last: int) -> None:
        """Follow up to the record to which the offsets add up, or to a reset. Raises OSError and IncompleteReadError
        where the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
        identifier = "" if self.last is None else f"last-event-id: {self.last}\r\n"
        writer.write(f"GET /v2/views/pages HTTP/1.0\r\naccept: text/event-stream\r\n{identifier}\r\n".encode())
        frames, begun = FrameReader(), len(self.kinds)
        try:
            async with asyncio.timeout(4 * WAIT):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b" 200 " in head.split(b"\r\n")[0], head
                while not self._has(last) and "reset" not in self.kinds[begun:]:
                    data = await reader.read(65536)
                    if not data:
                        raise ConnectionResetError
                    for frame in frames.feed(data):
                        self._take(frame)
        finally:
            writer.close()

    def _has(self, last: int) -> bool:
        return self._ready and sum(self._at().values()) == last

    def _at(self) -> dict[int, int]:
        return {one["partition"]: one["offset"] for one in json.loads(self.last or "[]")}

    def _take(self, frame: Frame) -> None:
        self.kinds.append(frame.event or "")
        assert frame.event != "error"
        if frame.event in ("row", "change"):
            self.held[frame.document["key"]["page"]] = frame.document["value"]
        elif frame.event == "delete":
            self.held.pop(frame.document["key"]["page"], None)
        elif frame.event in ("snapshot", "reset"):
            self.held.clear()
            self._ready = False
            self._pages = self._pages if frame.event == "snapshot" else self.after_reset
        self._ready = self._ready or frame.event == "ready"
        self.last = frame.identifier or self.last
        if self._ready:
            assert self.held == self._pages.fold(self._at())
            self.checked += 1


def _is_built(gateway: GatewayProcess) -> Callable[[], Awaitable[bool]]:
    async def is_built() -> bool:
        return (await gateway.get("/v2/views/pages")).status_code == 200

    return is_built


async def _hears(follower: Follower, following: asyncio.Task[None], heard: Callable[[], object]) -> None:
    """Wait for what the client that follows is to have heard; what ends it is told."""

    async def is_heard() -> bool:
        if following.done():
            following.result()
        return bool(heard())

    await eventually(is_heard, "what is to be heard", told=lambda: f"; the last frames are {follower.kinds[-5:]}")


def _begun(gateway: GatewayProcess) -> list[str]:
    """The process ids of the builders until now."""
    return re.findall(r"processing 0 derived streams and 0 rules and 1 view in process (\d+)", gateway.errors)


def _has_begun(gateway: GatewayProcess, times: int) -> Callable[[], Awaitable[bool]]:
    async def has_begun() -> bool:
        return len(_begun(gateway)) >= times

    return has_begun


async def test_each_frame_is_the_fold_while_the_builder_is_killed(tmp_path: Path, gateways: Launch) -> None:
    config, log = tmp_path / "gateway.yaml", tmp_path / "events.db"
    config.write_text(CONFIGURATION.format(schemas=ROOT / "config" / "schemas", directory=tmp_path / "views"))
    pages = Pages(SqliteLog(str(log)))
    await pages.open()
    await pages.put(range(100))
    gateway: GatewayProcess = gateways("--config", str(config), "--log", f"sqlite:///{log}")
    await gateway.start()

    await eventually(_is_built(gateway), "the view")
    total = 100 + KILLS * 200
    follower = Follower(gateway, pages)
    following = asyncio.create_task(follower.until(total - 2))
    # Before that, what is written would be part of the snapshot.
    await _hears(follower, following, lambda: follower.checked)
    for kill in range(KILLS):
        for part in range(10):
            begin = 100 + kill * 200 + part * 20
            await pages.put(range(begin, begin + 20))
            await asyncio.sleep(0.02)
        await eventually(_has_begun(gateway, kill + 1), "the processing has begun")
        os.kill(int(_begun(gateway)[-1]), signal.SIGKILL)
    await following
    assert follower.checked > 50
    assert "reset" not in follower.kinds

    async def is_measured() -> bool:
        return 'gateway_view_keys{view="pages"}' in await gateway.metrics()

    await eventually(is_measured, "the metrics of the view")
    await pages.close()
    assert await gateway.stop() == 0


# -- over Kafka -------------------------------------------------------------------------------------------------------


def configured(directory: Path, topic: str, views: str, archive: Path | None = None) -> str:
    """A configuration with the view, whose files are in a directory of their own."""
    place = directory / views
    place.mkdir()
    archived = {} if archive is None else {"archive": str(archive)}
    return str(
        configuration(
            place,
            {
                "pages": {
                    "topics": [topic],
                    "message_key_fields": ["page"],
                    "partitions": 2,
                    **({} if archive is None else {"archive": True}),
                }
            },
            views={"pages": {"stream": "pages", "key": "page", "reduce": "merge", "delete": "event.gone"}},
            view_directory=str(place),
            schema_repositories=[str(ROOT / "config" / "schemas")],
            **archived,
        )
    )


async def told(gateway: GatewayProcess, pages: Pages) -> dict[str, Any]:
    """All that a view answers, with the ids: values, history, a page, and states as of each of some ids."""
    found: dict[str, Any] = {}
    paths = ["/v2/views/pages?limit=1000"]
    for page in range(PAGES):
        paths += [f"/v2/views/pages/{page}", f"/v2/views/pages/{page}/history?limit=1000"]
    for path in paths:
        answer = await gateway.get(path)
        found[path] = answer.status_code, answer.headers.get("gateway-position"), answer.json()
    for path in [path for path in paths if path.endswith("limit=1000")][1::5]:
        for version in found[path][2].get("versions", ())[::3]:
            then = await gateway.get("/v2/views/pages", params={"at": version["id"], "limit": "1000"})
            found[version["id"]] = then.status_code, then.json()
    for moment in range(pages.begin, pages.begin + 100_000, 9_500):
        then = await gateway.get("/v2/views/pages", params={"at": str(moment), "limit": "1000"})
        found[str(moment)] = then.status_code, then.json()
    return found


def check_told(found: dict[str, Any], pages: Pages) -> None:
    """Hold what a view has answered against the fold."""
    now = pages.fold(dict.fromkeys(pages.events, 1 << 60))
    ever = {event["page"] for events in pages.events.values() for _, event in events if not event["gone"]}
    for path, (status, *_, answer) in found.items():
        if "rows" in answer:
            at = {one["partition"]: one["offset"] for one in json.loads(answer["id"])}
            assert {row["key"]["page"]: row["value"] for row in answer["rows"]} == pages.fold(at), path
        elif status == 410:
            assert path.isdigit()
            assert "earliest" in answer
        elif path.endswith("/history?limit=1000"):
            page = int(path.split("/")[4])
            assert (status == 200) == (page in ever), path
            for version in answer.get("versions", ()):
                (at,) = json.loads(version["id"])
                assert version.get("value") == pages.fold({at["partition"]: at["offset"]}).get(page), path
                assert version.get("deleted", False) == ("value" not in version)
        else:
            page = int(path.split("/")[4])
            assert status == (200 if page in now else 404), path
            assert answer == now[page] if page in now else ("deleted" in answer) == (page in ever)


@pytest.mark.kafka
async def test_a_view_of_kafka_is_its_fold_through_kills_and_a_topic_that_is_created_again(
    kafka: str, topic: str, tmp_path: Path, gateways: Launch
) -> None:
    pages = Pages(KafkaLog([kafka], {}), topic)
    await pages.open()
    await pages.put(range(100))
    config = configured(tmp_path, topic, "views")
    gateway = gateways("--config", config, "--log", f"kafka://{kafka}")
    await gateway.start()
    await eventually(_is_built(gateway), "the view")
    check_told(await told(gateway, pages), pages)

    follower = Follower(gateway, pages)
    following = asyncio.create_task(follower.until(10**6))
    # Before that, what is written would be part of the snapshot.
    await _hears(follower, following, lambda: follower.checked)
    await pages.put(range(100, 150))
    await _hears(follower, following, lambda: follower.checked > 20)
    gateway.signal_group(signal.SIGKILL)
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await following
    await gateway.ended()
    await pages.put(range(150, 200))
    snapshots = follower.kinds.count("snapshot")
    await gateway.start()
    await follower.until(198)
    assert (snapshots, follower.kinds.count("snapshot"), follower.kinds.count("reset")) == (1, 1, 0)
    check_told(await told(gateway, pages), pages)

    again = follower.after_reset = Pages(pages.log, topic)
    heard = len(follower.kinds)
    resetting = asyncio.create_task(follower.until(10**6))
    # It is to be there when the topic goes.
    await _hears(follower, resetting, lambda: len(follower.kinds) > heard)
    await delete_topic(kafka, topic)
    await create_again(kafka, topic, 2)
    await again.put(range(20, 30))
    await resetting
    await follower.until(8)
    assert follower.held == again.fold({0: 4, 1: 4})
    check_told(await told(gateway, again), again)
    await pages.close()


@pytest.mark.kafka
async def test_a_view_over_kafka_and_its_archive_is_that_of_the_log_alone(
    kafka: str, topic: str, tmp_path: Path, gateways: Launch
) -> None:
    pages = Pages(KafkaLog([kafka], {}), topic)
    await pages.open()
    await pages.put(range(100))
    log = f"kafka://{kafka}"

    async def answers(config: str) -> dict[str, Any]:
        gateway = gateways("--config", config, "--log", log)
        await gateway.start()
        await eventually(_is_built(gateway), "the view")
        found = await told(gateway, pages)
        assert await gateway.stop() == 0
        return found

    alone = await answers(configured(tmp_path, topic, "alone"))
    check_told(alone, pages)
    config = configured(tmp_path, topic, "both", tmp_path / "archive")
    done = run(["archive", "run", "--once", "--config", config, "--log", log])
    assert done.returncode == 0, done.stderr
    bench = KafkaBench(pages.log, kafka)  # type: ignore[arg-type]
    for partition, start in ((0, 25), (1, 40)):
        await bench.truncate(TopicPartition(topic, partition), start)
    assert await answers(config) == alone
    await pages.close()
