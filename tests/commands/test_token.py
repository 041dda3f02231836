"""`gateway token`: what is made can be configured, and what could not be sent is refused."""

from __future__ import annotations

import hashlib

import pytest
import yaml
from click.testing import CliRunner

from gateway.access.static import read_static_tokens
from gateway.commands.token import token


@pytest.mark.parametrize("name", ["reader", "my reader", "a\nb: c", "1", "null", "ä…", "'\"", "{x}", "\udcff"])
def test_a_new_token_can_be_configured_under_any_name(name: str) -> None:
    result = CliRunner().invoke(token, ["new", name], catch_exceptions=False)
    document = yaml.safe_load(result.stderr[result.stderr.index("static_tokens:") :])
    assert list(document["static_tokens"]) == [name]
    (read,) = read_static_tokens(document["static_tokens"])
    assert read.digest == hashlib.sha256(result.stdout.strip().encode()).digest()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"x" * 31, "a token of 31 characters can be guessed"),
        (b"", "a token of 0 characters can be guessed"),
        ("ä".encode() * 40, "only printable ASCII characters"),
        (b"\xff" * 40, "only printable ASCII characters"),
        (b"two words" * 10, "only printable ASCII characters"),
    ],
)
def test_a_token_that_is_none(given: bytes, said: str) -> None:
    result = CliRunner().invoke(token, ["hash"], input=given, catch_exceptions=False)
    assert result.exit_code == 1
    assert said in result.stderr


def test_the_hash_of_a_token() -> None:
    result = CliRunner().invoke(token, ["hash"], input=b"x" * 40 + b"\n", catch_exceptions=False)
    assert result.stdout.strip() == hashlib.sha256(b"x" * 40).hexdigest()
