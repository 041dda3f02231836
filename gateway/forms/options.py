"""The setting `schema_registry`: where the schemas of values are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.secret_files import read_secret

_TEXTS = ("url", "username", "password", "token")
_KEYS = (*_TEXTS, *(f"{name}_file" for name in _TEXTS), "timeout")
LONGEST_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How the registry is reached. `timeout` is in seconds, and holds for a whole answer."""

    url: str
    username: str | None = None
    password: str | None = None
    token: str | None = None
    timeout: float = 5.0


def read_registry(document: Mapping[str, Any]) -> RegistryOptions | None:
    """The options of the setting; None where it is empty. Raises ValueError with every mistake; no message repeats a
    secret."""
    if not document:
        return None
    mistakes = [
        f"schema_registry has no {str(key)[:100]}; it takes {', '.join(_KEYS)}" for key in document if key not in _KEYS
    ]
    texts: dict[str, str | None] = {}
    for key in _KEYS[:-1]:
        value = document.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            mistakes.append(f"schema_registry: {key} takes a text (in quotes)")
            value = None
        texts[key] = value
    for key in _TEXTS:
        texts[key] = _text(texts, key, mistakes)
    if document.get("url") is None and document.get("url_file") is None:
        mistakes.append(
            "schema_registry has no url; it takes the address of the registry, such as http://registry:8081"
        )
    elif texts["url"] is not None:
        mistakes += _wrong_url(texts["url"])
    timeout = document.get("timeout", 5.0)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_TIMEOUT:
        mistakes.append(f"schema_registry: timeout takes seconds, more than 0 and at most {LONGEST_TIMEOUT:g}")
    password, token = texts["password"], texts["token"]
    if (texts["username"] is None) != (password is None):
        mistakes.append("schema_registry: username and password belong together; give both, or none")
    if token is not None and password is not None:
        mistakes.append("schema_registry has a password and a token; give one of them")
    if mistakes:
        raise ValueError(*mistakes)
    assert texts["url"] is not None
    return RegistryOptions(texts["url"].rstrip("/"), texts["username"], password, token, float(timeout))


def _wrong_url(text: str) -> list[str]:
    try:
        url = urlsplit(text)
        host, secret, _ = url.hostname, url.username or url.password, url.port
    except ValueError:
        url, host, secret = urlsplit(""), None, None
    if secret:
        return ["schema_registry: url has a user or a password in it; they belong into username and password"]
    if url.scheme not in ("http", "https") or not host or url.query or url.fragment:
        return [f'schema_registry: url is "{text[:200]}"; it takes an address such as http://registry:8081']
    return []


def _text(texts: Mapping[str, str | None], key: str, mistakes: list[str]) -> str | None:
    """A text, or that of the file which has it."""
    given, place = texts[key], texts[f"{key}_file"]
    if place is None:
        return given
    if given is not None:
        mistakes.append(f"schema_registry has {key} and {key}_file; give one of them")
    try:
        return read_secret(place).strip()
    except ValueError as error:
        mistakes.append(f"schema_registry: {key}_file {error}")
        return None
