"""The configuration file, and the file of keys beside it: every mistake is told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.access.keys import read_keys
from gateway.access.static import read_static_tokens
from gateway.errors import ConfigurationError
from gateway.settings.configuration import configure
from gateway.settings.table import BY_KEY
from tests.access.kit import ALGORITHMS, document, public_jwk
from tests.effort import examples
from tests.fuzz.kit import JSON, Fuzzer, damaged, pieces

# Each process has figures of its own, which are shown at the end.
pytestmark = pytest.mark.alone

GOOD = b"""
port: 8080
heartbeat: 15s
kafka: {security_protocol: SSL}
static_tokens: {board: {sha256: "%s", read: ["*"]}}
streams:
  news: &base
    description: What happens.
    topics: [one.news, two.news]
    stream_aliases: [latest]
    retention: {ms: 7d, bytes: 1GiB}
  hidden:
    <<: *base
    topics: [hidden]
    public: false
""" % (b"0" * 64)
WORDS = (
    *(
        "streams:",
        "\n  ",
        "\n    ",
        "news:",
        " ",
        "topics:",
        "[",
        "]",
        "{",
        "}",
        "- ",
        ": ",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!!python/object:os.system ",
    ),
    *(
        "!!binary ",
        "|",
        ">",
        "'",
        '"',
        "#",
        "---",
        "\t",
        "port: ",
        "public: ",
        "true",
        "null",
        "~",
        "1e999",
        "0x",
        "? ",
        "%YAML 1.2\n",
        "\x00",
    ),
    *(
        "static_tokens: ",
        "sha256: ",
        "jwks: ",
        "retention: ",
        "resume: timestamp",
        "partitions: ",
        "99999999999999999999",
    ),
)
STREAM_KEYS = [
    "topics",
    "stream_aliases",
    "public",
    "retention",
    "partitions",
    "resume",
    "schema_title",
    "error_stream",
]
STREAMS = st.dictionaries(
    st.text("ab.*", min_size=1, max_size=3), st.dictionaries(st.sampled_from(STREAM_KEYS), JSON) | JSON
)
DOCUMENTS = st.dictionaries(st.sampled_from([*BY_KEY, "streams", "nothing"]), JSON | STREAMS).map(
    lambda value: json.dumps(value).encode()
)
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 9)) for letter in b"bcdefghijk"
)

# The library takes a second for three thousand brackets; the file is the operator's own.
configuration = Fuzzer("configuration (YAML)", (ConfigurationError,), seconds=10.0, memory=256 << 20)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is written again and again."""
    return tmp_path_factory.mktemp("configuration") / "gateway.yaml"


@pytest.mark.long
@settings(max_examples=examples(80), deadline=None)
@given(
    content=damaged(st.just(GOOD))
    | DOCUMENTS
    | pieces(*WORDS).map(lambda text: text.encode(errors="replace"))
    | st.binary(max_size=40)
)
@example(content=BOMB)
@example(content=b"streams: " + b"[" * 1500)
@example(content=b"streams: " + b"{a: " * 3000)
@example(content=b"- " * 3000)
@example(content=b"streams: &a {<<: *a}")
@example(content=b"&a " * 1000)
@example(content=b"streams:\n" + b"".join(b"  s%d: {topics: [t%d]}\n" % (number, number) for number in range(300)))
@example(content=b"port: " + b"9" * 100_000)
def test_configuration(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    def read() -> object:
        try:
            return configure({"config": str(path)}, {})
        except ConfigurationError as error:
            _check_mistakes(error, path)
            raise

    configuration.attempt(read)


def _check_mistakes(error: ConfigurationError, path: Path) -> None:
    assert error.mistakes
    for mistake in error.mistakes:
        assert mistake.startswith((f"{path}:", "default: ")), mistake
        assert len(mistake) < 100_000


keys = Fuzzer("key sets (JWKS)", (ValueError,))
KEY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops"), JSON)
)
GOOD_KEYS = st.just(document(public_jwk("first"), public_jwk("other", "RSA"), public_jwk("ed", "OKP")))


@settings(max_examples=examples(80), deadline=None)
@given(
    damaged(GOOD_KEYS)
    | st.tuples(st.sampled_from(["RSA", "EC", "OKP"]), KEY).map(
        lambda two: document({**public_jwk("x", two[0]), **two[1]})
    )
    | JSON.map(lambda value: json.dumps(value).encode())
)
@example(b'{"keys":' * 20_000)
@example(document(*[public_jwk("first")] * 100))
@example(document({**public_jwk("other", "RSA"), "n": "A" * 200_000}))
@example(document({**public_jwk("other", "RSA"), "e": "A" * 200_000}))
def test_keys(content: bytes) -> None:
    found = keys.attempt(lambda: read_keys(content, ALGORITHMS))
    assert found is None or len(found) > 0


static_tokens = Fuzzer("static_tokens", (ValueError,))
TOKEN = st.fixed_dictionaries(
    {}, optional={"sha256": JSON | st.just("0" * 64), "read": JSON | st.just(["a"]), "write": JSON, "x": JSON}
)


@settings(max_examples=examples(30), deadline=None)
@given(st.dictionaries(st.text(max_size=4), JSON | TOKEN, max_size=3))
def test_static_tokens(value: dict[str, object]) -> None:
    found = static_tokens.attempt(lambda: read_static_tokens(value))
    for one in found or ():
        assert len(one.digest) == 32
        assert one.read or one.write
