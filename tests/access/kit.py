"""An issuer of tokens for the time of a test."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from gateway.access.keys import FITTING, KeySet, read_keys
from gateway.access.signed import Rules

AUDIENCE = "https://events.example"
ISSUER = "https://issuer.example"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
RULES = Rules(AUDIENCE, ISSUER, ALGORITHMS)
NOW = 1_700_000_000_000
"""Milliseconds."""


@cache
def private_key(name: str, kind: str = "EC") -> Any:
    """A key; the same for the same name."""
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else ed25519.Ed25519PrivateKey.generate()


def public_jwk(name: str, kind: str = "EC", **more: Any) -> dict[str, Any]:
    """Its public half as a JWK, whose id is the name."""
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[kind]
    key: dict[str, Any] = json.loads(get_default_algorithms()[algorithm].to_jwk(private_key(name, kind).public_key()))
    key.pop("key_ops", None)
    return {**key, "kid": name, **more}


def public_pem(name: str, kind: str = "RSA") -> bytes:
    """Its public half in PEM."""
    key = private_key(name, kind).public_key()
    encoded: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def document(*keys: dict[str, Any]) -> bytes:
    """A key set."""
    return json.dumps({"keys": keys}).encode()


def key_set(*keys: dict[str, Any]) -> KeySet:
    """The same, read."""
    return read_keys(document(*keys), ALGORITHMS)


def claims(now: int = NOW, lifetime: float = 60, **more: Any) -> dict[str, Any]:
    """Claims that are accepted; one that is None is left out."""
    seconds = now // 1000
    given = {"iss": ISSUER, "aud": AUDIENCE, "iat": seconds, "exp": seconds + lifetime, "read_streams": ["secret"]}
    return {name: value for name, value in {**given, **more}.items() if value is not None}


def signed(payload: dict[str, Any], name: str = "first", algorithm: str = "ES256", **header: Any) -> str:
    """A token signed by the key of this name; a `kid` of None is left out."""
    headers = {name: value for name, value in {"kid": name, **header}.items() if value is not None}
    kind = FITTING[algorithm][0]
    return jwt.PyJWS().encode(json.dumps(payload).encode(), private_key(name, kind), algorithm, headers=headers)


def encoded(part: bytes) -> str:
    """As a part of a token is written."""
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def forged(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, signature: bytes = b"") -> str:
    """A token with these parts, whatever they are."""
    texts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join([*map(encoded, texts), encoded(signature)])
