"""`gateway produce`: progress, signals, and the summary at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, BinaryIO

import click

from gateway.app.composition import open_log, with_registered
from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import REGISTERED, Stream
from gateway.clock import SystemClock
from gateway.commands.ending import fail
from gateway.commands.options import read_settings, stream_of, with_settings
from gateway.errors import ConfigurationError, LogError
from gateway.process.progress import Progress
from gateway.process.serve import stop_on_signals
from gateway.process.signals import INTERRUPTED
from gateway.produce.lines import Input
from gateway.produce.packed import InputError
from gateway.produce.production import Complaints, Production, with_fields
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from gateway.text import counted, shown_bytes

SHOWN_ERRORS = 20
"""Invalid entries that are reported one by one."""


def run_produce(
    settings: Settings, catalog: Catalog, stream: Stream, file: BinaryIO, max_errors: int | None, skip: int
) -> int:
    """Produce what comes after the first `skip` entries until the input ends; returns the exit status. Raises
    ConfigurationError."""
    if stream.schema_title is None:
        raise ConfigurationError([f"gateway produce: {stream.name} takes no events, since it has no schema_title"])
    if stream.form == "cloudevents":
        raise ConfigurationError([f"gateway produce: {stream.name} takes CloudEvents, which are sent over HTTP"])
    if stream.key_form in REGISTERED and stream.message_key_fields:
        raise ConfigurationError(
            [f"gateway produce: keys of {stream.name} are {stream.key_form}, which is not written"]
        )
    schemas = SchemaRepository(settings.schema_repositories)
    return asyncio.run(_produce(settings, catalog, stream, schemas, Input(file), max_errors, skip))


async def _produce(
    settings: Settings,
    catalog: Catalog,
    stream: Stream,
    schemas: SchemaRepository,
    source: Input,
    max_errors: int | None,
    skip: int,
) -> int:
    stop = stop_on_signals(output_blocks=True)
    started = time.monotonic()
    failure = ""
    log = open_log(settings, catalog)

    def status() -> str:
        rate = production.stored / max(0.001, time.monotonic() - started)
        done = fraction()
        of = "" if source.size is None or done is None else f" of {shown_bytes(source.size)} ({done:.0%})"
        invalid = f", {production.invalid:,} invalid" if production.invalid else ""
        settled = counted(production.settled, source.unit)
        return f"{settled}, {shown_bytes(source.taken)}{of}, {rate:,.0f} events/s{invalid}"

    def fraction() -> float | None:
        return source.taken / source.size if source.size else None

    progress = Progress(status, fraction)
    complaints = Complaints(progress.say, SHOWN_ERRORS)
    ahead = round(1000 * settings.timestamp_ahead_max)
    if stream.form in REGISTERED:
        schemas = await with_registered(schemas, log, catalog)
        if schemas.described(stream.name) is None:
            await log.close()
            raise ConfigurationError([f"gateway produce: the schema registry does not give {stream.schema_title}"])
    production = Production(stream, catalog, schemas, log, SystemClock(), complaints, max_errors, ahead, skip)
    with progress:
        telling = asyncio.create_task(progress.keep_telling())
        try:
            await log.open()
            await production.run(source.parts(stop, skip), stop)
        except (LogError, InputError) as error:
            failure = str(error)
        finally:
            telling.cancel()
            await log.close()
    if failure:
        progress.say(f"gateway produce: {failure}")
    elif production.too_many_errors:
        progress.say(f"gateway produce: too many {source.unit}s are invalid")
    elif stop.is_set():
        progress.say("gateway produce: interrupted")
    if failure or production.too_many_errors or stop.is_set():
        progress.say(
            f"{source.unit} {production.settled + 1} is the first that may not be stored: "
            f"continue with the same input and --skip {production.settled}"
        )
    elif source.count < skip:
        found = counted(source.count, source.unit)
        progress.say(f"gateway produce: the input has {found}, and --skip passes over {skip:,}")
    seconds = time.monotonic() - started
    rate = f"{production.stored / max(0.001, seconds):,.0f} events/s"
    progress.say(f"{production.stored} stored, {production.invalid} invalid, in {seconds:.1f} s ({rate})")
    if stop.is_set():
        return INTERRUPTED
    return 1 if failure or production.invalid else 0


@click.command()
@click.argument("stream")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--key", metavar="FIELD", help="dotted path of the field to use as the record's key")
@click.option(
    "--timestamp",
    metavar="FIELD",
    help="dotted path of the field to use as the record's timestamp: ISO 8601, or a number",
)
@click.option("--max-errors", type=click.IntRange(min=1), metavar="N", help="stop after this many invalid events")
@click.option(
    "--skip",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="skip the first N lines, or events where these are not one a line",
)
@with_settings("config", "log", "schema_repositories")
def produce(
    stream: str,
    file: BinaryIO,
    key: str | None,
    timestamp: str | None,
    max_errors: int | None,
    skip: int,
    **flags: Any,
) -> None:
    """Validate the JSON events of FILE (or standard input), and store them in STREAM.

    Events are one a line, the elements of an array, or objects over several lines. The input may be compressed (gzip,
    bzip2, xz, zstd). The summary shows how many events were stored. If the command stopped early, it also shows the
    number to --skip in the next run.

    Exit status: 0; 1 if an event was invalid or the log failed; 130 if it was interrupted.
    """
    configured = read_settings(flags)
    try:
        target = with_fields(stream_of(configured, stream), key, timestamp)
        status = run_produce(configured.settings, configured.catalog, target, file, max_errors, skip)
    except ConfigurationError as error:
        fail(error.mistakes)
    sys.exit(status)
