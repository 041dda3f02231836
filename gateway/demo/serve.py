"""`gateway demo`: the server with a log of its own and a live sample feed in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from gateway.app import Gateway, open_log
from gateway.catalog.catalog import Catalog
from gateway.clock import SystemClock
from gateway.demo.feed import SampleFeed
from gateway.processes import raise_file_limit, stop_on_signals
from gateway.settings import Settings

PACKAGED = Path(__file__).parent.parent.parent / "config"
DEMO_LOG = "sqlite:///var/demo.db"


def demo_settings(flags: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The flags of the demo: where nothing else is said, its own log, and the configuration beside the code."""
    given = dict(flags)
    if given.get("log") is None and "GATEWAY_LOG" not in environment:
        given["log"] = DEMO_LOG
    if given.get("config") is None and "GATEWAY_CONFIG" not in environment and not Path("config/gateway.yaml").exists():
        given["config"] = str(PACKAGED / "gateway.yaml")
        if not given.get("schema_repositories"):
            given["schema_repositories"] = (str(PACKAGED / "schemas"),)
    return given


async def run_demo(settings: Settings, catalog: Catalog) -> None:
    """Fill the log with an hour of history, then serve it and go on. Raises OSError, LogError, ConfigurationError."""
    raise_file_limit()
    stop = stop_on_signals()
    log = open_log(settings)
    await log.open()
    feed = SampleFeed(log, catalog, SystemClock())
    click.echo("Making an hour of history …", err=True)
    await feed.fill()
    feeding = asyncio.create_task(feed.run())

    async def say(port: int) -> None:
        click.echo(_invitation(f"http://{settings.host}:{port}", catalog))

    try:
        await Gateway(settings, catalog, log).run(stop, on_open=say)
    finally:
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding


def _invitation(address: str, catalog: Catalog) -> str:
    name = next(iter(catalog.streams))
    stream = f"{address}/v2/stream/{name}"
    return f"""
The gateway is at {address}, with about 20 changes a second to pages of wikis that do not exist.
Try, in another terminal:

  curl -N {stream}
  curl -N '{stream}?since=10m&limit=5' -H 'Accept: application/x-ndjson'
  curl -N -G {stream} --data-urlencode 'filter=event.wiki == "enwiki" && !event.bot' -d fields=title,user,type
  curl {address}/v2/streams

Ctrl-C ends it.
"""
