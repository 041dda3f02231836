"""What `gateway tail` says to options that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.tail import tail


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--filter", "event.n = 1"], 2, "did you mean '=='?\n\n  event.n = 1\n          ^"),
        (["--since", "5m", "--until", "6m"], 2, "--until is not after --since"),
        (["--since", "yesterday"], 2, "'yesterday' is not a time; write ISO 8601"),
        (["--fields", "a..b"], 2, "empty name"),
        (["--limit", "0"], 2, "0 is not in the range x>=1"),
        (["--server", "feed.example"], 1, "is not an address; write it like http://"),
        (["--resume", __file__], 1, "holds something else than a position"),
        (["--output", "xml"], 2, "'xml' is not one of"),
    ],
)
def test_options_that_cannot_be(options: list[str], status: int, said: str) -> None:
    result = CliRunner().invoke(tail, ["numbers", *options], catch_exceptions=False)
    assert result.exit_code == status
    assert said in result.output


def test_an_environment_names_the_server(tmp_path: Path) -> None:
    result = CliRunner(env={"GATEWAY_SERVER": "feed.example"}).invoke(tail, ["numbers"], catch_exceptions=False)
    assert "'feed.example/v2/stream/numbers' is not an address" in result.output


def test_an_environment_holds_the_token() -> None:
    def said(token: str) -> str:
        runner = CliRunner(env={"GATEWAY_TAIL_TOKEN": token})
        return runner.invoke(tail, ["numbers", "--server", "feed.example"], catch_exceptions=False).output

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
    result = CliRunner().invoke(tail, ["a", "b,c", "\udcff", "--server", "feed.example"], catch_exceptions=False)
    assert "'feed.example/v2/stream/a,b,c,%FF' is not an address" in result.output
