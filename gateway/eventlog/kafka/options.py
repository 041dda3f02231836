"""Reads and checks the options for reaching Kafka: addresses, security, names."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence

from aiokafka.helpers import create_ssl_context

from gateway.errors import ConfigurationError

DEFAULT_PORT = 9092

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

OPTIONS = {
    "client_id": "the name that the brokers log and set quotas by",
    "security_protocol": "one of " + ", ".join(PROTOCOLS),
    "sasl_mechanism": "one of " + ", ".join(MECHANISMS),
    "sasl_plain_username": "the user, of each mechanism",
    "sasl_plain_password": "the password, of each mechanism",
    "ssl_cafile": "a file with the certificates to trust, instead of the system's",
    "ssl_certfile": "a file with the client's certificate",
    "ssl_keyfile": "a file with the key of the client's certificate",
    "ssl_password": "the password of the key",
    "ssl_check_hostname": "false to accept a certificate of another name",
}
"""Every option and its meaning. All values are text, as in the configuration file or a variable."""

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})


def parse_address(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port`. Raises ConfigurationError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text.strip(), str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigurationError([f"Kafka: {text!r} is not an address; write host:port"])
    return host, int(port)


def connection_options(options: Mapping[str, object]) -> dict[str, object]:
    """The options as aiokafka's connections, producer and clients take them. Raises ConfigurationError."""
    mistakes = [
        f"Kafka: unknown option {name!r}; known are {', '.join(OPTIONS)}" for name in options if name not in OPTIONS
    ]
    given = {name: str(value) for name, value in options.items() if name in OPTIONS and value is not None}
    protocol = given.get("security_protocol", "PLAINTEXT").upper()
    mechanism = given.get("sasl_mechanism", "PLAIN").upper()
    if protocol not in PROTOCOLS:
        mistakes.append(f"Kafka: security_protocol is {protocol!r}; it is one of {', '.join(PROTOCOLS)}")
    if mechanism not in MECHANISMS:
        mistakes.append(f"Kafka: sasl_mechanism is {mechanism!r}; it is one of {', '.join(MECHANISMS)}")
    if protocol.startswith("SASL"):
        needed = ("sasl_plain_username", "sasl_plain_password")
        mistakes += [f"Kafka: {protocol} needs {name}" for name in needed if name not in given]
    elif not protocol.endswith("SSL"):
        unused = sorted(name for name in given if name.startswith(("ssl_", "sasl_")))
        mistakes += [f"Kafka: {name} has no effect with security_protocol {protocol}" for name in unused]
    if mistakes:
        raise ConfigurationError(mistakes)
    return {
        "client_id": given.get("client_id", "event-gateway"),
        "security_protocol": protocol,
        "ssl_context": _ssl_context(given) if protocol.endswith("SSL") else None,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": given.get("sasl_plain_username"),
        "sasl_plain_password": given.get("sasl_plain_password"),
    }


def parse_bootstrap(bootstrap: Sequence[str]) -> list[tuple[str, int]]:
    """The addresses to begin with. Raises ConfigurationError."""
    if not bootstrap:
        raise ConfigurationError(["Kafka: no address is given; write host:port"])
    return [parse_address(address) for address in bootstrap]


def _ssl_context(given: Mapping[str, str]) -> ssl.SSLContext:
    check = given.get("ssl_check_hostname", "true").lower()
    if check not in TRUE | FALSE:
        raise ConfigurationError([f"Kafka: ssl_check_hostname is {check!r}; it is true or false"])
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise ConfigurationError(["Kafka: ssl_keyfile needs ssl_certfile"])
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=given.get("ssl_cafile"),
            certfile=given.get("ssl_certfile"),
            keyfile=given.get("ssl_keyfile"),
            password=given.get("ssl_password"),
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"Kafka: the certificates cannot be used: {error}"]) from error
    context.check_hostname = check in TRUE
    return context
