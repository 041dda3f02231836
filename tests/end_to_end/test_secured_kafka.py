"""Gateways before a broker that demands TLS and a password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.log import KafkaLog
from gateway.eventlog.port import Bounds
from gateway.model.record import NewRecord, TopicPartition
from tests.end_to_end.account import Account
from tests.end_to_end.conftest import Launch, Serve
from tests.end_to_end.follower import Follow, Follower
from tests.end_to_end.kafka import event
from tests.end_to_end.process import GatewayProcess, configuration, eventually
from tests.eventlog.kit import patiently
from tests.services.certificates import Certificates, make_certificates
from tests.services.kafka import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

USER = "gateway"
PASSWORD = "correct-password"
WRONG = "wrong-password"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, openssl: str) -> Certificates:
    return make_certificates(openssl, tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secured(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path
) -> Iterator[KafkaBroker]:
    """A broker that takes SASL over TLS and nothing else, also from itself."""
    properties = {
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": (
            f'{PLAIN} username="broker" password="{PASSWORD}" user_broker="{PASSWORD}" user_{USER}="{PASSWORD}";'
        ),
        "listener.name.clients.scram-sha-512.sasl.jaas.config": SCRAM,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
    }
    directory = tmp_path_factory.mktemp("secured")
    broker = KafkaBroker(directory, kafka_jars, properties=properties, users={USER: PASSWORD})
    broker.start()
    yield broker
    broker.kill()


def options(authority: Path | None, mechanism: str, password: str) -> dict[str, object]:
    """The `kafka:` part of the configuration."""
    given: dict[str, object] = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": USER,
        "sasl_plain_password": password,
    }
    return given if authority is None else {**given, "ssl_cafile": str(authority)}


async def test_tls_and_a_password(
    secured: KafkaBroker,
    certificates: Certificates,
    gateways: Launch,
    follow: Follow,
    account: Callable[[str], Account],
    topic: str,
    tmp_path: Path,
) -> None:
    """Writing, reading, replaying, and coming back after the broker has gone away, through TLS, by each mechanism."""
    log = KafkaLog([secured.bootstrap], options(certificates.authority, "SCRAM-SHA-512", PASSWORD))
    await patiently(lambda: log.create(topic))
    live: dict[GatewayProcess, Follower] = {}
    for mechanism in ("PLAIN", "SCRAM-SHA-512"):
        directory = tmp_path / mechanism
        directory.mkdir()
        allowed = options(certificates.authority, mechanism, PASSWORD)
        given = configuration(directory, {"numbers": {"topics": [topic]}}, kafka=allowed)
        gateway = gateways("--config", str(given), "--log", f"kafka://{secured.bootstrap}")
        await gateway.start()
        live[gateway] = await follow(gateway.port, "numbers")
    await log.append(topic, [NewRecord(event(number, padding=500), partition=0) for number in range(1000)])
    replay = [await follow(gateway.port, "numbers", since=1) for gateway in live]
    await asyncio.gather(*(client.number(999) for client in (*live.values(), *replay)))
    await asyncio.to_thread(secured.kill)
    await asyncio.gather(*(client.heard("waiting for the log") for client in live.values()))
    await asyncio.to_thread(secured.start)
    line = account("broker with TLS and SASL killed")

    async def go_on() -> None:
        """The broker answers before it leads the partition. An append that was given up then has stored nothing, or
        all: the end tells."""
        bounds = (await log.bounds([TopicPartition(topic, 0)]))[TopicPartition(topic, 0)]
        if not isinstance(bounds, Bounds) or bounds.end < 1000:
            raise LogUnavailable(str(bounds))
        if bounds.end == 1000:
            await log.append(topic, [NewRecord(event(number), partition=0) for number in range(1000, 1100)])

    await patiently(go_on)
    await log.close()
    resumed = [await follow(each.port, "numbers", client.messages[500].identifier) for each, client in live.items()]
    await line.heal([*live.values(), *replay, *resumed], 1099)
    for client in (*live.values(), *replay):
        line.count(client, range(1100))
    for client in resumed:
        line.count(client, range(501, 1100))
    line.close()
    for gateway in live:
        assert PASSWORD not in gateway.errors + await gateway.inside("/readyz")


@pytest.mark.parametrize(
    ("mechanism", "password", "trusted", "said"),
    [
        ("PLAIN", WRONG, True, "Authentication"),
        ("SCRAM-SHA-512", WRONG, True, "Authentication"),
        ("PLAIN", PASSWORD, False, "certificate"),
    ],
)
async def test_what_the_broker_or_the_gateway_does_not_trust(
    secured: KafkaBroker,
    certificates: Certificates,
    serve: Serve,
    topic: str,
    *,
    mechanism: str,
    password: str,
    trusted: bool,
    said: str,
) -> None:
    """The gateway is not ready, and says why."""
    given = options(certificates.authority if trusted else None, mechanism, password)
    log = f"kafka://{secured.bootstrap}"
    gateway = await serve({"numbers": {"topics": [topic]}}, log, ready=False, startup_wait=0.1, kafka=given)

    async def told() -> bool:
        return await gateway.readiness() == 503 and said in await gateway.inside("/readyz")

    await eventually(told, said)
    assert password not in await gateway.inside("/readyz") + gateway.errors
