"""The command line of `gateway tail`."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import click
from rich.cells import cell_len
from rich.console import Console

from gateway.client import ClientError, FilePositions, Query, is_address, server_address, stream_address
from gateway.clock import SystemClock
from gateway.errors import InvalidExpression, InvalidFields
from gateway.filters.compile import compile_filter
from gateway.filters.fields import compile_fields
from gateway.process.signals import INTERRUPTED
from gateway.process.standard_streams import STANDARD_OUTPUT, OutputFailed, check_output, watch_reader
from gateway.tail.local_time import read_local_time
from gateway.tail.output import JsonLines, Lines, Output, Table
from gateway.tail.schemas import Schemas
from gateway.tail.status import StatusLine
from gateway.tail.tail import Tail
from gateway.text import is_text, printable

TOKEN = "GATEWAY_TAIL_TOKEN"
"""The variable with a bearer token. There is no flag for it: everybody on the machine sees those."""


class Time(click.ParamType[int]):
    """ISO 8601 (in the machine's zone if it has no offset), a time of day, milliseconds since the epoch, or a span
    back from now."""

    name = "time"

    def __init__(self, may_come: bool = False) -> None:
        self._may_come = may_come

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds since the epoch."""
        try:
            return read_local_time(str(value), SystemClock().now(), self._may_come)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _check_filter(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    try:
        if text:
            compile_filter(text)
    except InvalidExpression as error:
        assert text is not None
        raise click.BadParameter(f"{error}\n\n{_marked(text, error.line, error.column)}") from None
    return text


def _marked(text: str, line: int, column: int) -> str:
    """A line of an expression, with a mark below one of its characters. Lines end at LF alone, as the compiler counts
    them; whatever else would end one in a terminal is shown as an escape."""
    shown = text.split("\n")[line - 1].replace("\t", " ").replace("\r", " ")
    before = printable(shown[: column - 1])
    return f"  {printable(shown)}\n  {' ' * cell_len(before)}^"


def _check_fields(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    try:
        if text is not None:
            compile_fields(text)
    except InvalidFields as error:
        raise click.BadParameter(str(error)) from None
    if text is not None and not is_text(text):
        raise click.BadParameter(f"{text!r} is not valid text")
    return text


def _check_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.name:
        raise click.BadParameter("this is not the name of a file")
    return path


def _check_place(streams: tuple[str, ...], server: str) -> None:
    """Names and the address of their server each have a place of their own. Raises UsageError."""
    if any(is_address(name) for name in streams) or "/v2/stream/" in server:
        raise click.UsageError(
            "give the address of the server and the names of streams separately: "
            "gateway tail my.stream --server http://127.0.0.1:8080"
        )


@click.command()
@click.argument("streams", nargs=-1, required=True, metavar="STREAM...")
@click.option(
    "--since",
    type=Time(),
    help="Start at this time: 10m, 2h, 7d (before now), 14:30, or ISO 8601 (local time without an offset).",
)
@click.option("--until", type=Time(may_come=True), help="End before this time.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="End after this many events.")
@click.option("--filter", "expression", metavar="CEL", callback=_check_filter,
              help="""Show only matching events: 'event.wiki == "enwiki" && !event.bot'.""")  # fmt: skip
@click.option("--fields", metavar="PATHS", callback=_check_fields, help="Show only these fields: title,length.new.")
@click.option("--canary", is_flag=True, help="Show canary events too.")
@click.option("--server", metavar="URL", envvar="GATEWAY_SERVER", default="http://127.0.0.1:8080", show_default=True,
              show_envvar=True,
              help="A gateway (host:port is enough), or any server compatible with Wikimedia's.")  # fmt: skip
@click.option("--resume", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), callback=_check_file,
              help="Store the position in FILE, and resume there in the next run.")  # fmt: skip
@click.option("--output", "form", type=click.Choice(["auto", "lines", "json", "csv"]), default="auto",
              show_default=True,
              help="Lines for people, JSON or CSV for programs; auto: lines in a terminal.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Do not report connections and progress.")
def tail(
    streams: tuple[str, ...],
    since: int | None,
    until: int | None,
    limit: int | None,
    expression: str | None,
    fields: str | None,
    canary: bool,
    server: str,
    resume: Path | None,
    form: str,
    quiet: bool,
) -> None:
    """Follow each STREAM live, or from a time on; 'wiki.*' in quotes matches several streams.

    In a terminal, each event is one line; in a pipe, it is the JSON itself. After an interruption, the command
    reconnects and resumes.

    For private streams, the environment variable GATEWAY_TAIL_TOKEN holds a bearer token.
    """
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--until is not after --since")
    if until is not None and since is None and resume is None and until <= SystemClock().now():
        raise click.UsageError("--until is in the past; set the start with --since")
    _check_place(streams, server)
    server = server_address(server)
    check_output()
    clock = SystemClock()
    terminal = sys.stdout.isatty()
    # One console for both where both are the terminal, so that the status line and the events make room for each other.
    together = terminal and sys.stderr.isatty()
    console = Console(highlight=False)
    status = StatusLine(console if together else Console(stderr=True, highlight=False), clock, quiet)
    output: Output = JsonLines(sys.stdout.buffer, terminal)
    if form == "lines" or (form == "auto" and terminal):
        output = Lines(console, clock, Schemas(server), fields, named=not _is_one(streams))
    elif form == "csv":
        output = Table(sys.stdout.buffer, fields, terminal)
    query = Query(since, until, limit, expression, fields, canary)
    token = os.environ.get(TOKEN) or None
    try:
        store = None if resume is None else FilePositions(resume)
        asyncio.run(_follow(Tail(stream_address(server, streams), query, output, status, clock, store, token)))
    except ClientError as error:
        click.echo(f"gateway tail: {error}", err=True)
        _tell_notes(error)
        sys.exit(1)
    except OutputFailed as failed:
        if not failed.reader_gone:
            raise
        # Who has read all that he wanted (`| head`) is no failure.
        _tell_notes(failed)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        _tell_notes(error)
        sys.exit(INTERRUPTED)


def _is_one(streams: tuple[str, ...]) -> bool:
    """Whether these names mean one stream."""
    return len(streams) == 1 and not set(streams[0]) & set(",*?")


def _tell_notes(error: BaseException) -> None:
    """Another error at the end: the position may not be stored."""
    for note in getattr(error, "__notes__", ()):
        click.echo(f"gateway tail: {note}", err=True)


async def _follow(following: Tail) -> None:
    """To the end of the range, or until nobody reads the output any more."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        following.leave()
        task.cancel()

    def tell() -> None:
        with suppress(RuntimeError):  # The loop may have ended meanwhile.
            loop.call_soon_threadsafe(leave)

    watch_reader(STANDARD_OUTPUT, tell)
    try:
        await following.run()
    except asyncio.CancelledError as error:
        if not gone:
            raise
        _tell_notes(error)
