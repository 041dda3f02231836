"""The command line: `gateway serve` and all other commands."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

import click

from gateway.app.composition import define
from gateway.catalog.stream import Stream
from gateway.client import ClientError, is_address
from gateway.commands.archive import archive, erase
from gateway.commands.canary import run_canary
from gateway.commands.check import run_check
from gateway.commands.demo import configure_demo, demo_settings, run_demo_from, serve_demo
from gateway.commands.derive import derive
from gateway.commands.ending import fail
from gateway.commands.help import Group, GroupedOptions
from gateway.commands.init import init
from gateway.commands.mirror import run_mirror
from gateway.commands.produce import run_produce
from gateway.commands.rules import rules
from gateway.commands.schemas import schemas
from gateway.commands.streams import streams
from gateway.commands.tail import Time, tail
from gateway.commands.token import token
from gateway.errors import ConfigurationError, LogError
from gateway.model.setting import Setting
from gateway.observability.logs import configure_logging
from gateway.process import serve as processes
from gateway.process.processing import Declared
from gateway.produce.production import with_fields
from gateway.settings.configuration import REPLACED, Configured, configure
from gateway.settings.table import SETTINGS
from gateway.text import is_text

Command = Callable[..., Any]


def _option(setting: Setting, with_default: bool, hidden: bool = False) -> Callable[[Command], Command]:
    if setting.kind == "switch":
        return click.option(
            setting.flag or "", setting.key, is_flag=True, default=None, help=setting.help, hidden=hidden
        )
    default = f"default: {setting.shown_default}" if with_default else ""
    notes = "; ".join(note for note in (setting.bounds, default) if note)
    placeholder = "|".join(setting.choices) or setting.unit.upper() or "N"
    repeatable: dict[str, Any] = {"multiple": True} if setting.kind == "list" else {}
    shown = setting.help + (", repeatable" if repeatable else "") + (f"  [{notes}]" if notes else "")
    return click.option(setting.flag or "", setting.key, metavar=placeholder, help=shown, hidden=hidden, **repeatable)


def _with_settings(*keys: str, own: tuple[str, ...] = (), shown: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Give a command the flags of these settings, or of all; for those in `own` it has a default of its own. With
    `shown`, its help shows these alone."""

    def add(command: Command) -> Command:
        for setting in reversed(SETTINGS):
            if setting.flag and (not keys or setting.key in keys):
                hidden = bool(shown) and setting.key not in shown
                command = _option(setting, setting.key not in own, hidden)(command)
                for old in (old for old, new in REPLACED.items() if new == setting.key):
                    command = click.option(f"--{old.replace('_', '-')}", old, hidden=True)(command)
        return command

    return add


def _configure(flags: dict[str, Any]) -> Configured:
    try:
        return configure(flags, os.environ)
    except ConfigurationError as error:
        fail(error.mistakes)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="event-gateway", prog_name="gateway")
def main() -> None:
    """Publish event streams from Kafka or an embedded log as server-sent events, with filters and resume."""


@main.command(cls=GroupedOptions)
@_with_settings()
def serve(**flags: Any) -> None:
    """Serve the streams of the configuration."""
    configured = _configure(flags)
    output = configure_logging(configured.settings.log_format, configured.settings.log_level)
    output.take_streams()
    try:
        definitions, warnings = define(configured)
    except ConfigurationError as error:
        fail(error.mistakes)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    # Flags and variables stay as they are; a reload reads the file, and those that it names, anew.
    source = partial(configure, flags, dict(os.environ))
    sys.exit(processes.serve(configured.settings, Declared(definitions, configured.rules), source, output))


@main.command()
@click.option("--from", "url", metavar="URL", help="event stream to serve instead, from Wikimedia or another gateway")
@_with_settings(own=("log",), shown=("port", "admin_port"))
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


@main.command()
@click.option(
    "--connect",
    is_flag=True,
    help="also reach Kafka, the registry, Redis, the keys of tokens and the archive, and read a record of each topic",
)
@_with_settings("config", "log", "schema_repositories", "error_stream", "jwks")
def check(connect: bool, **flags: Any) -> None:
    """Check the configuration and the schemas, and print each mistake with file and line.

    With --connect, all that the configuration reaches is checked too. Nothing is created or changed there.

    Exit status: 0; 1 if there is a mistake.
    """
    run_check(flags, connect)


@main.command()
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
@_with_settings("config", "log", "schema_repositories")
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
    configured = _configure(flags)
    try:
        target = with_fields(_stream(configured, stream), key, timestamp)
        status = run_produce(configured.settings, configured.catalog, target, file, max_errors, skip)
    except ConfigurationError as error:
        fail(error.mistakes)
    sys.exit(status)


@main.command()
@click.argument("streams", nargs=-1, metavar="[STREAM]...")
@_with_settings("config", "log", "schema_repositories")
def canary(streams: tuple[str, ...], **flags: Any) -> None:
    """Store one canary event in each STREAM, or in all streams with canary_events_enabled.

    The event is the first example of the stream's schema, with meta.domain canary. Subscribers see it only with
    canary=true. Run this every few minutes to distinguish an idle stream from a broken one.

    Exit status: 0; 1 if an event was not stored.
    """
    configured = _configure(flags)
    try:
        named = [_stream(configured, name) for name in streams]
        status = run_canary(configured.settings, configured.catalog, named, click.echo, _complain)
    except ConfigurationError as error:
        fail([f"gateway canary: {mistake}" for mistake in error.mistakes])
    sys.exit(status)


def _complain(line: str) -> None:
    click.echo(f"gateway canary: {line}", err=True)


@main.command()
@click.argument("url")
@click.argument("stream")
@click.option(
    "--since",
    type=Time(),
    help="where to start without a stored position: 10m, 2h, 7d, 14:30, or ISO 8601 (local time without an offset)",
)
@click.option("--name", help="name of the stored position, instead of stream and address")
@_with_settings("config", "log")
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
    configured = _configure(flags)
    try:
        target = _stream(configured, stream)
        status = run_mirror(configured.settings, configured.catalog, target, url, since, name)
    except ConfigurationError as error:
        fail(error.mistakes)
    sys.exit(status)


def _stream(configured: Configured, name: str) -> Stream:
    """The stream of this name or alias. Raises ConfigurationError."""
    found = configured.catalog.get(name)
    if found is None:
        close = configured.catalog.close_matches(name)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ConfigurationError([f"there is no stream {name!r}{hint}"])
    return found


main.add_command(archive)
main.add_command(erase)
main.add_command(init)
main.add_command(rules)
main.add_command(schemas)
main.add_command(derive)
main.add_command(streams)
main.add_command(tail)
main.add_command(token)
