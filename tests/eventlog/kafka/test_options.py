"""The options of Kafka, and what is said about mistakes in them."""

from __future__ import annotations

import inspect
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from gateway.errors import ConfigurationError
from gateway.eventlog.kafka.names import wrong_name
from gateway.eventlog.kafka.options import (
    connection_options,
    kafka_warnings,
    parse_address,
    parse_bootstrap,
    read_kafka,
)
from gateway.model.setting import MemberMistake
from tests.services.certificates import make_certificates


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("kafka", ("kafka", 9092)),
        ("kafka:19092", ("kafka", 19092)),
        (" 10.0.0.1:1 ", ("10.0.0.1", 1)),
        ("[::1]:9093", ("::1", 9093)),
        ("[::1]", ("::1", 9092)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":9092", "kafka:", "kafka:port", "kafka:0", "kafka:65536"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        parse_bootstrap([text])


def test_no_address_at_all() -> None:
    with pytest.raises(ConfigurationError):
        parse_bootstrap([])


def test_the_defaults() -> None:
    options = connection_options({})
    assert options["security_protocol"] == "PLAINTEXT"
    assert options["ssl_context"] is None


def test_sasl_and_tls() -> None:
    options = connection_options(
        {
            "security_protocol": "sasl_ssl",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "user",
            "sasl_plain_password": "secret",
            "ssl_check_hostname": False,
        }
    )
    context = options["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert not context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"


SASL = {"security_protocol": "SASL_SSL", "sasl_plain_username": "u", "sasl_plain_password": "hidden"}
OAUTH = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
CLIENT = {"sasl_oauth_client_id": "c", "sasl_oauth_client_secret": "hidden"}
TLS = {"security_protocol": "SSL"}

MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    # Names: of other clients, misspelt, of other settings.
    ({"security.protocol": "SSL"}, ["kafka has no security.protocol; write security_protocol"]),
    ({"sasl_username": "u"}, ["kafka has no sasl_username; write sasl_plain_username"]),
    ({"sasl.password": "hidden"}, ["kafka has no sasl.password; write sasl_plain_password"]),
    ({"ssl.ca.location": "ca.pem"}, ["kafka has no ssl.ca.location; write ssl_cafile"]),
    (
        {"bootstrap.servers": "k:1"},
        ["kafka has no bootstrap.servers; the brokers stand in the setting log: kafka://host:port,host:port"],
    ),
    (
        {"sasl.jaas.config": "x hidden"},
        ["kafka has no sasl.jaas.config; write its parts: sasl_plain_username and sasl_plain_password"],
    ),
    (
        {"ssl.truststore.location": "t.jks"},
        [
            "kafka has no ssl.truststore.location; a Java keystore cannot be read; export it as PEM (keytool "
            "-exportcert -rfc, or openssl pkcs12) and name it with ssl_cafile"
        ],
    ),
    ({"sasl.kerberos.service.name": "k"}, ["kafka has no sasl.kerberos.service.name; Kerberos is not supported"]),
    ({"group.id": "g"}, ["kafka has no group.id; remove it: it uses no consumer group to read"]),
    ({"security_protocl": "SSL"}, ["kafka has no security_protocl; did you mean security_protocol?"]),
    ({"qqq": 1}, ["kafka has no qqq; it takes client_id, security_protocol, "]),
    # Values.
    (
        {"security_protocol": "TLS"},
        ['kafka: security_protocol is "TLS"; it takes one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL'],
    ),
    (
        SASL | {"sasl_mechanism": "GSSAPI"},
        [
            'kafka: sasl_mechanism is "GSSAPI"; it takes PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, '
            "AWS_MSK_IAM. Kerberos is not supported"
        ],
    ),
    (SASL | {"sasl_plain_password": 123456}, ["kafka: sasl_plain_password is a number; it takes a text (in quotes)"]),
    (SASL | {"sasl_plain_username": 12}, ["kafka: sasl_plain_username is the number 12; it takes a text (in quotes)"]),
    (SASL | {"sasl_plain_password": " "}, ["kafka: sasl_plain_password is not shown; it takes a text (in quotes)"]),
    (TLS | {"ssl_check_hostname": "perhaps"}, ['kafka: ssl_check_hostname is "perhaps"; it takes true or false']),
    (
        {"connections_max_idle_ms": 1},
        ["kafka: connections_max_idle_ms is the number 1; it takes milliseconds, a whole number from 1000 to 86400000"],
    ),
    (
        OAUTH | {"sasl_oauth_token_command": "a b"},
        ['kafka: sasl_oauth_token_command is "a b"; it takes a list of words: the program first'],
    ),
    # Names, values and files at once.
    (
        TLS | {"sasl_username": "u", "client_id": 5, "ssl_cafile": "/absent/ca.pem"},
        [
            "kafka has no sasl_username; write sasl_plain_username",
            "kafka: client_id is the number 5; it takes a text (in quotes)",
            "kafka: ssl_cafile /absent/ca.pem: there is no such file",
        ],
    ),
    # What does not fit together.
    (
        {"security_protocol": "SASL_SSL"},
        [
            "kafka: SASL_SSL with PLAIN needs sasl_plain_username",
            "kafka: SASL_SSL with PLAIN needs sasl_plain_password (or sasl_plain_password_file)",
        ],
    ),
    (
        {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u"},
        [
            "kafka: sasl_mechanism has no effect with security_protocol PLAINTEXT (the default); set "
            "security_protocol: SASL_SSL or SASL_PLAINTEXT",
            "kafka: sasl_plain_username has no effect with security_protocol PLAINTEXT (the default); set "
            "security_protocol: SASL_SSL or SASL_PLAINTEXT",
        ],
    ),
    (
        {"ssl_cafile": "ca.pem"},
        [
            "kafka: ssl_cafile has no effect with security_protocol PLAINTEXT (the default); set "
            "security_protocol: SSL (or SASL_SSL)"
        ],
    ),
    (
        TLS | {"sasl_mechanism": "PLAIN"},
        ["kafka: sasl_mechanism has no effect with security_protocol SSL; set security_protocol: SASL_SSL"],
    ),
    (
        TLS | {"ssl_keyfile": "key.pem"},
        [
            "kafka: ssl_keyfile needs ssl_certfile, the certificate that the key belongs to",
            "kafka: ssl_keyfile key.pem: there is no such file",
        ],
    ),
    (
        SASL | {"sasl_mechanism": "OAUTHBEARER"},
        [
            "kafka: OAUTHBEARER has no source of tokens; give one of sasl_oauth_token_file, sasl_oauth_token_command, "
            "sasl_oauth_token_url",
            "kafka: sasl_plain_username has no effect with OAUTHBEARER; remove it, or change sasl_mechanism",
            "kafka: sasl_plain_password has no effect with OAUTHBEARER; remove it, or change sasl_mechanism",
        ],
    ),
    (
        OAUTH | {"sasl_oauth_token_url": "http://issuer/token", "sasl_oauth_client_id": "c"},
        [
            "kafka: sasl_oauth_token_url sends the secret in the clear; it takes an https:// URL",
            "kafka: sasl_oauth_token_url needs sasl_oauth_client_secret (or sasl_oauth_client_secret_file)",
        ],
    ),
    (
        OAUTH | CLIENT | {"sasl_oauth_token_file": "t"},
        [
            "kafka: sasl_oauth_client_id has no effect with OAUTHBEARER; remove it, or change sasl_mechanism",
            "kafka: sasl_oauth_client_secret has no effect with OAUTHBEARER; remove it, or change sasl_mechanism",
        ],
    ),
    (
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "AWS_MSK_IAM"},
        [
            "kafka: AWS_MSK_IAM needs security_protocol: SASL_SSL",
            "kafka: AWS_MSK_IAM needs sasl_aws_region, such as eu-central-1",
        ],
    ),
    (
        SASL | {"sasl_plain_password_file": "/x"},
        ["kafka: sasl_plain_password and sasl_plain_password_file are both given; keep one of them"],
    ),
    # Files.
    (TLS | {"ssl_cafile": "/absent/ca.pem"}, ["kafka: ssl_cafile /absent/ca.pem: there is no such file"]),
    (TLS | {"ssl_cafile": "/"}, ["kafka: ssl_cafile /: it is a directory"]),
    (TLS | {"ssl_capath": "/absent"}, ["kafka: ssl_capath /absent: no such file or directory"]),
    (TLS | {"ssl_cadata": "hidden"}, ["kafka: ssl_cadata: it holds no certificate (PEM)"]),
    (
        {"security_protocol": "SSL", "ssl_certfile": "/a", "ssl_keyfile": "/b"},
        ["kafka: ssl_certfile /a: there is no such file", "kafka: ssl_keyfile /b: there is no such file"],
    ),
]


def test_the_library_that_signs_for_amazon_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"security_protocol": "SASL_SSL", "sasl_mechanism": "AWS_MSK_IAM", "sasl_aws_region": "eu-central-1"}
    assert read_kafka(options) == options
    monkeypatch.setattr("gateway.eventlog.kafka.options.SIGNER", "no_such_library")
    with pytest.raises(ValueError, match=r"AWS_MSK_IAM needs a library: pip install 'event-gateway\[msk\]'"):
        read_kafka(options)


@pytest.mark.parametrize(("options", "expected"), MISTAKES)
def test_each_mistake_is_told_at_its_key(options: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_kafka(options)
    told = caught.value.args
    assert [line[: len(begin)] for line, begin in zip(told, expected, strict=True)] == expected
    assert all(isinstance(line, MemberMistake) and line.names[0] in options for line in told)
    assert "hidden" not in str(told)
    assert "123456" not in str(told)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"hidden", "it holds nothing in PEM"),
        (b"\xfe\xed\xfe\xed\x00", "this is a keystore; export it as PEM"),
        (b"\x30\x82\x01\x02", "this is binary (DER or PKCS #12); export it as PEM"),
        (b"-----BEGIN CERTIFICATE-----\nhidden\n-----END CERTIFICATE-----\n", "no certificate in it can be read"),
        (b"-----BEGIN PRIVATE KEY-----\nhidden\n-----END PRIVATE KEY-----\n", "no certificate in it can be read"),
    ],
)
def test_a_file_that_holds_no_authority(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        connection_options(TLS | {"ssl_cafile": str(file)})
    assert caught.value.mistakes[0].startswith(f"kafka: ssl_cafile {file}: {why}")
    assert "hidden" not in str(caught.value)


def test_certificates_and_their_keys(openssl: str, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    authority, both = make_certificates(openssl, tmp_path / "one")
    make_certificates(openssl, tmp_path / "other")
    certificate, key, other = (tmp_path / name for name in ("one/server.crt", "one/server.key", "other/server.key"))
    encrypted = tmp_path / "encrypted.pem"
    command = [openssl, "pkcs8", "-topk8", "-in", str(key), "-out", str(encrypted), "-passout", "pass:hidden"]
    subprocess.run(command, check=True, capture_output=True)
    good = TLS | {"ssl_cafile": str(authority), "ssl_certfile": str(certificate)}
    assert read_kafka(good | {"ssl_keyfile": str(key)})
    assert read_kafka(TLS | {"ssl_certfile": str(both)})
    assert read_kafka(good | {"ssl_keyfile": str(encrypted), "ssl_password": "hidden"})
    for options, why in (
        ({"ssl_keyfile": str(other)}, "the key does not belong to the certificate in ssl_certfile"),
        ({}, "the file holds a certificate without its key; name the key with ssl_keyfile"),
        ({"ssl_keyfile": str(authority)}, "no key with its certificate can be read"),
        ({"ssl_keyfile": str(encrypted)}, r"the key is encrypted; set ssl_password \(or ssl_password_file\)"),
        ({"ssl_keyfile": str(encrypted), "ssl_password": "wrong"}, "the key does not open with ssl_password"),
    ):
        with pytest.raises(ValueError, match=why):
            read_kafka(good | options)


def test_what_the_client_knows_and_the_gateway_does_itself_is_accepted_with_a_warning() -> None:
    given: dict[str, Any] = {"metadata_max_age_ms": 1000, "client_id": "me"}
    assert connection_options(given)["client_id"] == "me"
    assert kafka_warnings(given) == [
        "kafka: metadata_max_age_ms changes nothing here: metadata_interval says when it looks for changes"
    ]
    clear = {**SASL, "security_protocol": "SASL_PLAINTEXT"}
    assert "in the clear" in kafka_warnings(clear)[0]
    assert "any server" in kafka_warnings(TLS | {"ssl_check_hostname": False})[0]


def test_every_key_of_the_client_is_known() -> None:
    """Those of aiokafka's consumer, producer and administration."""
    own = {"self", "topics", "loop", "key_deserializer", "value_deserializer", "key_serializer", "value_serializer"}
    own |= {"partitioner", "partition_assignment_strategy", "consumer_timeout_ms", "check_crcs"}
    unknown = {
        key
        for kind in (AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)
        for key in inspect.signature(kind).parameters
        if key not in own and wrong_name(key) is not None and "it takes" in str(wrong_name(key))
    }
    assert not unknown


def test_connections_take_what_is_given() -> None:
    options = connection_options(OAUTH | {"sasl_oauth_token_file": "/t", "connections_max_idle_ms": "2000"})
    assert options["connections_max_idle_ms"] == 2000
    assert (options["sasl_mechanism"], options["security_protocol"]) == ("OAUTHBEARER", "SASL_SSL")
    amazon = connection_options({**OAUTH, "sasl_mechanism": "aws_msk_iam", "sasl_aws_region": "eu-central-1"})
    assert amazon["sasl_mechanism"] == "OAUTHBEARER"


def test_the_client_is_not_loaded_to_check() -> None:
    code = "import sys, gateway.eventlog.kafka.options; sys.exit('aiokafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
