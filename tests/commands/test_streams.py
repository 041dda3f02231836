"""`gateway streams`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.client import ClientError
from gateway.client.fetch import load
from gateway.commands.streams import _listed, _row, streams
from tests.routes.kit import running
from tests.services.kafka import free_port


async def listed(*options: str) -> Any:
    """What it prints of a gateway that runs."""
    async with running() as site:
        arguments = ["--server", f"127.0.0.1:{site.port}", *options]
        return await asyncio.to_thread(CliRunner().invoke, streams, arguments, catch_exceptions=False)


async def test_the_streams_of_a_server() -> None:
    result = await listed()
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split() == ["stream", "events/s", "newest", "description"]
    (edit,) = [line for line in lines if line.startswith("page.edit ")]
    assert edit.split() == ["page.edit", "0.0", "Every", "edit."]


async def test_as_json() -> None:
    result = await listed("--json")
    assert "page.edit" in [stream["name"] for stream in json.loads(result.output)]


def test_a_server_that_is_not_there() -> None:
    result = CliRunner().invoke(streams, ["--server", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 1
    assert "is it running?" in result.output


def test_what_is_no_address() -> None:
    result = CliRunner().invoke(streams, ["--server", "two words"])
    assert result.exit_code == 1
    assert "is not an address" in result.output


async def test_a_refusal_says_why() -> None:
    async with running() as site:
        with pytest.raises(ClientError, match="404: there is no resource"):
            await load(f"http://127.0.0.1:{site.port}/v2/nothing", 1_000, 5.0)
        with pytest.raises(ClientError, match="more than 10 bytes"):
            await load(f"http://127.0.0.1:{site.port}/v2/streams", 10, 5.0)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[1]"])
def test_what_is_no_catalogue(body: bytes) -> None:
    with pytest.raises(ClientError, match="is this a gateway"):
        _listed("http://h", body)


def test_a_hostile_catalogue_steers_no_terminal() -> None:
    name, rate, newest, _ = _row({"name": "\x1b[2J" + "x" * 500, "rate": "much", "newest": 5})
    assert name.isprintable()
    assert len(name) == 100
    assert (rate, newest) == ("", "")
