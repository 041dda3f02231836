"""Topics that the gateway may not describe or read, and partitions whose only replica is away: the others go on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import LogReader
from gateway.eventlog.trouble import Kind, Refusal, Trouble
from gateway.model.record import TopicPartition
from tests.end_to_end.conftest import Serve
from tests.end_to_end.follower import Follow, Follower
from tests.end_to_end.kafka import Producer, open_producer, place_topic
from tests.end_to_end.process import WAIT, GatewayProcess, eventually
from tests.end_to_end.test_intake import Events, sender, streams
from tests.eventlog.kit import patiently
from tests.services.kafka import KafkaBroker, KafkaCluster

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
LEADER = 1
READ, WRITE, DESCRIBE = 3, 4, 8
TOPIC, LITERAL, ALLOW = 2, 3, 3


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[KafkaBroker]:
    """A broker that lets nobody but its operator do what was not allowed."""
    users = "".join(f' user_{name}="{name}"' for name in ("operator", "gateway"))
    properties = {
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": f'{PLAIN} username="operator" password="operator"{users};',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:operator;User:ANONYMOUS",
    }
    broker = KafkaBroker(tmp_path_factory.mktemp("guarded"), kafka_jars, properties=properties)
    broker.start()
    yield broker
    broker.kill()


def signed_in(name: str) -> dict[str, object]:
    """The `kafka:` part of the configuration of a user."""
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": name,
        "sasl_plain_password": name,
    }


class Operator:
    """Who may do everything."""

    def __init__(self, log: KafkaLog, admin: AIOKafkaAdminClient, producer: Producer) -> None:
        self._log = log
        self._admin = admin
        self._producer = producer

    async def create(self, topic: str) -> None:
        """Create a topic, however long the broker takes."""
        await patiently(lambda: self._log.create(topic))

    async def send(self, topic: str, numbers: range) -> None:
        """Store events, each once, however long the broker takes: an append of the log's would end after seconds."""
        await self._producer.send(topic, numbers)

    async def allow(self, topic: str, operation: int) -> None:
        """Let the gateway do this with a topic."""
        await self._ask(CreateAclsRequest(TOPIC, topic, LITERAL, "User:gateway", "*", operation, ALLOW))

    async def forbid(self, topic: str, operation: int) -> None:
        """Take the right back."""
        await self._ask(DeleteAclsRequest(TOPIC, topic, LITERAL, "User:gateway", "*", operation, ALLOW))

    async def _ask(self, request: Any) -> None:
        response = await self._admin._send_request(request)
        codes = [answer[0] for answer in response.to_object().values() if isinstance(answer, tuple)]
        assert not any(codes), response


@asynccontextmanager
async def operator_of(broker: KafkaBroker) -> AsyncIterator[Operator]:
    log = KafkaLog([broker.bootstrap], signed_in("operator"))
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap, **signed_in("operator"))
    await admin.start()
    try:
        async with open_producer(broker.bootstrap, **signed_in("operator")) as producer:
            yield Operator(log, admin, producer)
    finally:
        await admin.close()
        await log.close()


async def stuck(gateway: GatewayProcess) -> dict[str, str]:
    found: dict[str, str] = json.loads(await gateway.inside("/readyz")).get("stuck", {})
    return found


async def becomes_stuck(gateway: GatewayProcess, *names: str) -> None:
    async def check() -> bool:
        return {*names} == {*await stuck(gateway)}

    await eventually(check, f"stuck are {names}")


async def promptly(
    send: Callable[[str, range], Awaitable[None]], topic: str, numbers: range, seconds: float, *clients: Follower
) -> None:
    """Events in five batches, each of which comes to the clients before the next is sent. One or the other may be late
    on a busy machine; what waits for a sick partition would be late each time."""
    taken, step = [], len(numbers) // 5
    for first in numbers[::step]:
        await send(topic, range(first, first + step))
        began = time.monotonic()
        await asyncio.gather(*(client.have(first + step - 1) for client in clients))
        taken.append(time.monotonic() - began)
    assert sorted(taken)[len(taken) // 2] < seconds, taken


async def read(reader: LogReader, refused: int, records: int) -> tuple[dict[TopicPartition, Kind], int]:
    """The refusals, and how many records came: until there are so many of both, and once more."""
    refusals: dict[TopicPartition, Kind] = {}
    count, more = 0, True
    async with asyncio.timeout(WAIT):
        while more:
            more = len(refusals) < refused or count < records
            for one in await reader.fetch(0.5):
                if isinstance(one, Refusal):
                    assert one.partition not in refusals, "a refusal is told once"
                    refusals[one.partition] = one.trouble.kind
                else:
                    count += len(one.records)
    return refusals, count


async def test_what_the_port_says_of_rights(guarded: KafkaBroker, topic: str) -> None:
    hidden, closed, opened = (f"{topic}.{name}" for name in ("hidden", "closed", "opened"))
    async with operator_of(guarded) as operator:
        for name in (hidden, closed, opened):
            await operator.create(name)
            await operator.send(name, range(3))
        await operator.allow(closed, DESCRIBE)
        await operator.allow(opened, READ)
        log = KafkaLog([guarded.bootstrap], signed_in("gateway"))
        places = {name: TopicPartition(name, 0) for name in (hidden, closed, opened)}

        async def in_force() -> bool:
            # The broker answers before its own authorizer knows of a right.
            told = await patiently(lambda: log.describe([closed, opened]))
            return not any(isinstance(state, Trouble) for state in told.values())

        await eventually(in_force, "the rights are in force")
        states = await patiently(lambda: log.describe([*places, f"{topic}.absent"]))
        told = states[hidden]
        assert isinstance(told, Trouble)
        assert told.kind is Kind.NO_RIGHT
        assert not isinstance(states[closed], Trouble)
        bounds = await patiently(lambda: log.bounds(list(places.values())))
        refusal = bounds[places[hidden]]
        assert isinstance(refusal, Trouble)
        assert refusal.kind is Kind.NO_RIGHT
        assert bounds[places[closed]] == bounds[places[opened]] == (0, 3)
        reader = await patiently(lambda: log.reader(dict.fromkeys(places.values(), 0)))
        refused, count = await read(reader, 2, 3)
        assert refused == {places[hidden]: Kind.NO_RIGHT, places[closed]: Kind.NO_RIGHT}
        assert count == 3
        await operator.allow(closed, READ)
        await reader.add({places[closed]: 1})
        count = 0
        async with asyncio.timeout(WAIT):
            while count < 2:
                for one in await reader.fetch(0.5):
                    if isinstance(one, Refusal):
                        # Until the authorizer knows of the right.
                        assert (one.partition, one.trouble.kind) == (places[closed], Kind.NO_RIGHT)
                        await reader.add({places[closed]: 1})
                    else:
                        count += len(one.records)
        assert count == 2
        await reader.close()
        await log.close()


async def test_topics_that_may_not_be_described_or_read(
    guarded: KafkaBroker, serve: Serve, follow: Follow, topic: str
) -> None:
    """At a start, and when a right is revoked while the gateway runs and given back."""
    well, hidden, closed = (f"{topic}.{name}" for name in ("well", "hidden", "closed"))
    async with operator_of(guarded) as operator:
        for base, name in ((0, well), (1000, hidden), (2000, closed)):
            await operator.create(name)
            await operator.send(name, range(base, base + 100))
        await operator.allow(well, READ)
        await operator.allow(closed, DESCRIBE)
        streams = {"well": {"topics": [well]}, "all": {"topics": [well, hidden, closed]}}
        gateway = await serve(
            streams, f"kafka://{guarded.bootstrap}", kafka=signed_in("gateway"), heartbeat=0.5, metadata_interval=1
        )
        await becomes_stuck(gateway, f"{hidden}/0", f"{closed}/0")
        assert all(why.startswith("no right") for why in (await stuck(gateway)).values())
        assert guarded.bootstrap not in (await gateway.get("/readyz")).text
        alone, every = await follow(gateway.port, "well", since=1), await follow(gateway.port, "all", since=1)
        live = await follow(gateway.port, "all")
        await asyncio.gather(alone.have(99), every.have(99))
        await promptly(operator.send, well, range(100, 200), 2, alone, every, live)
        await every.heard(f"waiting for {closed}/0, {hidden}/0")
        resumed = await follow(gateway.port, "all", every.messages[50].identifier)
        await resumed.have(199)

        async def counted() -> bool:
            metrics = await gateway.metrics()
            return all(f'topic="{name}"' in metrics for name in (hidden, closed)) and 'reason="no right"' in metrics

        await eventually(counted, "the metrics name them")
        await operator.allow(hidden, READ)
        await operator.allow(closed, READ)
        await asyncio.gather(every.have(1099), every.have(2099), resumed.have(1099), resumed.have(2099))
        await becomes_stuck(gateway)
        await operator.forbid(hidden, READ)
        await operator.send(hidden, range(1100, 1200))
        await becomes_stuck(gateway, f"{hidden}/0")
        await promptly(operator.send, well, range(200, 300), 2, alone, every, live)
        await operator.allow(hidden, READ)
        await asyncio.gather(every.have(1199), resumed.have(1199), live.have(1199))
        assert sorted(alone.numbers) == [*range(300)]
        assert sorted(every.numbers) == [*range(300), *range(1000, 1200), *range(2000, 2100)]
        assert sorted(resumed.numbers) == [n for n in sorted(every.numbers) if n > 50]
        assert len(set(live.numbers)) == len(live.numbers)
        assert {*range(100, 300), *range(1100, 1200)} <= {*live.numbers}


async def test_events_for_a_topic_whose_right_is_revoked(guarded: KafkaBroker, serve: Serve, topic: str) -> None:
    """No try of a client's heals that, so none is asked for."""
    made = Events()
    async with operator_of(guarded) as operator:
        await operator.create(topic)
        for right in (READ, WRITE, DESCRIBE):
            await operator.allow(topic, right)
        gateway = await serve(streams(topic), f"kafka://{guarded.bootstrap}", kafka=signed_in("gateway"))
        async with sender(gateway) as client:

            async def answered(status: int) -> bool:
                answer = await client.post("/v1/events", json=made.next())
                if answer.status_code == 500:
                    assert "retry-after" not in answer.headers
                    assert "operator" in answer.json()["detail"]
                    assert guarded.bootstrap not in answer.text
                return answer.status_code == status

            await eventually(lambda: answered(201), "events are stored")
            for right in (READ, WRITE, DESCRIBE):
                await operator.forbid(topic, right)
            await eventually(lambda: answered(500), "events are refused for good")
            for _ in range(3):
                assert await answered(500)
            for right in (READ, WRITE, DESCRIBE):
                await operator.allow(topic, right)
            await eventually(lambda: answered(201), "events are stored again")


async def test_a_start_while_a_partition_has_no_leader(
    cluster: KafkaCluster, serve: Serve, follow: Follow, topic: str
) -> None:
    bootstrap = cluster.bootstrap
    alone, others = f"{topic}.alone", f"{topic}.others"
    await place_topic(bootstrap, alone, [LEADER])
    await place_topic(bootstrap, others, [2, 3, LEADER])
    async with open_producer(bootstrap) as producer:
        await producer.send(alone, range(100))
        await producer.send(others, range(1000, 1100))
        await asyncio.to_thread(cluster.brokers[LEADER].stop)
        streams = {"others": {"topics": [others]}, "both": {"topics": [alone, others]}}
        gateway = await serve(streams, f"kafka://{bootstrap}", heartbeat=0.5, metadata_interval=1)
        await becomes_stuck(gateway, f"{alone}/0")
        live, both = await follow(gateway.port, "others"), await follow(gateway.port, "both", since=1)
        await both.have(1099)
        await promptly(producer.send, others, range(1100, 1200), 3, live, both)
        await both.heard(f"waiting for {alone}/0")
        await asyncio.to_thread(cluster.start)
        await both.have(99)
        await becomes_stuck(gateway)
        await asyncio.to_thread(cluster.brokers[LEADER].stop)
        await promptly(producer.send, others, range(1200, 1300), 5, live, both)
        await asyncio.to_thread(cluster.start)
        await producer.send(alone, range(100, 200))
        await both.have(199)
    assert sorted(both.numbers) == [*range(200), *range(1000, 1300)]
    assert len(set(live.numbers)) == len(live.numbers)


async def test_a_topic_that_appears_without_a_leader(
    cluster: KafkaCluster, serve: Serve, follow: Follow, topic: str
) -> None:
    bootstrap = cluster.bootstrap
    alone, others = f"{topic}.alone", f"{topic}.others"
    await place_topic(bootstrap, others, [2, 3, LEADER])
    streams = {"others": {"topics": [others]}, "both": {"topics": [alone, others]}}
    gateway = await serve(streams, f"kafka://{bootstrap}", heartbeat=0.5, metadata_interval=3)
    live, both = await follow(gateway.port, "others"), await follow(gateway.port, "both")
    async with open_producer(bootstrap) as producer:
        await producer.send(others, range(1000, 1010))
        await asyncio.gather(live.have(1009), both.have(1009))
        await place_topic(bootstrap, alone, [LEADER])
        await asyncio.to_thread(cluster.brokers[LEADER].kill)
        await becomes_stuck(gateway, f"{alone}/0")
        await promptly(producer.send, others, range(1010, 1100), 3, live, both)
        await asyncio.to_thread(cluster.start)
        await producer.send(alone, range(50))
        await both.have(49)
    assert sorted(both.numbers) == [*range(50), *range(1000, 1100)]
