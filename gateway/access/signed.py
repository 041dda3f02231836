"""Verifies JSON Web Tokens (RFC 7519, RFC 8725), and reads what they grant. Pure: the time is given.

PyJWT checks the signature, the audience and the issuer. The times are checked here, by the gateway's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK
from jwt.exceptions import (
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from gateway.access.grant import Grant, globs_of
from gateway.access.keys import MAXIMUM_KEY_ID, TRIED_KEYS, KeySet, algorithm_of
from gateway.errors import GatewayError

_LATEST = 1e12
"""Seconds; beyond all times that are meant."""
_NOT_VERIFIED = ("exp", "nbf", "iat", "sub", "jti")
"""Times are checked here. The subject of a token and its number do not matter: any value is accepted."""
_OPTIONS: Any = {"require": ["exp", "iss", "aud"], **{f"verify_{name}": False for name in _NOT_VERIFIED}}


class InvalidToken(GatewayError):
    """A token that is not accepted; the text says why, and repeats nothing of it."""


class UnknownKey(InvalidToken):
    """It may be good, but names a key that is not known, or not yet."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The requirements for a token. `skew` is the tolerated difference between clocks. `brief_lifetime` is the
    longest lifetime of a token from a URL or a cookie. Both are in seconds."""

    audience: str = ""
    issuer: str = ""
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    skew: float = 30.0
    read_claim: str = "read_streams"
    write_claim: str = "write_streams"
    brief_lifetime: float = 300.0


def verify(token: str, keys: KeySet, rules: Rules, now: int, brief: bool) -> Grant:
    """The grant of a token. `now` is in milliseconds since the epoch; `brief` says whether the token must be
    short-lived where it stood. Raises InvalidToken and UnknownKey."""
    claims = _claims(token, keys, rules)
    expires = _check_times(claims, rules, now / 1000, brief)
    return Grant(
        _globs(claims, rules.read_claim),
        _globs(claims, rules.write_claim),
        by_token=True,
        expires=int((expires + rules.skew) * 1000),
    )


def _claims(token: str, keys: KeySet, rules: Rules) -> Mapping[str, Any]:
    """The claims of a token with a valid signature, audience and issuer."""
    key_id, name = _head(token, rules)
    found = keys.find(key_id, algorithm_of(name) or "")
    if not found:
        named = "no key (kid), and there is none" if key_id is None else "an unknown key (kid)"
        raise UnknownKey(f"it names {named} for its algorithm")
    for key in found[:TRIED_KEYS]:
        claims = _verified(token, key, name, rules)
        if claims is not None:
            return claims
    if len(found) > TRIED_KEYS:
        raise InvalidToken(f"{len(found)} keys fit, of which {TRIED_KEYS} are tried; it must name its own (kid)")
    if key_id in keys.ids and key_id is not None:
        raise InvalidToken("it cannot be verified")
    # Keys without names are changed without a sign of it.
    raise UnknownKey("it cannot be verified by any key for its algorithm")


def _verified(token: str, key: PyJWK, name: str, rules: Rules) -> Mapping[str, Any] | None:
    """The claims; None if another key may have signed the token."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token, _called(key, name), [name], audience=rules.audience, issuer=rules.issuer, options=_OPTIONS
        )
    except InvalidSignatureError:
        return None
    except MissingRequiredClaimError as error:
        raise InvalidToken(f"it has no claim `{error.claim}`") from None
    except InvalidAudienceError:
        raise InvalidToken("it is for another audience (aud)") from None
    except InvalidIssuerError:
        raise InvalidToken("it is from another issuer (iss)") from None
    except (PyJWTError, ValueError, TypeError, RecursionError):
        raise InvalidToken("it cannot be verified") from None
    return claims


def _called(key: PyJWK, name: str) -> PyJWK:
    """The key, bound to its algorithm under the name that the token has for it."""
    if name == key.algorithm_name:
        return key
    renamed = copy(key)
    renamed.algorithm_name = name
    return renamed


def _head(token: str, rules: Rules) -> tuple[str | None, str]:
    """Which key and algorithm a token names, as it names them; nothing in it is trusted yet."""
    try:
        header = jwt.get_unverified_header(token)
    except (PyJWTError, ValueError, TypeError, RecursionError):
        raise InvalidToken("it is not a readable JSON Web Token") from None
    name, key_id = header.get("alg"), header.get("kid")
    algorithm = algorithm_of(name)
    if not isinstance(name, str) or algorithm is None or algorithm not in map(algorithm_of, rules.algorithms):
        raise InvalidToken(f"its algorithm is none of {', '.join(rules.algorithms)} (token_algorithms)")
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= MAXIMUM_KEY_ID):
        raise InvalidToken(f"its key id (kid) is not a string of at most {MAXIMUM_KEY_ID} characters")
    return key_id, name


def _check_times(claims: Mapping[str, Any], rules: Rules, now: float, brief: bool) -> float:
    """When it expires, in seconds since the epoch."""
    expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    assert expires is not None
    if now >= expires + rules.skew:
        raise InvalidToken("it has expired")
    if begins is not None and begins > now + rules.skew:
        raise InvalidToken("it is not valid yet (nbf)")
    if issued is not None and issued > now + rules.skew:
        raise InvalidToken("it was issued in the future (iat)")
    if brief:
        if issued is None:
            raise InvalidToken("in a URL or a cookie it must say when it was issued (iat)")
        if expires - issued > rules.brief_lifetime:
            most = f"at most {rules.brief_lifetime:g} s (token_brief_lifetime)"
            raise InvalidToken(f"in a URL or a cookie it may be valid for {most}, from iat to exp")
    return expires


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # What is no number is in no order either.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise InvalidToken(f"its claim `{name}` is not a time in seconds")
    return float(value)


def _globs(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    try:
        return globs_of(claims.get(name) or [])
    except ValueError as error:
        raise InvalidToken(f"its claim `{name}`: {error}") from None
