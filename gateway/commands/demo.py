"""`gateway demo`: the server with a log of its own and a live sample feed in it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from gateway.app.composition import define, open_log, open_schemas
from gateway.app.gateway import Gateway
from gateway.app.operations import Operations, nothing_to_reload
from gateway.archive.open import EXTRA, missing_libraries
from gateway.archive.options import ArchiveOptions
from gateway.catalog.catalog import Catalog
from gateway.catalog.load import read
from gateway.catalog.stream import Retention, Stream
from gateway.client import ClientError, bare, is_address
from gateway.clock import SystemClock
from gateway.commands.ending import fail
from gateway.commands.options import with_settings
from gateway.definitions import Definitions
from gateway.demo.feed import CHANGES, SampleFeed, stream_of
from gateway.demo.past import begin_past, write_aside
from gateway.demo.sample import IS_CHECKOUT, SAMPLE
from gateway.errors import ConfigurationError, LogError
from gateway.mirror.meter import Meter
from gateway.mirror.mirror import Mirror, default_name
from gateway.mirror.source import subscriber
from gateway.observability.logs import Output, configure_logging
from gateway.process.processing import Declared
from gateway.process.reload import Reloader, Source
from gateway.process.serve import (
    address_of,
    begin_worker,
    is_processing,
    operating,
    reloading_at_hang_up,
    stop_on_signals,
    supervise,
    tell_connections,
)
from gateway.process.watchdog import end_process, watched
from gateway.settings.configuration import Configured, configure
from gateway.settings.table import BY_KEY, Settings

DEMO_LOG = "sqlite:///var/demo.db"
DEMO_ARCHIVE = "var/demo-archive"
KEPT = Retention(7 * 24 * 3_600_000, 2_000_000_000)
"""How much the demo keeps of a stream that it mirrors: a week, or 2 GB."""
IN_CHECKOUT = ".venv/bin/pip install --requirement requirements-archive.lock"
INSTALLED = f"pip install 'event-gateway[{EXTRA}]'"
"""How the libraries of archives are added: to a checkout, and to what was installed."""

_log = logging.getLogger(__name__)


def demo_settings(flags: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The flags of the demo: where nothing else is said, its own log with an archive, and without a configuration the
    sample; and everybody may try declarations."""
    given = dict(flags)

    def is_said(key: str) -> bool:
        return given.get(key) not in (None, ()) or bool(environment.get(BY_KEY[key].variable or ""))

    has_own_log = not is_said("log")
    if has_own_log:
        given["log"] = DEMO_LOG
    if not is_said("config") and not Path(BY_KEY["config"].default).exists():
        given["config"] = str(SAMPLE / "gateway.yaml")
        if not is_said("schema_repositories"):
            given["schema_repositories"] = (str(SAMPLE / "schemas"),)
    config = given.get("config") or environment.get(BY_KEY["config"].variable or "") or BY_KEY["config"].default
    in_file = read(config).settings
    if not is_said("derive_trials") and "derive_trials" not in in_file:
        given["derive_trials"] = "public"
    if has_own_log and not is_said("archive") and "archive" not in in_file and not missing_libraries():
        given["archive"] = DEMO_ARCHIVE
    return given


def configure_demo(given: Mapping[str, Any], environment: Mapping[str, str]) -> Configured:
    """The configuration. The stream that the demo feeds is archived where the flags name an archive and the file
    archives nothing. Raises ConfigurationError."""
    configured = configure(given, environment)
    streams = list(configured.catalog.streams.values())
    if not given.get("archive") or any(stream.archive for stream in streams):
        return configured
    fed = stream_of(CHANGES, configured.catalog)
    archived = [dataclasses.replace(stream, archive=True) if stream is fed else stream for stream in streams]
    return dataclasses.replace(configured, catalog=Catalog(archived))


def advice_of(settings: Settings) -> str:
    """How the demo would have an archive, where only the libraries are missing for it."""
    if settings.log != DEMO_LOG or settings.archive is not None or not missing_libraries():
        return ""
    return f"For a past week in an archive (300 MB of libraries): {IN_CHECKOUT if IS_CHECKOUT else INSTALLED}"


def serve_demo(configured: Configured, source: Source, output: Output) -> int:
    """Fill the log with an hour of history, then serve it and continue; returns the exit status. `source` is read at
    each reload. Raises OSError, LogError, ConfigurationError.

    It serves in one process. Where streams are derived or rules run, there is one more for these, and a supervisor.
    """
    definitions, _ = define(configured)
    settings = dataclasses.replace(configured.settings, workers=1)
    declared = Declared(definitions, configured.rules)
    reloader = Reloader(source, configured.settings, definitions, configured.rules)
    if advice := advice_of(settings):
        click.echo(advice, err=True)
    click.echo("Creating an hour of history …", err=True)
    if not is_processing(settings, declared):
        asyncio.run(_feed_and_serve(settings, definitions, output, reloader=reloader))
        return 0
    # What cannot be is found here, and not again and again by a worker.
    return supervise(settings, declared, reloader, _work) if asyncio.run(_fill(settings, definitions)) else 0


async def _fill(settings: Settings, definitions: Definitions) -> bool:
    """Fill the log, and where there is an archive, a past week of it; returns whether nobody has asked it to stop
    meanwhile. Raises LogError, ConfigurationError."""
    stop = stop_on_signals()
    # Without its archives, whose libraries this process would hold for as long as it supervises.
    log = open_log(settings)
    writing: asyncio.Task[bool] | None = None
    try:
        await log.open()
        feed = SampleFeed(log, definitions.catalog, SystemClock())
        week = await begin_past(log, feed, settings.of(ArchiveOptions), definitions.schemas, SystemClock())
        if week is not None:
            writing = asyncio.create_task(write_aside(week))
        await feed.fill()
        # Views are built from the beginning that they find. So what processes waits for the week.
        if writing is not None and not stop.is_set():
            await writing
    finally:
        if writing is not None:
            writing.cancel()
            await asyncio.wait([writing])
        await log.close()
    return not stop.is_set()


def _work(settings: Settings, _: int, line: Connection) -> None:
    """The worker of a supervised demo. Another that is started continues the feed."""
    output, definitions = begin_worker(settings, line)
    try:
        asyncio.run(_feed_and_serve(settings, definitions, output, line=line))
    except (OSError, LogError, ConfigurationError) as error:
        _log.error("the demo cannot serve: %s", error)
        output.flush()
        raise SystemExit(1) from None
    output.flush()


async def _feed_and_serve(
    settings: Settings,
    definitions: Definitions,
    output: Output,
    reloader: Reloader | None = None,
    line: Connection | None = None,
) -> None:
    stop = stop_on_signals()
    log = open_log(settings, definitions.catalog)
    await log.open()
    feed = SampleFeed(log, definitions.catalog, SystemClock())
    await feed.fill()
    what = "a sample feed of about 20 page changes per second on fictitious wikis"
    tried = "'filter=event.wiki == \"enwiki\" && !event.bot' -d fields=title,user,type"
    gateway = Gateway(settings, definitions, log)
    await _serve(gateway, operating(gateway, stop, reloader, line), stop, feed.run(), what, tried, output)


async def run_demo_from(settings: Settings, url: str, output: Output) -> None:
    """Serve what the event stream at this address gives, from now on. Raises as `run_demo`, and ClientError."""
    if not is_address(url):
        # Before anything is served, and said to be.
        raise ClientError(f"{bare(url)!r} is not an address; write it like http://127.0.0.1:8080/v2/stream/wiki.change")
    stop = stop_on_signals()
    log = open_log(settings)
    await log.open()
    stream = mirrored_stream(url)
    clock = SystemClock()
    mirror = Mirror(stream, log, default_name(url, stream), subscriber(url), clock, Meter(clock), _log.info)
    tried = "'filter=has(event.meta.dt)' -d fields=meta.dt"
    gateway = Gateway(settings, Definitions(Catalog([stream]), open_schemas(settings)), log)
    await _serve(gateway, _alone(gateway, stop), stop, mirror.run(stop), f"the events of {bare(url)}", tried, output)


def mirrored_stream(url: str) -> Stream:
    """A stream called as the last part of the address."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]).strip("-._")[
        :200
    ]
    return Stream(name or "mirror", (name or "mirror",), description=f"A mirror of {bare(url)}", retention=KEPT)


@asynccontextmanager
async def _alone(gateway: Gateway, stop: asyncio.Event) -> AsyncIterator[Operations]:
    """The operations of a server without a configuration."""
    async with reloading_at_hang_up(nothing_to_reload):
        yield gateway.operations(nothing_to_reload, stop.set)


async def _serve(
    gateway: Gateway,
    operated: AbstractAsyncContextManager[Operations],
    stop: asyncio.Event,
    feed: Coroutine[Any, Any, None],
    what: str,
    tried: str,
    output: Output,
) -> None:
    """Serve what the feed writes; an error of the feed ends it too. Raises OSError where that cannot be."""
    settings = gateway.settings
    if not tell_connections(settings):
        feed.close()
        raise OSError("there is no room for connections")
    feeding = asyncio.create_task(feed)

    def on_end(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            stop.set()

    feeding.add_done_callback(on_end)

    async def say(port: int) -> None:
        name = next(iter(gateway.current.catalog.streams))
        admin = address_of(settings.admin_host, settings.admin_port) if settings.admin_port else ""
        click.echo(_invitation(address_of(settings.host, port), name, what, tried, admin))

    try:
        with watched(settings.stall_limit, end_process(output.last_words)):
            async with operated as operations:
                await gateway.run(stop, operations, on_open=say)
    finally:
        feeding.cancel()
        # Not awaited by itself: a cancellation of this task would be taken for that of the other.
        await asyncio.wait([feeding])
        if not feeding.cancelled():
            feeding.result()


def _invitation(address: str, name: str, what: str, tried: str, admin: str) -> str:
    inside = f"Metrics and administration are at {admin}. " if admin else ""
    stream = f"{address}/v2/stream/{name}"
    return f"""
The gateway serves {what} at {address}.
Try in another terminal:

  curl -N {stream}
  curl -N '{stream}?since=10m&limit=5' -H 'Accept: application/x-ndjson'
  curl -N -G {stream} --data-urlencode {tried}
  curl {address}/v2/streams

{inside}Ctrl-C ends it.
"""


@click.command()
@click.option("--from", "url", metavar="URL", help="event stream to serve instead, from Wikimedia or another gateway")
@with_settings(own=("log",), shown=("port", "admin_port"))
def demo(url: str | None, **flags: Any) -> None:
    """Serve a live sample feed from an embedded log, without any setup.

    All options of `gateway serve` are accepted too.
    """
    given = demo_settings(flags, os.environ)
    try:
        configured = configure_demo(given, os.environ)
    except ConfigurationError as error:
        fail(error.mistakes)
    output = configure_logging(configured.settings.log_format, configured.settings.log_level)
    output.take_streams()
    try:
        if url is None:
            sys.exit(serve_demo(configured, partial(configure_demo, given, dict(os.environ)), output))
        else:
            asyncio.run(run_demo_from(configured.settings, url, output))
    except OSError as error:
        fail([f"gateway demo: {error.strerror or error}"])
    except (ClientError, ConfigurationError, LogError) as error:
        fail([f"gateway demo: {error}"])
