"""`gateway archive run | check | compact`, and `gateway erase`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from gateway.app.composition import define, log_itself, with_registered
from gateway.archive.keep import Keeper, Workshop, keep_archiving
from gateway.archive.open import EXTRA, has_table, missing_libraries, open_archive
from gateway.archive.options import ArchiveOptions
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.commands.ending import fail
from gateway.commands.erasing import Matcher, erase_everywhere
from gateway.commands.help import Group
from gateway.commands.with_log import end_with_log
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, InvalidExpression, LogError
from gateway.eventlog.port import EventLog
from gateway.filters.compile import compile_filter
from gateway.observability.logs import configure_logging
from gateway.process.serve import stop_on_signals
from gateway.process.signals import INTERRUPTED
from gateway.settings.configuration import Configured, configure
from gateway.settings.table import BY_KEY
from gateway.text import counted

Command = Callable[..., Any]


def _with_log(command: Command) -> Command:
    repositories = click.option(
        "--schemas", "schema_repositories", multiple=True, metavar="DIRECTORY", help=BY_KEY["schema_repositories"].help
    )
    config = click.option("--config", metavar="PATH", help=BY_KEY["config"].help)
    place = click.option("--archive", metavar="PATH", help=BY_KEY["archive"].help)
    log = click.option("--log", metavar="URL", help=BY_KEY["log"].help)
    return log(config(place(repositories(command))))


@click.group(cls=Group)
def archive() -> None:
    """Write streams to tables, and look after the tables."""


@archive.command()
@click.argument("streams", nargs=-1)
@click.option("--once", is_flag=True, help="archive what there is now, and end")
@_with_log
def run(streams: tuple[str, ...], once: bool, **flags: Any) -> None:
    """Archive STREAMS, or all that say so, until a signal.

    Any number of processes may archive a stream; each record is stored once. `gateway serve` does this beside the
    servers, unless `processing` is off. With --once and no STREAMS, the tables of streams that are archived no longer
    are looked after, too.

    Exit status: 0; with --once, 1 where something could not be archived, and 130 where a signal ended it.
    """
    configured, definitions, named = _read(flags, streams)
    chosen = _archived(configured, named)
    if once and not named:
        chosen = _with_tables(configured, [])
    settings = configured.settings
    configure_logging(settings.log_format, settings.log_level)
    options = settings.of(ArchiveOptions)

    async def work(log: EventLog) -> int:
        stop, shop, clock = stop_on_signals(), Workshop.open(), SystemClock()
        own, schemas = log_itself(log), await with_registered(definitions.schemas, log, definitions.catalog)
        if not once:
            keep = [keep_archiving(one, schemas, own, options, clock, shop, stop) for one in chosen]
            await asyncio.gather(*keep)
            return 0
        done = True
        for stream in chosen:
            done &= await Keeper(stream, schemas, own, options, clock, shop.threads).turn(stop)
            if stop.is_set():
                return _interrupted()
        return 0 if done else 1

    end_with_log(configured, "gateway", work)


@archive.command()
@click.argument("streams", nargs=-1)
@_with_log
def check(streams: tuple[str, ...], **flags: Any) -> None:
    """Read every file of the archives of STREAMS, or of all, and print what is wrong.

    Tables of streams that are archived no longer are read, too.

    Exit status: 0, or 1 where a table or a file is damaged.
    """
    configured, _, named = _read(flags, streams)
    chosen = _with_tables(configured, named)
    from gateway.archive.upkeep import checked

    failed = False
    for stream in chosen:
        try:
            faults, files, records = checked(open_archive(configured.settings.of(ArchiveOptions), stream.name))
        except LogError as error:
            faults, files, records = [str(error)], 0, 0
        for fault in faults:
            click.echo(f"{stream.name}: {fault}")
        failed |= bool(faults)
        click.echo(f"{stream.name}: {counted(records, 'record')} in {counted(files, 'file')}", err=True)
    sys.exit(1 if failed else 0)


@archive.command()
@click.argument("streams", nargs=-1)
@_with_log
def compact(streams: tuple[str, ...], **flags: Any) -> None:
    """Merge the small files of STREAMS, or of all, and delete what was replaced long enough ago.

    Archiving does this by itself. This command also merges the files of the day that is being written, and the tables
    of streams that are archived no longer.

    Exit status: 0, 1 where the log or an archive failed, or 130 where a signal ended it.
    """
    configured, definitions, named = _read(flags, streams)
    chosen = _with_tables(configured, named)
    settings = configured.settings
    configure_logging(settings.log_format, settings.log_level)

    async def work(log: EventLog) -> int:
        stop, shop, options = stop_on_signals(), Workshop.open(), settings.of(ArchiveOptions)
        schemas = await with_registered(definitions.schemas, log, definitions.catalog)
        for stream in chosen:
            keeper = Keeper(stream, schemas, log_itself(log), options, SystemClock(), shop.threads)
            await keeper.upkeep(stop, everything=True)
            if stop.is_set():
                return _interrupted()
            click.echo(f"{stream.name}: {counted(await keeper.vacuum(), 'file')} deleted", err=True)
        return 0

    end_with_log(configured, "gateway", work)


@click.command()
@click.argument("stream")
@click.option(
    "--key", help="erase the records with this key; '' is the empty key, which records without a key do not have"
)
@click.option("--where", "expression", metavar="EXPRESSION", help="erase the events for which this filter is true")
@click.option("--now", is_flag=True, help="delete replaced files at once; readers of older versions fail")
@_with_log
def erase(stream: str, key: str | None, expression: str | None, now: bool, **flags: Any) -> None:
    """Erase records of STREAM from its archive, the embedded log and its views, and tell what was not reached.

    Ids pass over erased records. Kafka's own log, backups and copies of others are not reached.

    Exit status: 0, or 1 where something failed: then erase again.
    """
    if (key is None) == (expression is None):
        fail(["gateway erase: give either --key or --where"])
    configured, definitions, (chosen,) = _read(flags, (stream,))
    try:
        where = None if expression is None else compile_filter(expression)
    except InvalidExpression as error:
        fail([f"gateway erase: --where: {error}"])
    matcher = Matcher(None if key is None else key.encode(), where)

    async def work(log: EventLog) -> int:
        await erase_everywhere(
            chosen, definitions, configured.rules, log, configured.settings, matcher, now, click.echo
        )
        return 0

    end_with_log(configured, "gateway", work)


def _interrupted() -> int:
    """Says that work is left; returns the exit status."""
    click.echo("gateway archive: interrupted; not everything was done", err=True)
    return INTERRUPTED


def _read(flags: dict[str, Any], names: tuple[str, ...]) -> tuple[Configured, Definitions, list[Stream]]:
    """The configuration, and the streams that are named."""
    try:
        configured = configure(flags, os.environ)
        definitions, _ = define(configured)
    except ConfigurationError as error:
        fail(error.mistakes)
    return configured, definitions, [_named(configured, name) for name in names]


def _named(configured: Configured, name: str) -> Stream:
    found = configured.catalog.get(name)
    if found is None:
        close = configured.catalog.close_matches(name)
        reason = f"there is no stream {name!r}{f'; did you mean {close[0]}?' if close else ''}"
        if _is_left(configured, name):
            place = configured.settings.archive
            reason += f"; {place} has a table of that name: configure the stream, without archive: true"
        fail([reason])
    return found


def _is_left(configured: Configured, name: str) -> bool:
    """Whether there is a table of a stream that is configured no longer."""
    options = configured.settings.of(ArchiveOptions)
    try:
        return options.archive is not None and not missing_libraries() and has_table(options, name)
    except LogError:
        return False


def _archived(configured: Configured, named: list[Stream]) -> list[Stream]:
    """The streams that are to be archived: those named, or all that say so."""
    for stream in named:
        if not stream.archive:
            fail([f"{stream.name} is not archived; give it archive: true"])
    chosen = named or [one for one in configured.catalog.streams.values() if one.archive]
    if not chosen:
        fail([f"no stream in {configured.settings.config} is archived; give one archive: true"])
    return chosen


def _with_tables(configured: Configured, named: list[Stream]) -> list[Stream]:
    """The streams whose tables are meant: those named, or all that have one; also of those archived no longer."""
    options = configured.settings.of(ArchiveOptions)
    if options.archive is None:
        fail(["no place of archives is set; set archive, such as var/archive"])
    if missing := missing_libraries():
        fail([f"archives need {' and '.join(missing)}: pip install 'event-gateway[{EXTRA}]'"])
    among = named or configured.catalog.streams.values()
    try:
        chosen = [one for one in among if one.archive or has_table(options, one.name)]
    except LogError as error:
        fail([f"gateway archive: {error}"])
    for stream in named:
        if stream not in chosen:
            fail([f"{stream.name} is not archived, and {options.archive} has no table of it"])
    if not chosen:
        fail([f"no stream in {configured.settings.config} is archived, and {options.archive} has no table of one"])
    return chosen
