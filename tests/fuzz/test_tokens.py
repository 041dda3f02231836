"""Bearer tokens of any form."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote_plus

import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.access.credential import find, take_out
from gateway.access.signed import InvalidToken, verify
from gateway.errors import Problem
from tests.access.kit import NOW, RULES, claims, encoded, forged, key_set, private_key, public_jwk, signed
from tests.effort import examples
from tests.fuzz.kit import JSON, Fuzzer, damaged, pieces

# Each process has figures of its own, which are shown at the end.
pytestmark = pytest.mark.alone

token = Fuzzer("bearer tokens", (Problem, InvalidToken))
KEYS = key_set(public_jwk("first"), public_jwk("ed", "OKP"))
HEADS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.sampled_from(["ES256", "EdDSA", "none", "HS256", "ed"])
        for name in ("alg", "kid", "crit", "b64", "jwk")
    },
)
CLAIMS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("iss", "aud", "exp", "nbf", "iat", "read_streams", "write_streams", "sub", "jti"), JSON),
)
GOOD = signed(claims())


def _signed(payload: object) -> str:
    """What the issuer itself has signed, whatever it is."""
    head = forged({"alg": "EdDSA", "kid": "ed"}, json.dumps(payload).encode()).rpartition(".")[0]
    return f"{head}.{encoded(private_key('ed', 'OKP').sign(head.encode()))}"


TOKENS = st.one_of(
    damaged(st.just(GOOD.encode())).map(lambda text: text.decode("latin-1")),
    st.tuples(HEADS, CLAIMS, st.binary(max_size=70)).map(
        lambda three: forged(json.dumps(three[0]).encode(), json.dumps(three[1]).encode(), three[2])
    ),
    CLAIMS.map(lambda some: _signed({**claims(), **some})),
    JSON.map(_signed),
    pieces("eyJhbGciOiJFUzI1NiJ9", ".", "=", "-", "_", "e30"),
)


@settings(max_examples=examples(150), deadline=None)
@given(TOKENS, st.sampled_from(["header", "query", "cookie"]), st.booleans())
@example(forged(b"[" * 5000, b"{}"), "header", False)
@example(forged(b'{"a":' * 1000 + b"1", b"{}"), "header", False)
@example("." * 8192, "query", True)
@example("A" * 8192 + ".A.A", "query", True)
def test_token(text: str, place: str, brief: bool) -> None:
    raw = text.encode(errors="replace")
    headers = {"header": [(b"authorization", b"Bearer " + raw)], "cookie": [(b"cookie", b"a=b; token=" + raw)]}
    query = b"access_token=" + quote_plus(raw).encode() if place == "query" else b""

    def judge() -> object:
        shown = find(headers.get(place, []), take_out(query)[1], "token", 8192)
        return None if shown is None else verify(shown.token, KEYS, RULES, NOW, brief)

    grant = token.attempt(judge)
    if grant is not None and text != GOOD:
        assert _is_signed(text)


def _is_signed(text: str) -> bool:
    """Whether the key of the issuer made this signature, judged without the code that is tried."""
    head, _, signature = text.rpartition(".")
    try:
        private_key("ed", "OKP").public_key().verify(base64.urlsafe_b64decode(signature + "=="), head.encode())
    except (InvalidSignature, ValueError):
        return text.strip() == GOOD or text.split(";", maxsplit=1)[0].strip('" ') == GOOD
    return True
