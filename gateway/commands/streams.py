"""`gateway streams`: the streams of a server, in a terminal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from gateway.client import ClientError, server_address
from gateway.client.fetch import load
from gateway.commands.ending import fail
from gateway.commands.tail import TOKEN
from gateway.text import printable

BYTES = 16_000_000
SECONDS = 10.0
LONGEST_NAME = 100
"""Characters of a name, and of a description."""


@click.command()
@click.option("--server", metavar="URL", envvar="GATEWAY_SERVER", default="http://127.0.0.1:8080", show_default=True,
              show_envvar=True, help="A gateway; host:port is enough.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the catalogue as JSON.")
def streams(server: str, as_json: bool) -> None:
    """List the streams of a server, with their rates.

    For private streams, the environment variable GATEWAY_TAIL_TOKEN holds a bearer token.
    """
    address = server_address(server)
    try:
        body = asyncio.run(load(f"{address}/v2/streams", BYTES, SECONDS, os.environ.get(TOKEN) or None))
        listed = _listed(address, body)
    except ClientError as error:
        fail([f"gateway streams: {error}"])
    if as_json:
        click.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stream", style="bold", overflow="fold")
    table.add_column("events/s", justify="right")
    table.add_column("newest", no_wrap=True)
    table.add_column("description", overflow="fold")
    for stream in listed:
        table.add_row(*_row(stream))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=10_000)
    console.print(table if listed else "There are no streams.")


def _listed(address: str, body: bytes) -> list[Mapping[str, Any]]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ClientError(f"{address}/v2/streams gives no list of streams; is this a gateway?")
    return found


def _row(stream: Mapping[str, Any]) -> list[str]:
    rate = stream.get("rate")
    names = [stream.get("name"), stream.get("newest"), stream.get("description")]
    name, newest, description = (printable(one)[:LONGEST_NAME] if isinstance(one, str) else "" for one in names)
    return [name, f"{rate:,.1f}" if isinstance(rate, (int, float)) else "", newest, description]
