"""Which signed tokens are accepted, and what they grant."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.grant import MAXIMUM_GLOBS, Grant
from gateway.access.keys import TRIED_KEYS, read_keys
from gateway.access.signed import InvalidToken, UnknownKey, verify
from tests.access.kit import (
    NOW,
    RULES,
    claims,
    document,
    encoded,
    forged,
    key_set,
    private_key,
    public_jwk,
    public_pem,
    signed,
)

KEYS = key_set(public_jwk("first"), public_jwk("other", "RSA"), public_jwk("ed", "OKP"))


def refusal(token: str, brief: bool = False, now: int = NOW) -> str:
    """Why a token is not accepted."""
    with pytest.raises(InvalidToken) as caught:
        verify(token, KEYS, RULES, now, brief)
    message = str(caught.value)
    assert len(token) < 20 or token not in message
    return message


@pytest.mark.parametrize(
    ("name", "algorithm"), [("first", "ES256"), ("other", "RS256"), ("other", "PS256"), ("ed", "EdDSA")]
)
def test_a_good_token_grants_what_it_says(name: str, algorithm: str) -> None:
    token = signed(claims(read_streams=["b.*", "a"], write_streams="x y"), name, algorithm)
    expires = NOW + 60_000 + int(RULES.skew * 1000)
    grant = verify(token, KEYS, RULES, NOW, brief=False)
    assert grant == Grant(("a", "b.*"), ("x", "y"), by_token=True, expires=expires)


def test_a_token_without_claims_of_streams_grants_nothing() -> None:
    grant = verify(signed(claims(read_streams=None)), KEYS, RULES, NOW, brief=True)
    assert (grant.read, grant.write, grant.by_token) == ((), (), True)


def test_the_claims_are_called_as_configured() -> None:
    rules = replace(RULES, read_claim="scope", write_claim="https://x.example/write")
    token = signed({**claims(), "scope": "a b", "https://x.example/write": ["c"]})
    grant = verify(token, KEYS, rules, NOW, brief=False)
    assert (grant.read, grant.write) == (("a", "b"), ("c",))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"exp": None}, "no claim `exp`"),
        ({"aud": None}, "no claim `aud`"),
        ({"iss": None}, "no claim `iss`"),
        ({"aud": "https://other.example"}, "another audience"),
        ({"aud": []}, "aud"),
        ({"aud": {"a": 1}}, "audience"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": ["https://issuer.example"]}, "another issuer"),
        ({"exp": NOW // 1000 - 31}, "expired"),
        ({"exp": NOW // 1000 - 30}, "expired"),
        ({"exp": str(NOW)}, "`exp` is not a time"),
        ({"exp": True}, "`exp` is not a time"),
        ({"exp": float("inf")}, "`exp` is not a time"),
        ({"exp": float("nan")}, "`exp` is not a time"),
        ({"exp": 1e300}, "`exp` is not a time"),
        ({"exp": 10**400}, "`exp` is not a time"),
        ({"exp": -1}, "`exp` is not a time"),
        ({"exp": [1]}, "`exp` is not a time"),
        ({"nbf": NOW // 1000 + 31}, "not valid yet"),
        ({"iat": NOW // 1000 + 31}, "issued in the future"),
        ({"iat": "now"}, "`iat` is not a time"),
        ({"read_streams": 5}, "`read_streams`: it takes a list"),
        ({"read_streams": [5]}, "`read_streams`: it takes a list"),
        ({"read_streams": {"a": 1}}, "`read_streams`: it takes a list"),
        ({"write_streams": ["x" * 257]}, "`write_streams`: a name has more than"),
        ({"read_streams": [str(number) for number in range(MAXIMUM_GLOBS + 1)]}, "it may have 100"),
    ],
)
def test_bad_claims_are_told_by_their_name(changed: dict[str, Any], why: str) -> None:
    assert why in refusal(signed({**claims(), **changed} if None not in changed.values() else claims(**changed)))


@pytest.mark.parametrize("changed", [{"exp": NOW // 1000 - 29}, {"nbf": NOW // 1000 + 30}, {"iat": NOW // 1000 + 30}])
def test_clocks_may_differ_a_little(changed: dict[str, Any]) -> None:
    verify(signed(claims(**changed)), KEYS, RULES, NOW, brief=False)


def test_what_stands_in_an_address_is_short_lived() -> None:
    verify(signed(claims(lifetime=300)), KEYS, RULES, NOW, brief=True)
    assert "at most 300 s" in refusal(signed(claims(lifetime=301)), brief=True)
    assert "when it was issued" in refusal(signed(claims(iat=None)), brief=True)
    # Not to be had by an old date: the life counts from `iat`, whenever that was.
    assert "at most 300 s" in refusal(signed(claims(iat=NOW // 1000 - 290)), brief=True)
    verify(signed(claims(lifetime=86_400)), KEYS, RULES, NOW, brief=False)


def test_no_algorithm_is_not_one() -> None:
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, 5, ["ES256"], {"ES256": 1}):
        assert "algorithm" in refusal(forged({"alg": algorithm, "kid": "first"}, claims()))
    assert "algorithm" in refusal(forged({"kid": "first"}, claims()))


@pytest.mark.parametrize("secret", [public_pem("other"), document(public_jwk("other", "RSA")), b"", b"first"])
def test_a_public_key_is_no_secret(secret: bytes) -> None:
    """An HMAC made with what everybody knows (RFC 8725 section 2.1)."""
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        head = forged({"alg": algorithm, "kid": "other", "typ": "JWT"}, claims()).rpartition(".")[0]
        token = f"{head}.{encoded(hmac.digest(secret, head.encode(), digest().name))}"
        assert "algorithm is none of" in refusal(token)


def test_a_key_verifies_with_its_own_algorithm_alone() -> None:
    with pytest.raises(UnknownKey):
        verify(signed(claims(), "other", "RS256", kid="first"), KEYS, RULES, NOW, brief=False)
    keys = key_set(public_jwk("other", "RSA", alg="RS256"))
    with pytest.raises(UnknownKey):
        verify(signed(claims(), "other", "PS256"), keys, RULES, NOW, brief=False)
    narrow = replace(RULES, algorithms=("ES256",))
    with pytest.raises(InvalidToken, match="none of ES256"):
        verify(signed(claims(), "other", "RS256"), KEYS, narrow, NOW, brief=False)


@pytest.mark.parametrize(
    "key_id", ["", "nobody", "../../etc/passwd", "first\x00", "' OR 1=1 --", "http://evil.example/keys", "x" * 256, "é"]
)
def test_a_key_id_is_looked_up_and_nothing_else(key_id: str) -> None:
    with pytest.raises(UnknownKey):
        verify(signed(claims(), "stranger", kid=key_id), KEYS, RULES, NOW, brief=False)


@pytest.mark.parametrize("key_id", ["x" * 257, 5, ["first"], {"kid": "first"}, True])
def test_a_key_id_is_a_text(key_id: Any) -> None:
    refusal(forged({"alg": "ES256", "kid": key_id}, claims(), b"x" * 64))


def test_a_key_in_the_token_is_not_trusted() -> None:
    mine = public_jwk("stranger")
    for extra in ({"jwk": mine}, {"jku": "http://127.0.0.1:1/keys"}, {"x5u": "http://127.0.0.1:1/"}, {"x5c": ["AA=="]}):
        assert "cannot be verified" in refusal(signed(claims(), "stranger", kid="first", **extra))


def test_a_token_without_a_key_id_is_tried_with_every_key_that_fits() -> None:
    """RFC 7515 appendix D."""
    names = [str(number) for number in range(TRIED_KEYS)]
    several = key_set(*map(public_jwk, names), public_jwk("other", "RSA"))
    for name in names:
        verify(signed(claims(), name, kid=None), several, RULES, NOW, brief=False)
    verify(signed(claims(), "other", "RS256", kid=None), several, RULES, NOW, brief=False)
    # Keys without names may have been changed a moment ago, and are looked for once more.
    with pytest.raises(UnknownKey, match="by any key"):
        verify(signed(claims(), "stranger", kid=None), several, RULES, NOW, brief=False)
    with pytest.raises(UnknownKey, match="names no key"):
        verify(signed(claims(), "ed", "EdDSA", kid=None), several, RULES, NOW, brief=False)
    with pytest.raises(InvalidToken, match="another audience"):
        verify(signed(claims(aud="x"), names[-1], kid=None), several, RULES, NOW, brief=False)


def test_so_many_keys_are_tried_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(number) for number in range(TRIED_KEYS + 1)]
    many = key_set(*map(public_jwk, names))
    tried = Mock(wraps=jwt.decode)
    monkeypatch.setattr(jwt, "decode", tried)
    with pytest.raises(InvalidToken, match="11 keys fit, of which 10 are tried; it must name its own") as caught:
        verify(signed(claims(), names[-1], kid=None), many, RULES, NOW, brief=False)
    assert not isinstance(caught.value, UnknownKey)
    assert tried.call_count == TRIED_KEYS
    verify(signed(claims(), names[-1]), many, RULES, NOW, brief=False)


def test_either_of_two_keys_of_one_id_may_have_signed_it() -> None:
    keys = key_set(public_jwk("first"), public_jwk("second", kid="first"))
    for name in ("first", "second"):
        verify(signed(claims(), name, kid="first"), keys, RULES, NOW, brief=False)
    with pytest.raises(InvalidToken, match="cannot be verified") as caught:
        verify(signed(claims(), "stranger", kid="first"), keys, RULES, NOW, brief=False)
    assert not isinstance(caught.value, UnknownKey)


def test_a_key_without_an_id_may_have_any_name() -> None:
    unnamed = {key: value for key, value in public_jwk("first").items() if key != "kid"}
    keys = key_set(unnamed, public_jwk("second"))
    verify(signed(claims(), "first", kid="today"), keys, RULES, NOW, brief=False)
    with pytest.raises(UnknownKey):
        verify(signed(claims(), "second", kid="today"), keys, RULES, NOW, brief=False)


@pytest.mark.parametrize("allowed", [("EdDSA",), ("Ed25519",)])
@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_an_algorithm_may_have_two_names(allowed: tuple[str, ...], name: str) -> None:
    """RFC 9864: `Ed25519` is what `EdDSA` is with such a key."""
    rules = replace(RULES, algorithms=allowed)
    keys = read_keys(document(public_jwk("ed", "OKP"), public_jwk("first")), allowed)
    head = forged({"alg": name, "kid": "ed"}, claims()).rpartition(".")[0]
    token = f"{head}.{encoded(private_key('ed', 'OKP').sign(head.encode()))}"
    assert verify(token, keys, rules, NOW, brief=False).read == ("secret",)
    with pytest.raises(InvalidToken):
        verify(token[:-8] + "AAAAAAAA", keys, rules, NOW, brief=False)
    for other in ("Ed448", "ed25519", "ED25519", "Ed25519 "):
        head = forged({"alg": other, "kid": "ed"}, claims()).rpartition(".")[0]
        token = f"{head}.{encoded(private_key('ed', 'OKP').sign(head.encode()))}"
        with pytest.raises(InvalidToken, match="algorithm is none of"):
            verify(token, keys, rules, NOW, brief=False)


@pytest.mark.parametrize("value", [5, 0, "", None, True, ["a"], {"a": 1}, 1.5, "x" * 5000])
@pytest.mark.parametrize("name", ["sub", "jti", "typ", "azp", "scope", "client_id", "cnf"])
def test_claims_that_nobody_uses_refuse_no_token(name: str, value: Any) -> None:
    verify(signed({**claims(), name: value}), KEYS, RULES, NOW, brief=False)


def test_what_a_token_calls_critical_is_not_ignored() -> None:
    assert "not a readable JSON Web Token" in refusal(signed(claims(), crit=["exp2"], exp2=1))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "....",
        forged(b"[" * 3000, claims()),
        forged(b'{"alg":' * 1000, claims()),
        forged(b"1" * 5000, claims()),
        forged(b'{"alg":"ES256","kid":"first","x":' + b"1" * 5000 + b"}", claims()),
        forged(b"[]", claims()),
        forged(b"null", claims()),
        forged(b"\xff\xfe", claims()),
        forged({"alg": "ES256", "kid": "first"}, b"{}"),
        forged({"alg": "ES256", "kid": "first"}, claims(), b"\x00" * 64),
        signed(claims())[:-2],
        signed(claims()) + "A",
        signed(claims()) + ".x",
    ],
)
def test_garbage_is_refused(token: str) -> None:
    assert refusal(token)


@pytest.mark.parametrize(
    "payload", [b"[" * 2500, b"1" * 5000, b'{"exp":' + b"9" * 5000 + b"}", b"null", b"[]", b"\xff"]
)
def test_what_is_signed_may_be_garbage_too(payload: bytes) -> None:
    head = forged({"alg": "EdDSA", "kid": "ed"}, payload).rpartition(".")[0]
    token = f"{head}.{encoded(private_key('ed', 'OKP').sign(head.encode()))}"
    assert refusal(token)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_token_is_accepted(place: int, change: int) -> None:
    token = TOKEN.encode()
    at = place % len(token)
    changed = token[:at] + bytes([(token[at] + change) % 256]) + token[at + 1 :]
    with pytest.raises(InvalidToken):
        verify(changed.decode("latin-1"), KEYS, RULES, NOW, brief=False)


TOKEN = signed(claims())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "read_streams", "write_streams"]), JSON))
def test_whatever_the_claims_are_only_good_ones_grant(changed: dict[str, Any]) -> None:
    payload = {**claims(), **changed}
    try:
        head = forged({"alg": "EdDSA", "kid": "ed"}, json.dumps(payload).encode()).rpartition(".")[0]
    except UnicodeEncodeError:
        return
    token = f"{head}.{encoded(private_key('ed', 'OKP').sign(head.encode()))}"
    try:
        grant = verify(token, KEYS, RULES, NOW, brief=False)
    except InvalidToken:
        pass
    else:
        assert isinstance(payload["exp"], int | float)
        assert grant.expires is not None
        assert grant.expires > NOW
        assert all(isinstance(name, str) and name for name in grant.read + grant.write)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_no_text_is_a_token(text: str) -> None:
    assert refusal(text or " ")
