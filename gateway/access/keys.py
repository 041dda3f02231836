"""The public keys of a JSON Web Key Set (RFC 7517). Pure.

When a key is read, it is bound to the algorithms that fit it. So no token chooses how it is verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

FITTING = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The algorithms that there are, each with the type and the curve of its keys (RFC 7518, RFC 8037). Those that share a
secret are left out on purpose: a public key must never be taken for one."""
OTHER_NAMES = {"Ed25519": "EdDSA"}
"""Other names of algorithms (RFC 9864 section 2.2), and the names used here."""
TRIED_KEYS = 10
"""Keys that a token is tried with at the most, where it does not say which of them it is signed with."""
MAXIMUM_DOCUMENT = 262_144
"""Bytes of a key set."""
MAXIMUM_KEYS = 100
MAXIMUM_KEY_ID = 256
"""Characters."""
RSA_BITS = (2048, 8192)
"""The shortest and the longest RSA key: RFC 7518 section 3.3, and what bounds the time of a verification."""


def algorithm_of(name: object) -> str | None:
    """The algorithm of this name, whichever of its names it is; None where it is unknown."""
    name = OTHER_NAMES.get(name, name) if isinstance(name, str) else None
    return name if name in FITTING else None


class KeySet:
    """Public keys by their id and algorithm."""

    def __init__(self, keys: Iterable[tuple[str | None, PyJWK]] = (), notes: Iterable[str] = ()) -> None:
        self._keys: dict[tuple[str | None, str], list[PyJWK]] = {}
        self._by_algorithm: dict[str, list[PyJWK]] = {}
        for key_id, key in keys:
            self._keys.setdefault((key_id, key.algorithm_name), []).append(key)
            self._by_algorithm.setdefault(key.algorithm_name, []).append(key)
        self.ids = frozenset(key_id for key_id, _ in self._keys)
        self.notes = tuple(notes)
        """Why keys of the document are not used."""

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key_id: str | None, algorithm: str) -> Sequence[PyJWK]:
        """The keys that a token may be signed with. They are those with its key id, of which there may be several;
        without an id, all for its algorithm (RFC 7515 appendix D). Keys without an id match any id."""
        if key_id is None:
            return self._by_algorithm.get(algorithm, ())
        named = self._keys.get((key_id, algorithm), ())
        return named or self._keys.get((None, algorithm), ())


def read_keys(document: bytes | str, algorithms: Iterable[str]) -> KeySet:
    """The keys of a JWKS that verify with one of these algorithms. Raises ValueError where it is none, or has no such
    key."""
    if len(document) > MAXIMUM_DOCUMENT:
        raise ValueError(f"it has {len(document)} bytes; a key set may have {MAXIMUM_DOCUMENT}")
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    items = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise ValueError('it is not a key set (RFC 7517): it takes {"keys": […]}')
    if len(items) > MAXIMUM_KEYS:
        raise ValueError(f"it has {len(items)} keys; a key set may have {MAXIMUM_KEYS}")
    allowed = tuple(dict.fromkeys(filter(None, map(algorithm_of, algorithms))))
    keys: list[tuple[str | None, PyJWK]] = []
    notes = []
    for number, item in enumerate(items):
        try:
            keys += _read(item, allowed)
        except ValueError as error:
            notes.append(f"key {number} is not used: {error}")
    if not keys:
        raise ValueError("; ".join([f"no key in it verifies {' or '.join(allowed)}", *notes[:5]]))
    return KeySet(keys, notes)


def _read(item: Any, allowed: tuple[str, ...]) -> list[tuple[str | None, PyJWK]]:
    """One key, for each algorithm that it fits. Raises ValueError that repeats nothing of it."""
    if not isinstance(item, dict):
        raise ValueError("it is not an object")
    if "d" in item or "k" in item:
        raise ValueError("it is a private key; replace it, and publish only public keys")
    key_id = item.get("kid")
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= MAXIMUM_KEY_ID):
        raise ValueError(f"its kid is not a string of at most {MAXIMUM_KEY_ID} characters")
    operations = item.get("key_ops", ["verify"])
    if item.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("it is not for verifying")
    fitting = [name for name in allowed if FITTING[name][0] == item.get("kty")]
    fitting = [name for name in fitting if FITTING[name][1] in (None, item.get("crv"))]
    if "alg" in item:
        fitting = [name for name in fitting if name == algorithm_of(item["alg"])]
    if not fitting:
        raise ValueError(f"it fits none of {', '.join(allowed)}")
    try:
        keys = [(key_id, PyJWK(item, name)) for name in fitting]
    except (PyJWTError, ValueError, TypeError, OverflowError):
        raise ValueError("it cannot be read") from None
    bits = keys[0][1].key.key_size if item["kty"] == "RSA" else RSA_BITS[0]
    if not RSA_BITS[0] <= bits <= RSA_BITS[1]:
        raise ValueError(f"it has {bits} bits; RSA takes {RSA_BITS[0]} to {RSA_BITS[1]}")
    return keys
