"""Key sets: what is a key, and what is not used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from gateway.access.keys import MAXIMUM_DOCUMENT, MAXIMUM_KEYS, read_keys
from tests.access.kit import ALGORITHMS, document, private_key, public_jwk
from tests.access.test_signed import JSON


def test_a_key_is_found_by_its_id_and_algorithm() -> None:
    keys = read_keys(document(public_jwk("a"), public_jwk("b", "RSA", use="sig", key_ops=["verify"])), ALGORITHMS)
    assert keys.ids == {"a", "b"}
    assert len(keys.find("a", "ES256")) == 1
    assert len(keys.find("b", "RS256")) == 1
    assert len(keys.find("b", "PS256")) == 1
    assert not keys.find("a", "RS256")
    assert not keys.find("c", "ES256")
    assert keys.find(None, "ES256") == keys.find("a", "ES256")


def test_keys_that_may_be_meant() -> None:
    unnamed = {key: value for key, value in public_jwk("c").items() if key != "kid"}
    keys = read_keys(document(public_jwk("a"), {**public_jwk("b"), "kid": "a"}, unnamed), ALGORITHMS)
    assert len(keys.find("a", "ES256")) == 2, "two of one id"
    assert len(keys.find(None, "ES256")) == 3, "all, where none is named"
    assert len(keys.find("d", "ES256")) == 1, "one without an id may be called anything"
    assert not keys.find(None, "RS256")


@pytest.mark.parametrize("allowed", [("EdDSA",), ("Ed25519",), ("Ed25519", "EdDSA")])
@pytest.mark.parametrize("named", [{}, {"alg": "EdDSA"}, {"alg": "Ed25519"}])
def test_an_algorithm_may_have_two_names(allowed: tuple[str, ...], named: dict[str, str]) -> None:
    keys = read_keys(document(public_jwk("a", "OKP", **named)), allowed)
    assert len(keys.find("a", "EdDSA")) == 1


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "x"}, "it is a private key"),
        ({**public_jwk("a"), "d": "AA"}, "it is a private key"),
        (public_jwk("a", use="enc"), "not for verifying"),
        (public_jwk("a", key_ops=["sign"]), "not for verifying"),
        (public_jwk("a", key_ops="verify-nothing"), "not for verifying"),
        (public_jwk("a", alg="HS256"), "it fits none of"),
        (public_jwk("a", alg="RS256"), "it fits none of"),
        (public_jwk("a", crv="P-384"), "it fits none of"),
        (public_jwk("a", kty="RSA"), "it cannot be read"),
        (public_jwk("a", x="AA"), "it cannot be read"),
        (public_jwk("a", x=5), "it cannot be read"),
        ({**public_jwk("a"), "kid": 5}, "its kid is not a string"),
        ({**public_jwk("a"), "kid": "x" * 257}, "its kid is not a string"),
        (json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key())), "1024 bits"),
        ("key", "it is not an object"),
    ],
)
def test_keys_that_are_not_used_are_told(key: Any, why: str) -> None:
    if isinstance(key, dict) and why.endswith("bits"):
        key.pop("key_ops", None)
    keys = read_keys(document(public_jwk("good"), key), ALGORITHMS)
    assert keys.ids == {"good"}
    assert len(keys.notes) == 1
    assert why in keys.notes[0]
    with pytest.raises(ValueError, match="no key in it verifies") as caught:
        read_keys(document(key), ALGORITHMS)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a key set"),
        (b'{"keys": {}}', "not a key set"),
        (b'{"keys": []}', "no key in it"),
        (json.dumps(public_jwk("a")).encode(), "not a key set"),
        (document(*[public_jwk("a")] * (MAXIMUM_KEYS + 1)), "101 keys"),
        (b" " * (MAXIMUM_DOCUMENT + 1), "262145 bytes"),
    ],
)
def test_what_is_no_key_set_is_told(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_keys(content, ALGORITHMS)


def test_no_message_repeats_a_secret() -> None:
    number = format(private_key("a").private_numbers().private_value, "x")
    with pytest.raises(ValueError, match="private key") as caught:
        read_keys(document({**public_jwk("a"), "d": number}), ALGORITHMS)
    assert number not in str(caught.value)


@pytest.mark.long
@given(st.lists(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"]), JSON)))
def test_any_document_is_read_or_refused(changes: list[dict[str, Any]]) -> None:
    try:
        keys = read_keys(document(*({**public_jwk("a"), **change} for change in changes)), ALGORITHMS)
    except ValueError:
        pass
    else:
        assert len(keys)
