"""`gateway mirror`: progress, signals, and the summary at the end."""

from __future__ import annotations

import asyncio

from gateway.app.composition import open_log
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import REGISTERED, Stream
from gateway.client import ClientError, bare
from gateway.clock import SystemClock
from gateway.errors import ConfigurationError, LogError
from gateway.eventlog.port import EventLog
from gateway.mirror.meter import Meter
from gateway.mirror.mirror import Mirror, default_name
from gateway.mirror.source import subscriber
from gateway.process.progress import Progress
from gateway.process.serve import stop_on_signals
from gateway.settings.table import Settings
from gateway.text import counted

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
