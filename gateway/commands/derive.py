"""`gateway derive test | schema | explain`: streams that are made of others, before they run."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.app.composition import define, open_log, open_schemas
from gateway.catalog.derivation import Derivation
from gateway.catalog.document import Findings, did_you_mean
from gateway.catalog.stream import Stream
from gateway.clock import SystemClock
from gateway.commands.ending import fail
from gateway.commands.help import Group
from gateway.definitions import Definitions
from gateway.derive.check import check_stream
from gateway.derive.declared import declared
from gateway.derive.example import Outcome, read_examples
from gateway.derive.example import run as run_example
from gateway.derive.explain import explained
from gateway.derive.lanes import Work
from gateway.derive.operator import DeriveBounds
from gateway.derive.run import Runner
from gateway.derive.schema_file import schema_document
from gateway.derive.shape import schema_of
from gateway.derive.sources import Sources
from gateway.errors import ConfigurationError, GatewayError, InvalidExpression, WriterFenced
from gateway.process.processing import Declared, Processing
from gateway.process.serve import collect_rarely, stop_on_signals
from gateway.schemas.repository import SchemaRepository
from gateway.schemas.text import to_yaml
from gateway.settings.configuration import Configured, configure
from gateway.settings.table import Settings
from gateway.text import counted

TESTS = "*.test.yaml"
"""Files beside the configuration that hold tests of its declarations."""


def _with_configuration(command: Callable[..., Any]) -> Callable[..., Any]:
    repositories = click.option(
        "--schemas", "schema_repositories", multiple=True, metavar="DIRECTORY", help="a schema repository, repeatable"
    )
    config = click.option("--config", metavar="PATH", help="the configuration that declares the streams")
    return config(repositories(command))


def _read(flags: dict[str, Any]) -> tuple[Configured, SchemaRepository]:
    try:
        configured = configure(flags, os.environ)
        return configured, open_schemas(configured.settings)
    except ConfigurationError as error:
        fail(error.mistakes)
    except OSError as error:
        fail([f"{error.filename}: the file cannot be read ({error.strerror})"])


def _derived(name: str, configured: Configured) -> tuple[Stream, Derivation]:
    streams = configured.catalog.streams
    stream = configured.catalog.get(name)
    if stream is None or stream.derive is None:
        known = [one for one, found in streams.items() if found.derive is not None]
        what = "is not made of others" if stream is not None else "is no stream"
        fail([f"{name} {what}{did_you_mean(name, known)}"])
    assert stream is not None
    assert stream.derive is not None
    return stream, stream.derive


@click.group(cls=Group)
def derive() -> None:
    """Test streams that are made of others, write their schemas, and tell what they need."""


@derive.command("test")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@_with_configuration
def test_command(files: tuple[Path, ...], **flags: Any) -> None:
    """Run the tests of FILES, or of all that end with .test.yaml beside the configuration.

    Exit status: 0 where all rows are as expected, else 1.
    """
    configured, schemas = _read(flags)
    beside = Path(configured.settings.config).parent
    chosen = list(files) or sorted(beside.glob(TESTS))
    if not chosen:
        fail([f"there are no files {TESTS} in {beside}; name one, or write one"])
    wrong = count = 0
    for path in chosen:
        findings = Findings(path)
        for outcome in _run_file(path, findings, configured, schemas):
            count += 1
            wrong += _tell(path, outcome)
        if findings.mistakes:
            wrong += len(findings.mistakes)
            for line in findings.mistakes:
                click.echo(line, err=True)
    click.echo(f"{count} tests, {wrong or 'no'} mistake{'s' if wrong != 1 else ''}")
    sys.exit(1 if wrong else 0)


def _run_file(path: Path, findings: Findings, configured: Configured, schemas: SchemaRepository) -> list[Outcome]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        findings.mistakes.append(f"{path}: the file cannot be read: {error}")
        return []
    outcomes = []
    settings = configured.settings
    bounds = settings.of(DeriveBounds)
    for example in read_examples(text, configured.catalog, findings):
        try:
            outcomes.append(run_example(example, configured.catalog, schemas, bounds))
        except InvalidExpression as error:
            findings.mistake(example.line, f"{example.stream.name} cannot be run: {error}")
    return outcomes


def _tell(path: Path, outcome: Outcome) -> bool:
    if not outcome.differences:
        click.echo(f"ok    {outcome.example.name}")
        return False
    click.echo(f"FAIL  {outcome.example.name} ({path}:{outcome.example.line})")
    for line in outcome.differences:
        click.echo(f"      {line}")
    return True


@derive.command("schema")
@click.argument("stream")
@click.option("--print", "only_print", is_flag=True, help="print it, and write nothing")
@_with_configuration
def schema_command(stream: str, only_print: bool, **flags: Any) -> None:
    """Write the schema of the rows of STREAM, as it follows from its declaration and its sources' schemas.

    It becomes the current.yaml of the stream's schema_title in the first schema repository; one that is there stays.
    """
    configured, schemas = _read(flags)
    found, derivation = _derived(stream, configured)
    if derivation.passes:
        fail([f"{stream}: its events pass as they are, and are of the schema of their source"])
    row = declared(derivation, configured.catalog.streams, schemas)
    if row.mistakes:
        fail([f"{configured.settings.config}:{line}: {found.name}: {text}" for line, text in row.mistakes])
    text = to_yaml(schema_document(found, row, schemas))
    repositories = configured.settings.schema_repositories
    if only_print or not repositories:
        click.echo(text, nl=False)
        return
    path = Path(repositories[0], *(found.schema_title or found.name).split("/"), "current.yaml")
    if path.exists() or schemas.taken_by(found) is not None:
        fail([f"{found.schema_title} has a schema already; --print shows what follows from the declaration"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    click.echo(f"written: {path}")


@derive.command("flink")
@click.argument("stream")
@click.option("--log", metavar="URL", help="the log, where it is not that of the configuration: kafka://host:port")
@_with_configuration
def flink_command(stream: str, **flags: Any) -> None:
    """Print STREAM as a script of Flink SQL, with equal results.

    Exit status: 0, or 1 where SQL cannot say the same; the message names the place.
    """
    # It takes longer to load than all the rest of the commands.
    from gateway.derive.flink_tables import Unsayable
    from gateway.derive.printed import flink_script

    configured, schemas = _read(flags)
    found, _ = _derived(stream, configured)
    settings = configured.settings
    try:
        now = SystemClock().now()
        script = flink_script(found, configured.catalog.streams, schemas, settings.log, settings.kafka, now)
        click.echo(script, nl=False)
    except Unsayable as error:
        place = f"{settings.config}:{error.line}" if error.line else settings.config
        fail([f"{place}: {found.name} cannot be said in Flink SQL: {error}"])


@derive.command("run")
@click.argument("streams", nargs=-1)
@click.option("--log", metavar="URL", help="the log, kafka://host:port or sqlite:///path")
@_with_configuration
def run_command(streams: tuple[str, ...], **flags: Any) -> None:
    """Derive STREAMS, or all that are declared, until SIGTERM or SIGINT.

    Started several times, the processes divide the streams, and in Kafka the partitions of a source. Where one ends,
    the others continue.

    A stream that cannot continue is reported and left, while the others continue. Exit status: 0, or 1 if one was left.
    """
    try:
        configured = configure(flags, os.environ)
        definitions, _ = define(configured)
    except ConfigurationError as error:
        fail(error.mistakes)
    chosen = [_derived(name, configured)[0].name for name in streams] or [
        stream.name for stream in configured.catalog.streams.values() if stream.derive is not None
    ]
    if not chosen:
        fail([f"{configured.settings.config} declares no derived streams"])
    sys.exit(asyncio.run(_run(frozenset(chosen), definitions, configured.settings)))


async def _run(names: frozenset[str], definitions: Definitions, settings: Settings) -> int:
    stop, log = stop_on_signals(output_blocks=True), open_log(settings, definitions.catalog)
    collect_rarely()
    left: set[str] = set()
    sources = Sources(log)

    async def derive(work: Work, definitions: Definitions, stopping: asyncio.Event) -> None:
        runner = Runner(work, definitions, log, SystemClock(), _say, settings.of(DeriveBounds), sources)
        _say(f"{runner.told}: derived here")
        try:
            await runner.run(stopping)
        except WriterFenced as error:
            _say(f"{runner.told}: {error}")
            raise
        except (GatewayError, InvalidExpression) as error:
            _say(f"{runner.told}: {error}; it is derived no more")
            left.add(work.stream.name)
            if left == names and processing.doing <= {work.name}:
                stop.set()
        finally:
            again = f", {counted(runner.replayed, 'record')} read again" if runner.replayed else ""
            _say(f"{runner.told}: {counted(runner.read, 'record')} read{again}, {counted(runner.stored, 'row')} stored")

    processing = Processing(settings, log, derive=derive)
    await processing.run(Declared(definitions, (), names), stop)
    return 1 if left else 0


def _say(text: str) -> None:
    click.echo(f"gateway derive: {text}", err=True)


@derive.command("explain")
@click.argument("stream")
@_with_configuration
def explain_command(stream: str, **flags: Any) -> None:
    """Tell what STREAM is made of, what its rows are, what it waits for, and what it needs to run."""
    configured, schemas = _read(flags)
    found, derivation = _derived(stream, configured)
    said = explained(found, derivation, configured.catalog.streams)
    width = max(len(name) for name, _ in said)
    for name, text in said:
        click.echo(f"{name:<{width}}  {text}")
    click.echo(f"{'flink':<{width}}  {_in_flink(found, configured, schemas)}")
    row = declared(derivation, configured.catalog.streams, schemas)
    for name, one in row.members.items():
        kind = schema_of(one.reading).get("type", "anything")
        shown = kind if isinstance(kind, str) else " or ".join(kind)
        click.echo(f"{'row':<{width}}  {name}: {shown}{'' if one.always else ', may be missing'}")
    mistakes, warnings = check_stream(found, derivation, configured.catalog, schemas)
    for line, text in warnings:
        click.echo(f"warning: {configured.settings.config}:{line}: {text}", err=True)
    if mistakes:
        fail([f"{configured.settings.config}:{line}: {found.name}: {text}" for line, text in mistakes])


def _in_flink(stream: Stream, configured: Configured, schemas: SchemaRepository) -> str:
    """Whether Flink can run it, or why not."""
    from gateway.derive.flink_tables import Unsayable
    from gateway.derive.printed import flink_script

    try:
        flink_script(stream, configured.catalog.streams, schemas, "kafka://broker:9092", {}, 0)
    except Unsayable as error:
        return f"no: {error}"
    return "yes (gateway derive flink)"
