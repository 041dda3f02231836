"""Secrets: in variables, in files, and in no message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.app.composition import define
from gateway.errors import ConfigurationError
from gateway.secret_files import SECRET_BYTES
from gateway.settings.configuration import Configured, configure

SECRET = "correct horse\\ battery" + "!" * 300
STREAMS = "streams: {x: {description: One.}}\n"


def read(path: Path, text: str, environment: dict[str, str] | None = None, **flags: Any) -> Configured:
    file = path / "gateway.yaml"
    file.write_text(text + STREAMS)
    return configure({"config": str(file), **flags}, environment or {})


def told(path: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        define(read(path, text, environment))
    return [mistake.removeprefix(f"{path}/") for mistake in caught.value.mistakes]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


def test_variables_stand_in_any_text(tmp_path: Path) -> None:
    text = (
        "limits: redis://:${PASSWORD}@h:1/0\nport: ${PORT}\naccess_log: '${ON}'\nlog: kafka://k:9092\n"
        "kafka: {security_protocol: SASL_SSL, sasl_plain_username: u, sasl_plain_password: '${PASSWORD}'}\n"
        "schema_registry: {url: http://r, token: '${PASSWORD}'}\nexempt_networks: ['${NET}']\n"
    )
    environment = {"PASSWORD": "hunter", "PORT": "81", "ON": "true", "NET": "10.0.0.0/8"}
    settings = read(tmp_path, text, environment).settings
    assert (settings.limits, settings.port, settings.access_log) == ("redis://:hunter@h:1/0", 81, True)
    assert settings.kafka["sasl_plain_password"] == settings.schema_registry["token"] == "hunter"
    assert settings.exempt_networks == ("10.0.0.0/8",)


def test_variables_stand_in_streams(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(
        "streams: {x: {description: '${TEXT}', topics: ['${SITE}.x'], partitions: '${N}', "
        "canary_events_enabled: '${B}'}}"
    )
    environment = {"TEXT": "One.", "SITE": "eu", "N": "3", "B": "false"}
    stream = configure({"config": str(tmp_path / "g.yaml")}, environment).catalog.streams["x"]
    assert (stream.description, stream.topics, stream.partitions) == ("One.", ("eu.x",), 3)


def test_a_variable_that_is_not_set_is_told_at_its_line(tmp_path: Path) -> None:
    assert told(tmp_path, "port: ${PORT}\nkafka: {client_id: '${NAME}'}\n") == [
        "gateway.yaml:1:7: the environment variable PORT is not set; set it, or write $${ for a plain ${",
        "gateway.yaml:2:20: the environment variable NAME is not set; set it, or write $${ for a plain ${",
        'gateway.yaml:1: port is "${PORT}"; it takes a whole number from 0 to 65535',
    ]


def test_each_secret_may_stand_in_a_file(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "url").write_text("redis://:hidden@h:1/0\n")
    (tmp_path / "digest").write_text("0" * 64)
    text = (
        f"limits_file: {tmp_path}/url\nlog: kafka://k:9092\narchive_options: {{AWS_SECRET_ACCESS_KEY_file: {secret},"
        f" AWS_WEB_IDENTITY_TOKEN_FILE: /x}}\nschema_registry: {{url: http://r, token_file: {secret}}}\n"
        f"kafka: {{security_protocol: SASL_SSL, sasl_plain_username: u, sasl_plain_password_file: {secret}}}\n"
        f"static_tokens: {{a: {{sha256_file: {tmp_path}/digest, read: [x]}}}}\n"
    )
    configured = read(tmp_path, text)
    settings = configured.settings
    define(configured)
    assert settings.limits == "redis://:hidden@h:1/0"
    assert settings.kafka["sasl_plain_password"] == SECRET
    assert settings.archive_options == {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert settings.static_tokens["a"]["sha256"] == "0" * 64


def test_a_variable_may_name_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:hidden@h:1/0\n")
    environment = {"GATEWAY_LIMITS_FILE": str(tmp_path / "url")}
    assert read(tmp_path, "limits: memory://\n", environment).settings.limits == "redis://:hidden@h:1/0"
    environment["GATEWAY_LIMITS"] = "memory://"
    assert read(tmp_path, "", environment).settings.limits == "memory://"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read (no such file or directory)"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"x" * (SECRET_BYTES + 1), "is longer than 65,536 bytes"),
    ],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes | None, why: str) -> None:
    place = tmp_path / "secret"
    if content is not None:
        place.write_bytes(content)
    text = f"limits_file: {place}\nkafka:\n  security_protocol: SASL_SSL\n  sasl_plain_username: u\n"
    text += f"  sasl_plain_password_file: {place}\nschema_registry: {{url: http://r, token_file: {place}}}\n"
    assert told(tmp_path, text) == [
        f"gateway.yaml:1: limits_file: {place} {why}",
        f"gateway.yaml:5:3: kafka: sasl_plain_password_file: {place} {why}",
        f"gateway.yaml:6: schema_registry: token_file {place} {why}",
    ]


def test_a_directory_and_two_sources(tmp_path: Path) -> None:
    text = f"limits: memory://\nlimits_file: {tmp_path}\ntracing_file: {tmp_path}\nport_file: x\nhost_file: 3\n"
    assert told(tmp_path, text) == [
        "gateway.yaml:2: limits and limits_file are both given; keep one of them",
        "gateway.yaml:4: there is no setting port_file; did you mean port?",
        "gateway.yaml:5: host_file is the number 3; it takes the path of a file",
        f"gateway.yaml:3: tracing_file: {tmp_path} is no regular file",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "log: '${SECRET}'\n",
        "port: '${SECRET}'\n",
        "public_url: '${SECRET}'\n",
        "error_stream: '${SECRET}'\n",
        "tracing: 'http://u:${SECRET}@h'\n",
        "jwks: 'x/${SECRET}'\n",
        "log_file: {secret}\n",
        "kafka: {security_protocol: '${SECRET}'}\n",
        "kafka: {sasl_plain_password: '${SECRET}', security_protocol: SSL}\n",
        "kafka: {sasl_plain_password: [x], ssl_password: 123456789, security_protocol: SSL}\n",
        "kafka: {ssl_cafile: '/${SECRET}', security_protocol: SSL}\n",
        "schema_registry: {url: 'http://u:${SECRET}@h'}\n",
        "schema_registry: {url: 'no ${SECRET}'}\n",
        "static_tokens: {a: {sha256: '${SECRET}'}}\n",
        "archive: '${SECRET}://x'\nlog: x\n",
        "rules: {r: {streams: ['${SECRET}'], request: {url: '${SECRET}'}}}\n",
        "views: {v: {stream: '${SECRET}'}}\n",
        "trusted_proxies: ['${SECRET}']\n",
    ],
)
def test_no_message_repeats_a_secret(tmp_path: Path, secret: Path, text: str) -> None:
    environment = {"SECRET": SECRET}
    found = told(tmp_path, text.replace("{secret}", str(secret)) if "_file" in text else text, environment)
    assert found
    assert not [line for line in found if "correct horse" in line or "123456789" in line]


def test_a_reload_reads_variables_and_files_again(tmp_path: Path, secret: Path) -> None:
    text = (
        f"kafka: {{security_protocol: SASL_SSL, sasl_plain_username: '${{U}}', sasl_plain_password_file: {secret}}}\n"
    )
    first = read(tmp_path, text, {"U": "one"}).settings.kafka
    secret.write_text("another")
    second = read(tmp_path, text, {"U": "one"}).settings.kafka
    assert (first["sasl_plain_username"], second["sasl_plain_password"]) == ("one", "another")


@pytest.mark.parametrize(
    "text",
    [
        "limits: 'redis//u:hidden-word@h'\n",
        "limits: 'redis://u:hidden-word@h:99999/0'\n",
        "limits: ['redis://u:hidden-word@h']\n",
        "log: 'kafka://u:hidden-word@h:9092'\n",
        "log: 'kafa://h:9092,u:hidden-word@h:9092'\n",
        "tracing: 'u:hidden-word@h'\n",
        "jwks: 'ftp://u:hidden-word@h'\n",
        "public_url: 'https://u:hidden-word@h'\n",
        "kafka: hidden-word\n",
        "archive_options: hidden-word\n",
        "schema_registry: {url: 'u:hidden-word@h'}\n",
        "kafka: {sasl_jaas_config: 'x password=hidden-word;'}\n",
        "rules: {r: {on: [x], do: [{request: {method: POST, url: 'https://u:hidden-word@h'}}], dead_stream: x}}\n",
    ],
)
def test_no_message_repeats_a_secret_that_stands_in_the_file(tmp_path: Path, text: str) -> None:
    found = told(tmp_path, text)
    assert found
    assert not [line for line in found if "hidden-word" in line]


def test_no_message_repeats_a_secret_of_a_flag_or_a_variable(tmp_path: Path) -> None:
    for flags, environment in (
        ({"tracing": "u:hidden-word@h"}, {}),
        ({}, {"GATEWAY_TRACING": "u:hidden-word@h", "GATEWAY_LIMITS": "redis//:hidden-word@h"}),
    ):
        with pytest.raises(ConfigurationError) as caught:
            read(tmp_path, "", environment, **flags)
        assert not [line for line in caught.value.mistakes if "hidden-word" in line]


def test_what_a_service_repeats_is_hidden_wherever_the_secret_stood(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "url").write_text("redis://:of-a-file@h:1/0\n")
    text = (
        f"limits_file: {tmp_path}/url\narchive_options: {{AWS_SECRET_ACCESS_KEY: of-the-store, AWS_REGION: region-1}}\n"
    )
    text += "log: kafka://k:9092\nkafka: {security_protocol: SASL_SSL, sasl_plain_username: u, "
    text += f"sasl_plain_password_file: {secret}}}\n"
    configured = read(tmp_path, text + "tracing: ''\n", {"GATEWAY_TRACING": "http://h"})
    words = f"of-a-file of-the-store region-1 {SECRET}"
    (hidden,) = configured.secrets.hide([f"f:1: {words}"])
    assert hidden == "f:1: (password) (AWS_SECRET_ACCESS_KEY) region-1 (sasl_plain_password)"


def test_an_address_of_a_broker_has_no_user(tmp_path: Path) -> None:
    assert told(tmp_path, "log: kafka://me:secret@broker:9092\n") == [
        "gateway.yaml:1: log has a user or a password in it; they belong into kafka: sasl_plain_username and "
        "sasl_plain_password"
    ]
