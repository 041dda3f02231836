"""What `gateway check --connect` and `gateway init --kafka` say before a broker with TLS, users and rights."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.protocol.admin import CreateAclsRequest, ListGroupsRequest
from click.testing import CliRunner, Result

from gateway.commands.cli import main
from gateway.eventlog.kafka.log import KafkaLog
from gateway.model.record import NewRecord
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import ROOT, WAIT
from tests.eventlog.kit import patiently
from tests.services.certificates import Certificates, make_certificates
from tests.services.kafka import KafkaBroker, free_port

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

USER, PASSWORD, WRONG = "gateway", "correct-password", "wrong-password"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
OAUTH = (
    'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="x";'
)
"""Takes tokens that nobody has signed."""
LATE = re.compile(r"within [\d.]+ s\b")
READ, WRITE, DESCRIBE = 3, 4, 8
TOPICS = {
    "orders.events": (READ, DESCRIBE),
    "orders.described": (DESCRIBE,),
    "orders.hidden": (),
    "orders.taken": (READ, WRITE, DESCRIBE),
    "orders.framed": (READ, DESCRIBE),
    "orders.many": (READ, DESCRIBE),
}


@dataclass(frozen=True)
class Site:
    """A broker with a listener in the clear, one with TLS and users, and one that it advertises elsewhere."""

    broker: KafkaBroker
    secure: int
    astray: int
    certificates: Certificates

    def options(self, **more: Any) -> dict[str, Any]:
        given = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": USER,
            "sasl_plain_password": PASSWORD,
            "ssl_cafile": str(self.certificates.authority),
        } | more
        return {key: value for key, value in given.items() if value is not None}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path, openssl: str) -> Iterator[Site]:
    certificates = make_certificates(openssl, tmp_path_factory.mktemp("certificates"))
    secure, astray, dead = (free_port() for _ in range(3))
    properties = {
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,SECURE:SASL_SSL,ASTRAY:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.secure.oauthbearer.sasl.jaas.config": OAUTH,
        "listener.name.secure.plain.sasl.jaas.config": f'{PLAIN} user_{USER}="{PASSWORD}";',
        "listener.name.secure.scram-sha-512.sasl.jaas.config": SCRAM,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    listeners = {"SECURE": (secure, secure), "ASTRAY": (astray, dead)}
    directory = tmp_path_factory.mktemp("broker")
    broker = KafkaBroker(directory, kafka_jars, properties=properties, users={USER: PASSWORD}, listeners=listeners)
    broker.start()
    asyncio.run(fill(broker))
    yield Site(broker, secure, astray, certificates)
    broker.kill()


async def fill(broker: KafkaBroker) -> None:
    log = KafkaLog([broker.bootstrap])
    for topic, operations in TOPICS.items():
        await patiently(partial(log.create, topic, 200 if topic == "orders.many" else 1))
        for operation in operations:
            acl = CreateAclsRequest(2, topic, 3, f"User:{USER}", "*", operation, 3)
            answer = await patiently(partial(log._cluster.send_to_controller, acl))
            assert answer.creation_responses[0][0] == 0
    event = b'{"id": 1, "at": "2026-01-02T03:04:05Z", "name": "a"}'
    for topic in ("orders.events", "orders.taken", "orders.described"):
        await patiently(partial(log.append, topic, [NewRecord(event)] * 3))
    await patiently(partial(log.append, "orders.framed", [NewRecord(b"\0\0\0\0\7abc")]))
    await log.close()


async def traces(broker: KafkaBroker) -> tuple[list[str], list[Any]]:
    """The topics and the consumer groups that there are."""
    log = KafkaLog([broker.bootstrap])
    topics = sorted(await patiently(log.listed))
    groups = (await patiently(lambda: log._cluster.send_to_any(ListGroupsRequest()))).groups
    await log.close()
    return topics, groups


def invoke(*command: str) -> Result:
    """What a command gives. It is asked again where it says that the broker has not answered in time: one that has no
    core may be silent for seconds, and that is then all that is known of it."""
    deadline = time.monotonic() + WAIT
    while True:
        result = CliRunner().invoke(main, command)
        if LATE.search(result.output) is None or time.monotonic() > deadline:
            return result


def check(directory: Path, port: int, kafka: dict[str, Any], streams: dict[str, Any] | None = None) -> tuple[int, str]:
    """The exit status and what is said, of a configuration for this listener."""
    document = {
        "log": f"kafka://127.0.0.1:{port}",
        "kafka": kafka,
        "last_event_id_max": 4096,
        "streams": streams or {"orders": {"description": "Orders.", "topics": ["orders.events"]}},
    }
    (directory / "gateway.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    result = invoke("check", "--connect", "--config", str(directory / "gateway.yaml"))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert PASSWORD not in result.output
    assert WRONG not in result.output
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("listener", "options", "said"),
    [
        ("secure", {"sasl_plain_password": WRONG}, "the broker refuses the credentials"),
        ("secure", {"sasl_mechanism": "PLAIN", "sasl_plain_password": WRONG}, "the broker refuses the credentials"),
        ("secure", {"sasl_mechanism": "SCRAM-SHA-256"}, "the broker does not take this sasl_mechanism"),
        ("secure", {"ssl_cafile": None}, "the certificate is refused"),
        ("secure", {"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": None}, "the broker speaks TLS there"),
        (
            "secure",
            dict.fromkeys(("sasl_mechanism", "sasl_plain_username", "sasl_plain_password"), None)
            | {"security_protocol": "SSL"},
            "the broker has closed the connection; it may want a user: set security_protocol to SASL_",
        ),
        ("clear", {}, "the broker closes the connection in the handshake of TLS"),
        ("clear", {"security_protocol": "SASL_PLAINTEXT", "ssl_cafile": None}, "the broker wants no SASL there"),
    ],
)
def test_a_connection_that_does_not_fit_the_broker(
    site: Site, tmp_path: Path, listener: str, options: dict[str, Any], said: str
) -> None:
    port = site.secure if listener == "secure" else site.broker.port
    status, output = check(tmp_path, port, site.options(**options))
    assert status == 1
    assert f"MISTAKE  {tmp_path}/gateway.yaml:1: 127.0.0.1:{port}: {said}" in output


def unsigned(subject: str, begin: float, end: float) -> str:
    parts: list[dict[str, Any]] = [{"alg": "none"}, {"sub": subject, "iat": begin, "exp": end}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def test_a_token_instead_of_a_password(site: Site, tmp_path: Path) -> None:
    now = time.time()
    names = ("sasl_plain_username", "sasl_plain_password")
    file = tmp_path / "token"
    by_file = site.options(sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=str(file), **dict.fromkeys(names))
    file.write_text(unsigned(USER, now - 5, now + 600))
    status, output = check(tmp_path, site.secure, by_file)
    assert status == 0, output
    assert "topic orders.events: 1 partition; the gateway may describe, read" in output
    file.write_text(unsigned(USER, now - 60, now - 30))
    status, output = check(tmp_path, site.secure, by_file)
    assert status == 1
    assert "the broker refuses the credentials" in output
    by_command = {key: value for key, value in by_file.items() if key != "sasl_oauth_token_file"}
    status, output = check(tmp_path, site.secure, by_command | {"sasl_oauth_token_command": ["false"]})
    assert status == 1
    assert "sasl_oauth_token_command: false ended with status 1" in output


def test_a_broker_that_names_an_address_where_nothing_is(site: Site, tmp_path: Path) -> None:
    status, output = check(tmp_path, site.astray, {"client_id": "me"})
    assert status == 1
    assert f"  ok       127.0.0.1:{site.astray} answers" in output
    assert "(its advertised.listeners): nothing listens there" in output


def test_topics_rights_records_and_ids_at_once_and_no_trace(site: Site, tmp_path: Path) -> None:
    before = asyncio.run(traces(site.broker))
    names = {"good": "events", "read": "described", "hidden": "hidden", "framed": "framed", "many": "many"}
    streams = {name: {"description": "x", "topics": [f"orders.{topic}"]} for name, topic in names.items()}
    streams["close"] = {"description": "x", "topics": ["order.events"]}
    streams["far"] = {"description": "x", "topics": ["zzzzz"]}
    status, output = check(tmp_path, site.secure, site.options(), streams)
    lines = [line.replace(f"{tmp_path}/gateway.yaml", "f") for line in output.splitlines()]
    assert status == 1
    assert "  ok       topic orders.events: 1 partition; the gateway may describe, read" in lines
    assert '           {"id": 1, "at": "2026-01-02T03:04:05Z", "name": "a"}' in lines
    wrong = [line.removeprefix("  MISTAKE  ").split(": ", 1)[1] for line in lines if line.startswith("  MISTAKE")]
    begins = (
        "the gateway may not read topic orders.described; grant READ",
        "topic orders.hidden: no right: ",
        "topic orders.framed: its newest 1 record hold no event. partition 0, offset 0, ",
        "an id of many may take ",
        "topic order.events: no right: Kafka: topic order.events: TopicAuthorizationFailedError; grant DESCRIBE and "
        "READ (kafka-acls.sh), or correct its name; did you mean orders.events",
        "topic zzzzz: no right: ",
    )
    assert [line[: len(begin)] for line, begin in zip(wrong, begins, strict=True)] == list(begins)
    assert lines[-1] == "6 mistakes"
    assert asyncio.run(traces(site.broker)) == before


def test_a_draft_of_what_is_there_is_accepted(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asyncio.run(traces(site.broker))
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options.yaml").write_text(
        yaml.safe_dump({"kafka": site.options(sasl_plain_password="${KAFKA_PASSWORD}")})
    )
    command = ["init", "made", "--kafka", f"127.0.0.1:{site.secure}", "--kafka-options", "options.yaml"]
    made = invoke(*command, "--topics", "orders.*")
    assert made.exit_code == 0, made.output
    assert "orders.taken" in made.output
    assert "left out" in made.output.split("orders.framed")[1].splitlines()[0]
    text = (tmp_path / "made" / "config" / "gateway.yaml").read_text()
    assert "${KAFKA_PASSWORD}" in text
    assert PASSWORD not in text + made.output
    streams = yaml.safe_load(text)["streams"]
    assert set(streams) == {"orders.events", "orders.taken", "orders.many"}
    draft = yaml.safe_load((tmp_path / "made/config/schemas/orders.events/current.yaml").read_text())
    assert draft["properties"]["at"] == {"type": "string", "format": "date-time"}
    assert draft["description"].startswith("DRAFT")
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 1
    assert "exists already; nothing was written" in again.output
    monkeypatch.chdir(tmp_path / "made")
    plain = CliRunner().invoke(main, ["check"])
    assert plain.exit_code == 0, plain.output
    assert asyncio.run(traces(site.broker)) == before
    wrong = invoke("init", "other", "--kafka", f"127.0.0.1:{site.secure}")
    assert wrong.exit_code == 1
    assert "the broker speaks TLS there" in wrong.output
    assert not (tmp_path / "other").exists()


async def test_the_options_of_the_guide_lead_to_an_event(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateways: Launch
) -> None:
    """docs/KAFKA.md with TLS and a user: the file as it stands there, `init`, `check --connect` and `serve`; and the
    password is in nothing that is written or said, debug messages included."""
    (block,) = re.findall(
        r"^```yaml\n(kafka:\n.*?)^```$", (ROOT / "docs/KAFKA.md").read_text(), re.MULTILINE | re.DOTALL
    )
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kafka.yaml").write_text(block.replace("/etc/gateway/ca.pem", str(site.certificates.authority)))
    words = ["--kafka", f"localhost:{site.secure}", "--kafka-options", "kafka.yaml", "--topics", "orders.events"]
    made = await asyncio.to_thread(invoke, "init", "my-gateway", *words)
    assert made.exit_code == 0, made.output
    monkeypatch.chdir(tmp_path / "my-gateway")
    checked = await asyncio.to_thread(invoke, "check", "--connect")
    assert checked.exit_code == 0, checked.output
    assert '"name": "a"' in checked.output
    config = tmp_path / "my-gateway" / "config"
    gateway = gateways(
        *("--config", str(config / "gateway.yaml"), "--schemas", str(config / "schemas"), "--log-level", "debug")
    )
    gateway.variables = {"KAFKA_PASSWORD": PASSWORD}
    await gateway.start()
    answer = await gateway.get("/v2/stream/orders.events?since=1d&limit=1")
    assert '"2026-01-02T03:04:05Z"' in answer.text
    said = (config / "gateway.yaml").read_text() + made.output + checked.output + gateway.errors
    assert PASSWORD not in said
    assert base64.b64encode(PASSWORD.encode()).decode() not in said
