"""Turns what a source gives for a setting into its typed value, and checks it by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.access.keys import FITTING, OTHER_NAMES, algorithm_of
from gateway.access.static import read_static_tokens
from gateway.access.trust import check_key_place
from gateway.catalog.document import kind_of
from gateway.catalog.quantity import milliseconds, size
from gateway.eventlog.kafka.options import read_kafka
from gateway.eventlog.open import check_log_url
from gateway.forms.options import read_registry
from gateway.limits.networks import Amounts, Networks, read_special
from gateway.limits.open import check_limits_url
from gateway.model.setting import MemberMistake, Setting
from gateway.observability.open import check_collector
from gateway.routes.house import read_house
from gateway.secret_files import read_secret
from gateway.wire.request_target import is_host


def converted(setting: Setting, raw: Any) -> Any:
    """The typed value, checked. Raises ValueError; each of its arguments says what is wrong and what would be right."""
    value = _CONVERSIONS[setting.kind](setting, raw)
    if value is None:
        # A text in the place of `kafka:` may be its password.
        is_hidden = setting.kind == "mapping" and isinstance(raw, str)
        raise ValueError(f"{setting.key} is {'a text' if is_hidden else kind_of(raw)}; it takes {setting.form}")
    if (read := _READERS.get(setting.key)) is not None:
        value = read(value)
    check = _CHECKS.get(setting.key)
    if check is not None:
        check(value)
    return value


def _text(setting: Setting, raw: Any) -> str | None:
    return str(raw) if isinstance(raw, str | Path) and str(raw).strip() else None


def _number(setting: Setting, raw: Any) -> int | float | None:
    number: int | float | None = None
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        number = raw
    elif isinstance(raw, str):
        number = _number_in(setting, raw.strip())
    # A whole number may be too large for a float, which asking whether it is finite would make of it.
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        return None
    if setting.kind == "integer" and number != int(number):
        return None
    if (setting.minimum is not None and number < setting.minimum) or (
        setting.maximum is not None and number > setting.maximum
    ):
        return None
    return int(number) if setting.kind == "integer" else float(number)


def _number_in(setting: Setting, text: str) -> int | float | None:
    """A number, or a quantity such as `100ms` or `256MiB` where the setting's unit is one of time or bytes."""
    # Python would also take `nan`, `1_000` and digits of other scripts.
    if text and all(character in "0123456789.+-" for character in text):
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            return None
    if setting.unit == "bytes":
        return size(text)
    if setting.unit in ("seconds", "milliseconds") and (duration := milliseconds(text)) is not None:
        return duration / 1000 if setting.unit == "seconds" else duration
    return None


def _switch(setting: Setting, raw: Any) -> bool | None:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    return raw if isinstance(raw, bool) else words.get(raw.strip().lower()) if isinstance(raw, str) else None


def _chosen(setting: Setting, raw: Any) -> str | None:
    word = raw.strip().lower() if isinstance(raw, str) else raw
    return word if word in setting.choices else None


def _several(setting: Setting, raw: Any) -> tuple[str, ...] | None:
    """A list of texts; one text holds them separated by commas. `minimum` says how many there are at least."""
    items = raw.split(",") if isinstance(raw, str) else raw
    if (
        not isinstance(items, list | tuple)
        or len(items) < (setting.minimum or 0)
        or not all(isinstance(item, str) for item in items)
    ):
        return None
    return tuple(item.strip() for item in items) if all(item.strip() for item in items) else None


def _mapping(setting: Setting, raw: Any) -> dict[str, Any] | None:
    return raw if isinstance(raw, dict) else None


_CONVERSIONS: dict[str, Callable[[Setting, Any], Any]] = {
    "text": _text,
    "integer": _number,
    "number": _number,
    "switch": _switch,
    "choice": _chosen,
    "list": _several,
    "mapping": _mapping,
}


def _check_algorithms(names: tuple[str, ...]) -> None:
    for name in names:
        if algorithm_of(name) is None:
            known = ", ".join([*FITTING, *OTHER_NAMES])
            raise ValueError(f'token_algorithms names "{name}"; it takes some of {known}')


def _check_cookie(name: str) -> None:
    # RFC 6265 section 4.1.1
    if not all(character.isascii() and (character.isalnum() or character in "!#$%&'*+-.^_`|~") for character in name):
        raise ValueError(
            f'token_cookie is "{name[:100]}", which is not the name of a cookie; it takes letters, digits, - and _'
        )


def _check_each(check: Callable[[Any], object], parts: Iterable[Any]) -> None:
    """Check the parts of a value one by one, to report the mistakes of all."""
    mistakes: list[str] = []
    for part in parts:
        try:
            check(part)
        except ValueError as error:
            mistakes += error.args
    if mistakes:
        raise ValueError(*mistakes)


def _check_networks(key: str) -> Callable[[Any], None]:
    def check(text: str) -> None:
        try:
            Networks([text])
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None

    return lambda texts: _check_each(check, texts)


def _check_members(check: Callable[[Any], object], document: Mapping[str, Any]) -> None:
    """Check the members of a mapping one by one, to report the mistakes of all at their lines."""
    mistakes: list[str] = []
    for name, entry in document.items():
        try:
            check({name: entry})
        except ValueError as error:
            mistakes += [MemberMistake(str(mistake), name) for mistake in error.args]
    if mistakes:
        raise ValueError(*mistakes)


def _check_tokens(document: Mapping[str, Any]) -> None:
    _check_members(read_static_tokens, document)
    read_static_tokens(document)


def _check_special(document: Mapping[str, Any]) -> None:
    usual = Amounts(0, 0, 0, 0, 0)
    _check_members(lambda part: read_special(part, usual), document)


def _with_files(document: Mapping[str, Any], setting: str, secrets: frozenset[str], *names: str) -> dict[str, Any]:
    """A mapping in which `NAME_file`, for the secrets of these names, has become NAME with the text of that file;
    `names` lead to the mapping."""
    found = dict(document)
    mistakes = []
    for key in document:
        name = str(key)[: -len("_file")]
        if not str(key).lower().endswith("_file") or name.lower() not in secrets:
            continue
        place = found.pop(key)
        try:
            if name in found:
                raise ValueError(f"{name} and {key} are both given; keep one of them")
            if not isinstance(place, str):
                raise ValueError(f"{key} is {kind_of(place)}; it takes the path of a file")
            found[name] = read_secret(place)
        except ValueError as error:
            mistakes.append(MemberMistake(f"{': '.join((setting, *names))}: {error}", *names, str(key)))
    if mistakes:
        raise ValueError(*mistakes)
    return found


def _read_tokens(document: Mapping[str, Any]) -> dict[str, Any]:
    digest = frozenset({"sha256"})
    return {
        name: _with_files(entry, "static_tokens", digest, name) if isinstance(entry, Mapping) else entry
        for name, entry in document.items()
    }


_STORE_SECRETS = frozenset(
    {
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "azure_client_secret",
        "azure_storage_access_key",
        "azure_storage_account_key",
        "azure_storage_client_secret",
        "azure_storage_sas_key",
        "azure_storage_sas_token",
        "azure_storage_token",
        "google_service_account_key",
    }
)
"""The secrets among the words of delta-rs. Others end in `_file` themselves (`AWS_WEB_IDENTITY_TOKEN_FILE`)."""

_READERS: dict[str, Callable[[Any], Any]] = {
    "kafka": read_kafka,
    "static_tokens": _read_tokens,
    "archive_options": lambda document: _with_files(document, "archive_options", _STORE_SECRETS),
}
"""Mappings that name files for some of their texts."""


def _check_public_url(text: str) -> None:
    url = urlsplit(text)
    if text and not (url.scheme in ("http", "https") and url.netloc and is_host(url.netloc.encode())):
        raise ValueError(f"public_url: {text!r} is not the address of a server, such as https://stream.example.org")
    if url.query or url.fragment:
        raise ValueError(f"public_url: {text!r} has more than a scheme, a host and a path")


_CHECKS: dict[str, Callable[[Any], object]] = {
    "log": check_log_url,
    "limits": check_limits_url,
    "schema_registry": read_registry,
    "explorer": read_house,
    "static_tokens": _check_tokens,
    "jwks": check_key_place,
    "token_algorithms": _check_algorithms,
    "token_cookie": _check_cookie,
    "exempt_networks": _check_networks("exempt_networks"),
    "rule_networks": _check_networks("rule_networks"),
    "public_url": _check_public_url,
    "trusted_proxies": _check_networks("trusted_proxies"),
    "tracing": check_collector,
    "limit_networks": _check_special,
}
