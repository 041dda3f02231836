"""The trust in force: static tokens, where the keys of signed tokens are, and the terms for accepting tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gateway.access.keys import MAXIMUM_DOCUMENT, read_keys
from gateway.access.signed import Rules
from gateway.access.static import StaticToken
from gateway.errors import ConfigurationError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Terms:
    """How a token is verified, and where it may stand; see the settings of the same names. `needed_to_write`: the
    intake accepts nothing without a token."""

    rules: Rules = field(default_factory=Rules)
    longest: int = 8192
    cookie: str | None = None
    needed_to_write: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """`key_document` is the content of a JWKS file, `key_url` the address of one; there is one of them, or none. Keys
    and terms come into force together: with an issuer's new keys under its old name, no token would be accepted."""

    static_tokens: tuple[StaticToken, ...] = ()
    key_document: bytes | None = None
    key_url: str | None = None
    terms: Terms = field(default_factory=Terms)

    @property
    def takes_tokens(self) -> bool:
        """Whether there is any token that would be accepted."""
        return bool(self.static_tokens) or self.takes_signed

    @property
    def takes_signed(self) -> bool:
        """Whether signed tokens are accepted."""
        return self.key_document is not None or self.key_url is not None


NO_TRUST = Trust()
"""No token is accepted."""


def check_key_place(place: str) -> None:
    """Raises ValueError for an address of keys that anybody on the way could change."""
    if "://" not in place:
        return
    try:
        url = urlsplit(place)
        host, secret = url.hostname, url.username or url.password
    except ValueError:
        host, secret, url = None, None, urlsplit("")
    right = "it takes the path of a file, an https:// URL, or an http:// URL on loopback"
    if not host or url.scheme not in ("https", "http"):
        raise ValueError(f'jwks is "{place[:200]}"; {right}')
    if secret:
        raise ValueError("jwks has a user or a password in it; keys are public")
    if url.scheme == "http" and host not in LOOPBACK:
        raise ValueError(f'jwks is "{place[:200]}", which anyone on the network could change; {right}')


def load_trust(static_tokens: tuple[StaticToken, ...], key_place: str | None, terms: Terms) -> tuple[Trust, list[str]]:
    """Read the file of keys, where it is one; with it, which of its keys are not used. Raises ConfigurationError."""
    if key_place is None:
        return Trust(static_tokens, terms=terms), []
    if "://" in key_place:
        return Trust(static_tokens, key_url=key_place, terms=terms), []
    try:
        with Path(key_place).open("rb") as file:
            document = file.read(MAXIMUM_DOCUMENT + 1)
        notes = read_keys(document, terms.rules.algorithms).notes
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError([f"{key_place}: the file cannot be read ({reason}); jwks names it"]) from error
    except ValueError as error:
        raise ConfigurationError([f"{key_place}: {error}; jwks names it"]) from None
    return Trust(static_tokens, document, terms=terms), [f"{key_place}: {note}" for note in notes]
