"""The options of Kafka, and what is said about mistakes in them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import pytest

from gateway.errors import ConfigurationError
from gateway.eventlog.kafka.options import connection_options, parse_address, parse_bootstrap


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"security_protocl": "SSL"}, "unknown option 'security_protocl'; known are client_id"),
        ({"security_protocol": "TLS"}, "one of PLAINTEXT, SSL"),
        ({"security_protocol": "SASL_SSL"}, "needs sasl_plain_username"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"}, "one of PLAIN, SCRAM-SHA-256"),
        ({"ssl_cafile": "ca.pem"}, "has no effect with security_protocol PLAINTEXT"),
        ({"security_protocol": "SSL", "ssl_cafile": "/absent/ca.pem"}, "cannot be used"),
        ({"security_protocol": "SSL", "ssl_keyfile": "key.pem"}, "needs ssl_certfile"),
        ({"security_protocol": "SSL", "ssl_check_hostname": "perhaps"}, "true or false"),
    ],
)
def test_mistakes(options: Mapping[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        connection_options(options)


def test_a_mistake_does_not_show_the_password() -> None:
    with pytest.raises(ConfigurationError) as mistake:
        connection_options({"sasl_plain_password": "secret", "security_protocol": "SSL", "x": 1})
    assert "secret" not in str(mistake.value)
