"""What `gateway tail` says to options that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.client import server_address
from gateway.commands.tail import _is_one, tail


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--filter", "event.n = 1"], 2, "did you mean '=='?\n\n  event.n = 1\n          ^"),
        (["--since", "5m", "--until", "6m"], 2, "--until is not after --since"),
        (["--since", "yesterday"], 2, "'yesterday' is not a time; write ISO 8601"),
        (["--fields", "a..b"], 2, "empty name"),
        (["--limit", "0"], 2, "0 is not in the range x>=1"),
        (["--server", "ftp://feed.example"], 1, "is not an address; write it like http://"),
        (["--resume", __file__], 1, "holds something else than a position"),
        (["--output", "xml"], 2, "'xml' is not one of"),
    ],
)
def test_options_that_cannot_be(options: list[str], status: int, said: str) -> None:
    result = CliRunner().invoke(tail, ["numbers", *options], catch_exceptions=False)
    assert result.exit_code == status
    assert said in result.output


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("event.a ==\n", "line 2, column 1: {}\n\n  \n  ^"),
        ("event.a ==\n event.b = 1", "line 2, column 10: {}\n\n   event.b = 1\n           ^"),
        ("event.a == '\u2028' = 1", "line 1, column 16: {}\n\n  event.a == '\\u2028' = 1\n                      ^"),
        ("event.a == '\v' = 1", "line 1, column 16: {}\n\n  event.a == '\\x0b' = 1\n                    ^"),
        ("event.a ==\r\n= 1", "line 2, column 1: {}\n\n  = 1\n  ^"),
        ("event.a\t= 1", "line 1, column 9: {}\n\n  event.a = 1\n          ^"),
        ("event.a == '中' = 1", "line 1, column 16: {}\n\n  event.a == '中' = 1\n                  ^"),
    ],
)
def test_a_mark_stands_below_what_is_wrong_in_a_filter(expression: str, shown: str) -> None:
    result = CliRunner().invoke(tail, ["numbers", "--filter", expression], catch_exceptions=False)
    place, lines = shown.split(": {}")
    assert result.exit_code == 2
    assert place in result.output
    assert result.output.endswith(f"{lines}\n")


def test_an_environment_names_the_server(tmp_path: Path) -> None:
    result = CliRunner(env={"GATEWAY_SERVER": "ftp://feed.example"}).invoke(tail, ["numbers"], catch_exceptions=False)
    assert "'ftp://feed.example/v2/stream/numbers' is not an address" in result.output


def test_an_environment_holds_the_token() -> None:
    def said(token: str) -> str:
        runner = CliRunner(env={"GATEWAY_TAIL_TOKEN": token})
        return runner.invoke(tail, ["numbers", "--server", "ftp://feed.example"], catch_exceptions=False).output

    assert "the token cannot be sent" in said("two\nlines")
    assert "two" not in said("two\nlines")
    # An empty variable is as if not set.
    assert "is not an address" in said("")


def test_the_help_tells_of_the_token() -> None:
    assert "GATEWAY_TAIL_TOKEN" in CliRunner().invoke(tail, ["--help"]).output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["numbers", "--server", "http://feed.test/v2/stream/numbers"], "gateway tail my.stream --server"),
        (["http://feed.test/v2/stream/numbers"], "gateway tail my.stream --server"),
        (["numbers", "--until", "1h"], "--until is in the past; set the start with --since"),
        (["numbers", "--resume", ""], "not the name of a file"),
        (["numbers", "--fields", ""], "empty path"),
        (["numbers", "--fields", "\udcff"], "is not valid text"),
        (["numbers", "--until", "2026-01-01", "--since", "2026-01-01"], "--until is not after --since"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_of_a_beginner(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(tail, arguments, catch_exceptions=False)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_several_streams_may_be_named_one_by_one() -> None:
    result = CliRunner().invoke(tail, ["a", "b,c", "\udcff", "--server", "ftp://feed.example"], catch_exceptions=False)
    assert "'ftp://feed.example/v2/stream/a,b,c,%FF' is not an address" in result.output


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("feed.example", "http://feed.example"),
        ("[::1]:8080/base/", "http://[::1]:8080/base"),
        ("https://feed.example/", "https://feed.example"),
        ("HTTP://feed.example", "HTTP://feed.example"),
        ("ftp://feed.example", "ftp://feed.example"),
        ("two words", "two words"),
        ("", ""),
    ],
)
def test_a_server_needs_no_scheme(server: str, address: str) -> None:
    assert server_address(server) == address


@pytest.mark.parametrize(
    ("streams", "one"), [(("a",), True), (("a", "b"), False), (("a,b",), False), (("a*",), False), (("a?",), False)]
)
def test_one_stream_is_not_named_on_each_line(streams: tuple[str, ...], one: bool) -> None:
    assert _is_one(streams) == one
