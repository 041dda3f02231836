"""Static tokens: configured by their hash."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.access.grant import Grant
from gateway.access.static import StaticToken, digest_of, find, read_static_tokens
from gateway.commands.cli import main

DIGEST = hashlib.sha256(b"x" * 40).hexdigest()


def test_a_token_is_found_by_its_text() -> None:
    tokens = read_static_tokens(
        {"board": {"sha256": DIGEST.upper(), "read": ["b", "a*", "b"]}, "pump": {"sha256": "0" * 64, "write": "c"}}
    )
    board = StaticToken("board", bytes.fromhex(DIGEST), ("a*", "b"))
    assert find(tokens, "x" * 40) == board == tokens[0]
    assert tokens[1].write == ("c",)
    assert board.grant == Grant(("a*", "b"), by_token=True, digest=board.digest)
    assert find(tokens, "x" * 41) is None
    assert find(tokens, DIGEST) is None
    assert find((), "x") is None


def test_all_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr("gateway.access.static.hmac.compare_digest", compare)
    tokens = [StaticToken(str(number), digest_of(str(number))) for number in range(5)]
    find(tokens, "0")
    find(tokens, "nobody")
    assert [one for one, _ in compared] == [token.digest for token in tokens] * 2


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("text", "takes a mapping"),
        ({}, "sha256 takes 64 hexadecimal digits"),
        ({"sha256": "the token itself"}, "sha256 takes 64 hexadecimal digits"),
        ({"sha256": 12345, "read": ["a"]}, "sha256 takes 64 hexadecimal digits in quotes"),
        ({"sha256": DIGEST}, "may read and write nothing"),
        ({"sha256": DIGEST, "read": 5}, "read: it takes a list"),
        ({"sha256": DIGEST, "write": ["a", 5]}, "write: it takes a list"),
        ({"sha256": DIGEST, "reed": ["a"]}, "there is no 'reed'; it takes sha256, read, write"),
    ],
)
def test_mistakes_are_told_with_their_place(entry: Any, why: str) -> None:
    with pytest.raises(ValueError, match="static_tokens: board") as caught:
        read_static_tokens({"board": entry})
    assert why in str(caught.value)
    assert "the token itself" not in str(caught.value)


def test_one_token_has_one_name() -> None:
    with pytest.raises(ValueError, match="b is the same token as a"):
        read_static_tokens({name: {"sha256": DIGEST, "read": ["x"]} for name in "ab"})


def test_the_command_makes_what_the_configuration_takes() -> None:
    result = CliRunner().invoke(main, ["token", "new", "board"])
    assert result.exit_code == 0
    text = result.stdout.strip()
    assert len(text) == 43
    digest = digest_of(text).hex()
    assert f'board: {{sha256: "{digest}", read: [name.of.a.stream]}}' in result.stderr
    assert CliRunner().invoke(main, ["token", "hash"], input=text + "\n").stdout == digest + "\n"
    assert CliRunner().invoke(main, ["token", "new"]).stdout != result.stdout


def test_a_short_token_has_no_hash() -> None:
    result = CliRunner().invoke(main, ["token", "hash"], input="x" * 31)
    assert result.exit_code == 1
    assert "31 characters can be guessed" in result.stderr
    assert result.stdout == ""
