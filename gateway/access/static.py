"""Static tokens: random texts of which the configuration holds only the hash.

A hash without salt and without cost is enough for a text that nobody can guess. `gateway token new` makes one of 256
random bits, and `gateway token hash` refuses a short one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.access.grant import Grant, globs_of

MINIMUM_CHARACTERS = 32
"""A shorter token is not made into a hash: it could be found by trying."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_KEYS = ("sha256", "read", "write")


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A token by its SHA-256, with globs over the names of the streams that its holder may read and write."""

    name: str
    digest: bytes
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    @property
    def grant(self) -> Grant:
        """The grant of its holder, until the token is removed from the configuration."""
        return Grant(self.read, self.write, by_token=True, digest=self.digest)


def digest_of(token: str) -> bytes:
    """The SHA-256 of a token."""
    return hashlib.sha256(token.encode()).digest()


def find(tokens: Iterable[StaticToken], token: str) -> StaticToken | None:
    """The one with this text. All are compared, each in constant time, so that the time tells nothing."""
    digest = digest_of(token)
    found = None
    for one in tokens:
        if hmac.compare_digest(one.digest, digest):
            found = one
    return found


def read_static_tokens(value: Mapping[str, Any]) -> tuple[StaticToken, ...]:
    """The tokens of `static_tokens`. Raises ValueError that names what is wrong and what would be right."""
    tokens = tuple(_read(str(name), entry) for name, entry in value.items())
    by_digest: dict[bytes, str] = {}
    for token in tokens:
        if token.digest in by_digest:
            raise ValueError(f"static_tokens: {token.name} is the same token as {by_digest[token.digest]}; keep one")
        by_digest[token.digest] = token.name
    return tokens


def _read(name: str, entry: object) -> StaticToken:
    place = f"static_tokens: {name}"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{place} takes a mapping: {{sha256: …, read: [names], write: [names]}}")
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f"{place}: there is no {str(key)[:100]!r}; it takes {', '.join(_KEYS)}")
    digest = entry.get("sha256")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        # What stands there may be the token itself, which no message may repeat.
        raise ValueError(f"{place}: sha256 takes 64 hexadecimal digits in quotes; `gateway token hash` gives them")
    granted = {}
    for key in ("read", "write"):
        try:
            granted[key] = globs_of(entry.get(key) or [])
        except ValueError as error:
            raise ValueError(f"{place}: {key}: {error}") from None
    if not any(granted.values()):
        raise ValueError(f"{place} may read and write nothing; give it `read` or `write` with names of streams")
    return StaticToken(name, bytes.fromhex(digest), **granted)
