"""`gateway mirror`: progress, signals, and the summary at the end."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from gateway.app.composition import open_log
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import REGISTERED, Stream
from gateway.client import ClientError, bare, is_address
from gateway.clock import SystemClock
from gateway.commands.ending import fail
from gateway.commands.options import read_settings, stream_of, with_settings
from gateway.commands.tail import Time
from gateway.errors import ConfigurationError, LogError
from gateway.eventlog.port import EventLog
from gateway.mirror.meter import Meter
from gateway.mirror.mirror import Mirror, default_name
from gateway.mirror.source import subscriber
from gateway.process.progress import Progress
from gateway.process.serve import stop_on_signals
from gateway.settings.table import Settings
from gateway.text import counted, is_text

GAPS_TOLD = 3
"""The exit status of a mirror that ended in order, but in whose stream events are missing."""


def run_mirror(
    settings: Settings, catalog: Catalog, stream: Stream, url: str, since: int | None, name: str | None
) -> int:
    """Mirror until a signal, or the end of the source; returns the exit status. `since` is in ms. Raises
    ConfigurationError."""
    for form in (stream.form, stream.key_form):
        if form in REGISTERED:
            raise ConfigurationError([f"gateway mirror: {stream.name} is {form}, and what is copied is JSON"])
    return asyncio.run(_mirror(open_log(settings, catalog), stream, url, since, name or default_name(url, stream)))


async def _mirror(log: EventLog, stream: Stream, url: str, since: int | None, name: str) -> int:
    stop = stop_on_signals(output_blocks=True)
    clock = SystemClock()
    meter = Meter(clock)
    progress = Progress(meter.told)
    mirror = Mirror(stream, log, name, subscriber(url, since), clock, meter, progress.say)
    failure = ""
    with progress:
        progress.say(f"{stream.name} from {bare(url)}")
        telling = asyncio.create_task(progress.keep_telling())
        try:
            await log.open()
            await mirror.run(stop)
        except (ClientError, LogError) as error:
            failure = str(error)
        finally:
            telling.cancel()
            await log.close()
    if failure:
        progress.say(f"gateway mirror: {failure}")
    elif not stop.is_set():
        progress.say("the source ended the stream")
    gaps = f", {counted(meter.gaps, 'gap')}: events are missing" if meter.gaps else ""
    returned = f", {meter.returned:,} repeated events dropped" if meter.returned else ""
    progress.say(f"{counted(meter.events, 'event')} stored{returned}{gaps}")
    if failure:
        return 1
    return GAPS_TOLD if meter.gaps else 0


@click.command()
@click.argument("url")
@click.argument("stream")
@click.option(
    "--since",
    type=Time(),
    help="where to start without a stored position: 10m, 2h, 7d, 14:30, or ISO 8601 (local time without an offset)",
)
@click.option("--name", help="name of the stored position, instead of stream and address")
@with_settings("config", "log")
def mirror(url: str, stream: str, since: int | None, name: str | None, **flags: Any) -> None:
    """Copy the event stream at URL, from Wikimedia or another gateway, into STREAM.

    The events keep their bytes. The position is stored with the events, so that a restarted mirror neither loses nor
    repeats any. Only one mirror of a name runs at a time: a new one takes over.

    Exit status: 0; 1 if it cannot continue; 3 if the source reported a gap.
    """
    if not is_address(url):
        where = "; the address comes before the stream" if is_address(stream) else ""
        fail([f"gateway mirror: {url!r} is not an address{where}; write it like http://127.0.0.1:8080/v2/stream/name"])
    if not is_text(name or ""):
        fail([f"gateway mirror: --name: {name!r} is not valid text"])
    configured = read_settings(flags)
    try:
        target = stream_of(configured, stream)
        status = run_mirror(configured.settings, configured.catalog, target, url, since, name)
    except ConfigurationError as error:
        fail(error.mistakes)
    sys.exit(status)
