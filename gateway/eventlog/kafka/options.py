"""Reads and checks the options for reaching Kafka: addresses, security, names. Connects to nothing.

It reports all mistakes at once, each at its key. aiokafka is loaded only where connections are made.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.catalog.document import kind_of
from gateway.errors import ConfigurationError
from gateway.eventlog.kafka.names import NO_SIGNER, OURS, SECRETS, SIGNER, TEXTS, wrong_name
from gateway.eventlog.kafka.tls import tls_context
from gateway.model.setting import MemberMistake
from gateway.secret_files import read_secret

DEFAULT_PORT = 9092

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
OAUTH = "OAUTHBEARER"
MSK = "AWS_MSK_IAM"
MECHANISMS = (*PASSWORD_MECHANISMS, OAUTH, MSK)

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})

_SOURCES = ("sasl_oauth_token_file", "sasl_oauth_token_command", "sasl_oauth_token_url")
"""Where a token of OAUTHBEARER comes from; one of them."""
_NO_TWIN = ("security_protocol", "ssl_check_hostname", "connections_max_idle_ms", *_SOURCES, "sasl_oauth_extensions")
"""Keys whose value stands in no file."""
IDLE = "connections_max_idle_ms"
IDLE_MILLISECONDS = (1_000, 86_400_000)


def parse_address(text: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port`. Raises ConfigurationError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text.strip(), str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigurationError([f"Kafka: {text!r} is not an address; write host:port"])
    return host, int(port)


def parse_bootstrap(bootstrap: Sequence[str]) -> list[tuple[str, int]]:
    """The addresses to begin with. Raises ConfigurationError."""
    if not bootstrap:
        raise ConfigurationError(["Kafka: no address is given; write host:port"])
    return [parse_address(address) for address in bootstrap]


def read_kafka(document: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the setting, with the texts of the files that it names for them (`sasl_plain_password_file`).
    Raises ValueError with every mistake (MemberMistake); none repeats a secret."""
    given, mistakes = _read_files(document)
    mistakes += _wrong_keys(given)
    mistakes += _wrong_values(given)
    if not mistakes:
        mistakes += _misfits(given)
    if _protocol(given).endswith("SSL"):
        mistakes += _wrong_files({key: value for key, value in given.items() if key in TEXTS and _is_text(value)})
    if mistakes:
        raise ValueError(*mistakes)
    return given


def kafka_warnings(options: Mapping[str, Any]) -> list[MemberMistake]:
    """What is accepted, and may not be meant."""
    told = [MemberMistake(f"kafka: {key} changes nothing here: {OURS[key]}", key) for key in options if key in OURS]
    if _protocol(options) == "SASL_PLAINTEXT" and _mechanism(options) == "PLAIN":
        text = "kafka: SASL_PLAINTEXT with PLAIN sends the password in the clear; use SASL_SSL or SCRAM"
        told.append(MemberMistake(text, "security_protocol"))
    if not _checks_names(options):
        text = "kafka: ssl_check_hostname is off: any server with a certificate of a trusted authority is accepted"
        told.append(MemberMistake(text, "ssl_check_hostname"))
    return told


def connection_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as aiokafka's connections, producer and clients take them. Raises ConfigurationError."""
    try:
        given = read_kafka(options)
    except ValueError as error:
        raise ConfigurationError([str(mistake) for mistake in error.args]) from None
    protocol, mechanism = _protocol(given), _mechanism(given)
    by_token = protocol.startswith("SASL") and mechanism in (OAUTH, MSK)
    if by_token:
        from gateway.eventlog.kafka.tokens import token_provider
    return {
        "client_id": given.get("client_id", "event-gateway"),
        "security_protocol": protocol,
        "ssl_context": _context(given) if protocol.endswith("SSL") else None,
        "sasl_mechanism": OAUTH if by_token else mechanism,
        "sasl_plain_username": given.get("sasl_plain_username"),
        "sasl_plain_password": given.get("sasl_plain_password"),
        "sasl_oauth_token_provider": token_provider(given) if by_token else None,
        **({"connections_max_idle_ms": int(given[IDLE])} if IDLE in given else {}),
    }


def _read_files(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[MemberMistake]]:
    """The options that have a value, those of files included."""
    given = {key: value for key, value in document.items() if value is not None}
    mistakes = []
    for key in [key for key in given if key.endswith("_file") and key not in TEXTS]:
        name = key.removesuffix("_file")
        if name not in TEXTS or name in _NO_TWIN:
            continue
        place = given.pop(key)
        if name in given:
            mistakes.append(MemberMistake(f"kafka: {name} and {key} are both given; keep one of them", key))
        elif not isinstance(place, str):
            mistakes.append(MemberMistake(f"kafka: {key} is {kind_of(place)}; it takes the path of a file", key))
        else:
            try:
                given[name] = read_secret(place)
            except ValueError as error:
                given[name] = "?"  # So that nothing else is told of it.
                mistakes.append(MemberMistake(f"kafka: {key}: {error}", key))
    return given, mistakes


def _wrong_keys(given: Mapping[str, Any]) -> Iterator[MemberMistake]:
    for key in given:
        if (right := wrong_name(str(key))) is not None:
            yield MemberMistake(f"kafka has no {str(key)[:100]}; {right}", key)


def _wrong_values(given: Mapping[str, Any]) -> Iterator[MemberMistake]:
    for key, value in given.items():
        if key in TEXTS and (takes := _takes(key, value)):
            shown = "not shown" if key in SECRETS and isinstance(value, str) else kind_of(value)
            if key in SECRETS and not isinstance(value, str | list | dict | bool):
                shown = "a number"
            yield MemberMistake(f"kafka: {key} is {shown}; it takes {takes}", key)


def _takes(key: str, value: Any) -> str:
    """What a key takes, where the value is nothing of that."""
    if key == "ssl_check_hostname":
        fits = isinstance(value, bool) or (isinstance(value, str) and value.lower() in TRUE | FALSE)
        return "" if fits else "true or false"
    if key == IDLE:
        least, most = IDLE_MILLISECONDS
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        fits = text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most
        return "" if fits else f"milliseconds, a whole number from {least} to {most}"
    if key == "sasl_oauth_token_command":
        words = value if isinstance(value, list) and value else [None]
        return "" if all(isinstance(word, str) and word for word in words) else "a list of words: the program first"
    if key == "sasl_oauth_extensions":
        texts = value.items() if isinstance(value, dict) else [(None, None)]
        fits = all(isinstance(text, str) and text.isprintable() for pair in texts for text in pair)
        return "" if fits else "a mapping of names to texts"
    if not _is_text(value):
        return "a text (in quotes)"
    known = {"security_protocol": PROTOCOLS, "sasl_mechanism": MECHANISMS}.get(key)
    if known is None or value.upper() in known:
        return ""
    if key == "sasl_mechanism" and value.upper() in ("GSSAPI", "KERBEROS"):
        return f"{', '.join(known)}. Kerberos is not supported"
    return "one of " + ", ".join(known)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _misfits(given: Mapping[str, Any]) -> Iterator[MemberMistake]:
    """Options that do not fit together."""
    protocol, mechanism = _protocol(given), _mechanism(given)
    sasl, tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    shown = protocol if "security_protocol" in given else f"{protocol} (the default)"
    for key in given:
        if key.startswith("sasl_") and not sasl:
            use = "SASL_SSL" if tls else "SASL_SSL or SASL_PLAINTEXT"
            yield MemberMistake(
                f"kafka: {key} has no effect with security_protocol {shown}; set security_protocol: {use}", key
            )
        elif key.startswith("ssl_") and not tls:
            use = "SASL_SSL" if sasl else "SSL (or SASL_SSL)"
            yield MemberMistake(
                f"kafka: {key} has no effect with security_protocol {shown}; set security_protocol: {use}", key
            )
    if sasl:
        yield from _mechanism_misfits(given, protocol, mechanism)
    if tls:
        for key, needed in (("ssl_keyfile", "ssl_certfile"), ("ssl_password", "ssl_certfile")):
            if key in given and needed not in given:
                yield MemberMistake(f"kafka: {key} needs {needed}, the certificate that the key belongs to", key)


def _mechanism_misfits(given: Mapping[str, Any], protocol: str, mechanism: str) -> Iterator[MemberMistake]:
    place = next(key for key in ("sasl_mechanism", "security_protocol") if key in given)
    if mechanism in PASSWORD_MECHANISMS:
        for key in ("sasl_plain_username", "sasl_plain_password"):
            if key not in given:
                twin = f" (or {key}_file)" if key in SECRETS else ""
                yield MemberMistake(f"kafka: {protocol} with {mechanism} needs {key}{twin}", place)
        fits: tuple[str, ...] = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    elif mechanism == MSK:
        if protocol != "SASL_SSL":
            yield MemberMistake(f"kafka: {MSK} needs security_protocol: SASL_SSL", place)
        if "sasl_aws_region" not in given:
            yield MemberMistake(f"kafka: {MSK} needs sasl_aws_region, such as eu-central-1", place)
        if importlib.util.find_spec(SIGNER) is None:
            yield MemberMistake(f"kafka: {NO_SIGNER}", place)
        fits = ("sasl_mechanism", "sasl_aws_region")
    else:
        sources = [key for key in _SOURCES if key in given]
        if len(sources) != 1:
            which = f"has {' and '.join(sources)}" if sources else "has no source of tokens"
            yield MemberMistake(f"kafka: {OAUTH} {which}; give one of {', '.join(_SOURCES)}", place)
        fits = ("sasl_mechanism", "sasl_oauth_extensions", *sources)
        if "sasl_oauth_token_url" in sources:
            yield from _client_misfits(given)
            fits += ("sasl_oauth_client_id", "sasl_oauth_client_secret", "sasl_oauth_scope")
    for key in given:
        if key.startswith("sasl_") and key not in (*fits, *_SOURCES):
            yield MemberMistake(
                f"kafka: {key} has no effect with {mechanism}; remove it, or change sasl_mechanism", key
            )


def _client_misfits(given: Mapping[str, Any]) -> Iterator[MemberMistake]:
    """Client credentials that lack a part, or an endpoint that anybody could read along."""
    from gateway.eventlog.kafka.oidc import wrong_endpoint

    if (wrong := wrong_endpoint(given["sasl_oauth_token_url"])) is not None:
        yield MemberMistake(f"kafka: sasl_oauth_token_url {wrong}", "sasl_oauth_token_url")
    for key in ("sasl_oauth_client_id", "sasl_oauth_client_secret"):
        if key not in given:
            twin = f" (or {key}_file)" if key in SECRETS else ""
            yield MemberMistake(f"kafka: sasl_oauth_token_url needs {key}{twin}", "sasl_oauth_token_url")


def _wrong_files(given: Mapping[str, Any]) -> Iterator[MemberMistake]:
    try:
        _context(given)
    except ValueError as error:
        yield from error.args


def _context(given: Mapping[str, Any]) -> Any:
    context = tls_context(given)
    context.check_hostname = _checks_names(given)
    return context


def _protocol(given: Mapping[str, Any]) -> str:
    return str(given.get("security_protocol") or "PLAINTEXT").upper()


def _mechanism(given: Mapping[str, Any]) -> str:
    return str(given.get("sasl_mechanism") or "PLAIN").upper()


def _checks_names(given: Mapping[str, Any]) -> bool:
    return str(given.get("ssl_check_hostname", True)).lower() in TRUE
