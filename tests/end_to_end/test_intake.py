"""Events that come in over HTTP, and go out again: none is lost, none is there twice, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.demo.wiki import WikiSample
from tests.end_to_end.conftest import Serve
from tests.end_to_end.embedded import eventually_printed
from tests.end_to_end.process import WAIT, GatewayProcess, eventually
from tests.plain_http import http_client
from tests.services.kafka import KafkaBroker

pytestmark = pytest.mark.end_to_end

LOGS = [pytest.param("kafka", marks=pytest.mark.kafka), "sqlite"]
BEGIN = 1_772_357_213_007
FAULTS: dict[str, tuple[Callable[[KafkaBroker], None], Callable[[KafkaBroker], None]]] = {
    "stopped": (KafkaBroker.stop, KafkaBroker.start),
    "killed": (KafkaBroker.kill, KafkaBroker.start),
    "paused": (KafkaBroker.pause, KafkaBroker.resume),
}
PRODUCERS = 8
ANSWER_SECONDS = 5.0
"""Within which 503 is promised."""
STALL_SECONDS = 15.0
"""For so long this process or the gateway may have no core. The promise itself is held by the unit tests."""


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a log."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'events.db'}"
    return f"kafka://{request.getfixturevalue('kafka')}"


def streams(topic: str) -> dict[str, Any]:
    """The stream that events are sent to, which has another name than its topic."""
    return {"wiki.change": {"topics": [topic], "schema_title": "wiki/change"}}


class Events:
    """Events of the sample feed, each as a sender would write it."""

    def __init__(self, seed: int = 7) -> None:
        self._sample = WikiSample(seed, BEGIN)
        self._made = 0

    def next(self) -> dict[str, Any]:
        """Another event, with an id of its own."""
        self._made += 1
        event, _ = self._sample.next(BEGIN + self._made)
        return {**event, "meta": {**event["meta"], "id": str(uuid.uuid4()), "request_id": "r"}}


@asynccontextmanager
async def sender(gateway: GatewayProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client that posts JSON."""
    headers = {"content-type": "application/json"}
    async with http_client(base_url=gateway.address, timeout=WAIT, headers=headers) as client:
        yield client


async def send(client: httpx.AsyncClient, body: bytes) -> tuple[httpx.Response, int]:
    """The answer to events with ids, and how often they were sent: again wherever the log has taken longer than an
    answer may."""
    times = 1
    async with asyncio.timeout(WAIT):
        while (answer := await client.post("/v1/events", content=body)).status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
            times += 1
    return answer, times


async def read_back(gateway: GatewayProcess, count: int, **query: str) -> list[bytes]:
    """The first events of the stream, as they come out of it."""
    found: list[bytes] = []
    query = {"since": "1", "limit": str(count), **query}
    async with sender(gateway) as client:
        accept = {"accept": "application/x-ndjson"}
        async with client.stream("GET", "/v2/stream/wiki.change", params=query, headers=accept) as response:
            assert response.status_code == 200
            rest = b""
            async for part in response.aiter_bytes():
                *lines, rest = (rest + part).split(b"\n")
                found += [line for line in lines if line]
    return found


async def whole(gateway: GatewayProcess, topic: str) -> list[bytes]:
    """All events that the stream has: one more is sent, and all up to it read."""
    last = Events(99).next()
    async with sender(gateway) as client:
        assert (await send(client, orjson.dumps(last)))[0].status_code == 201
        told = (await client.get("/v2/streams/wiki.change")).json()
        assert told["topics"] == [topic]
        found: list[bytes] = []
        params = {"since": "1"}
        accept = {"accept": "application/x-ndjson"}
        async with (
            asyncio.timeout(WAIT),
            client.stream("GET", "/v2/stream/wiki.change", params=params, headers=accept) as response,
        ):
            rest = b""
            async for part in response.aiter_bytes():
                *lines, rest = (rest + part).split(b"\n")
                found += [line for line in lines if line]
                if found and found[-1] == orjson.dumps(last):
                    break
    return found[:-1]


def ids(values: list[bytes]) -> Counter[str]:
    """How often each id is there."""
    return Counter(json.loads(value)["meta"]["id"] for value in values)


async def test_what_goes_in_comes_out_byte_for_byte(serve: Serve, log: str, topic: str) -> None:
    gateway = await serve(streams(topic), log)
    events = Events()
    texts = [orjson.dumps(events.next()) for _ in range(100)]
    texts += [json.dumps(events.next()).encode() for _ in range(10)]
    async with sender(gateway) as client:
        answer, times = await send(client, b"[" + b",".join(texts[:60]) + b"]")
        repeated = 0 if times == 1 else answer.json()["repeated"]
        assert (answer.status_code, answer.json()) == (201, {"stored": 60, "repeated": repeated})
        for text in texts[60:]:
            assert (await send(client, text))[0].status_code == 201
    assert await read_back(gateway, 110) == texts
    assert await gateway.stop() == 0


async def test_producers_and_subscribers_at_once(serve: Serve, log: str, topic: str) -> None:
    """Of each producer, every event comes, once and in order, to those who listen from the start."""
    gateway = await serve(streams(topic), log)
    rounds, batch = 15, 20
    total = PRODUCERS * rounds * batch
    listening = [asyncio.create_task(read_back(gateway, total)) for _ in range(3)]

    async def produce(number: int) -> list[str]:
        events, sent = Events(number), []
        async with sender(gateway) as client:
            for _ in range(rounds):
                made = [events.next() for _ in range(batch)]
                answer, _ = await send(client, orjson.dumps(made))
                assert (answer.status_code, answer.json()["stored"]) == (201, batch)
                sent += [event["meta"]["id"] for event in made]
        return sent

    sent = await asyncio.gather(*(produce(number) for number in range(PRODUCERS)))
    async with asyncio.timeout(WAIT):
        for heard in await asyncio.gather(*listening):
            places = {json.loads(value)["meta"]["id"]: place for place, value in enumerate(heard)}
            assert len(places) == len(heard) == total
            for own in sent:
                assert [places[one] for one in own] == sorted(places[one] for one in own)
    assert await gateway.stop() == 0


@pytest.mark.kafka
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broker_that_is_away_while_events_come(
    broker: KafkaBroker, serve: Serve, topic: str, fault: str
) -> None:
    """201 is never said of an event that is lost; what was answered with 503 and is sent again is stored once."""
    gateway = await serve(streams(topic), f"kafka://{broker.bootstrap}")
    take, give = FAULTS[fault]
    acknowledged: list[str] = []
    refused: set[str] = set()
    away, back, over = asyncio.Event(), asyncio.Event(), asyncio.Event()
    longest = 0.0

    async def produce(number: int) -> None:
        nonlocal longest
        events = Events(number)
        loop = asyncio.get_running_loop()
        async with sender(gateway) as client:
            while not over.is_set():
                event = events.next()
                name = event["meta"]["id"]
                while True:
                    begun = loop.time()
                    answer = await client.post("/v1/events", content=orjson.dumps(event))
                    longest = max(longest, loop.time() - begun)
                    if answer.status_code == 201:
                        break
                    assert answer.status_code == 503
                    assert int(answer.headers["retry-after"]) > 0
                    refused.add(name)
                    away.set()
                acknowledged.append(name)
                if back.is_set() and len(acknowledged) > mark + 200:
                    over.set()

    producing = [asyncio.create_task(produce(number)) for number in range(PRODUCERS)]
    mark = 1 << 60
    async with asyncio.timeout(4 * WAIT):
        while len(acknowledged) < 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.to_thread(take, broker)
        await away.wait()
        await asyncio.to_thread(give, broker)
        mark = len(acknowledged)
        back.set()
        await asyncio.gather(*producing)
    found = ids(await whole(gateway, topic))
    assert refused
    assert found == Counter(acknowledged)
    assert longest < ANSWER_SECONDS + STALL_SECONDS
    assert await gateway.stop() == 0


async def test_a_log_that_is_not_there_is_told_in_time(serve: Serve, topic: str) -> None:
    gateway = await serve(streams(topic), "kafka://127.0.0.1:1", ready=False, startup_wait=0.2)

    async def open_port() -> bool:
        return await gateway.readiness() == 503

    await eventually(open_port, "the gateway serves without its log")
    async with sender(gateway) as client:
        begun = asyncio.get_running_loop().time()
        events = Events()
        answers = await asyncio.gather(
            *(client.post("/v1/events", content=orjson.dumps(events.next())) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} == {503}
        assert asyncio.get_running_loop().time() - begun < ANSWER_SECONDS + STALL_SECONDS
        # What is wrong is told all the same.
        assert (await client.post("/v1/events", content=b"{}")).status_code == 400
    assert await gateway.stop() == 0


async def test_retries_over_restarts_and_between_workers(serve: Serve, log: str, topic: str) -> None:
    """Requests with a key are sent again and again while the gateway is killed; each event is stored once."""
    gateway = await serve(streams(topic), log, workers=2)
    events = Events()
    batches = []
    for number in range(12):
        made = [events.next() for _ in range(5)]
        for event in made:
            event["meta"] = {"stream": "wiki.change"}
            event["comment"] = f"batch {number}"
        batches.append((f"key-{number}", orjson.dumps(made)))

    async def send_again(key: str, body: bytes, client: httpx.AsyncClient) -> None:
        while True:
            try:
                answer = await client.post("/v1/events", content=body, headers={"idempotency-key": key})
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 201:
                return
            assert answer.status_code == 503

    async with asyncio.timeout(4 * WAIT), sender(gateway) as client:
        await asyncio.gather(*(send_again(key, body, client) for key, body in batches[:6]))
        sending = [asyncio.create_task(send_again(key, body, client)) for key, body in batches]
        workers = gateway.workers()
        assert len(workers) == 2
        await gateway.kill()
        # They end by themselves, and have the port until then.
        await eventually_printed(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        await gateway.start()
        await asyncio.gather(*sending)
    # Each request on a connection of its own, so that both workers get some.
    for key, body in batches:
        async with sender(gateway) as client:
            await send_again(key, body, client)
    found = await whole(gateway, topic)
    assert Counter(json.loads(value)["comment"] for value in found) == {f"batch {number}": 5 for number in range(12)}
    assert await gateway.stop() == 0


async def test_a_stop_while_events_come(serve: Serve, log: str, topic: str) -> None:
    """What was acknowledged before the process ends is stored, and nothing else but what got no answer."""
    gateway = await serve(streams(topic), log)
    acknowledged: list[str] = []
    unanswered: list[str] = []

    async def produce(number: int) -> None:
        events = Events(number)
        async with sender(gateway) as client:
            while True:
                event = events.next()
                try:
                    answer = await client.post("/v1/events?hasty=true", content=orjson.dumps(event))
                except httpx.TransportError:
                    unanswered.append(event["meta"]["id"])
                    return
                if answer.status_code == 503:
                    assert answer.json()["title"] == "Stopping"
                    return
                assert answer.status_code == 202
                acknowledged.append(event["meta"]["id"])

    producing = [asyncio.create_task(produce(number)) for number in range(PRODUCERS)]
    async with asyncio.timeout(WAIT):
        while len(acknowledged) < 300:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await gateway.stop() == 0
    await asyncio.gather(*producing)
    await gateway.start()
    found = ids(await whole(gateway, topic))
    assert set(acknowledged) <= set(found)
    assert set(found) <= {*acknowledged, *unanswered}
    assert max(found.values()) == 1
    assert await gateway.stop() == 0
