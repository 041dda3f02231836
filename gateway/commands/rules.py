"""`gateway rules run | dead | replay | test`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.app.composition import define, open_log
from gateway.catalog.document import Findings
from gateway.commands.ending import fail
from gateway.commands.help import Group
from gateway.commands.with_log import end_with_log
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError, LogError
from gateway.eventlog.port import EventLog
from gateway.model.event import one_line
from gateway.observability.logs import configure_logging
from gateway.process.processing import Declared, Processing
from gateway.process.serve import stop_on_signals
from gateway.rules.rehearsal import Rehearsal, differences, read_rehearsals, rehearse
from gateway.rules.replay import dead_events, replay
from gateway.rules.rule import Rule
from gateway.rules.run import chosen
from gateway.settings.configuration import Configured, configure
from gateway.settings.table import BY_KEY
from gateway.text import printable_json

TESTS = "*.rules.yaml"
"""Files beside the configuration that hold tests of its rules."""

Command = Callable[..., Any]


def _with_configuration(command: Command) -> Command:
    repositories = click.option(
        "--schemas", "schema_repositories", multiple=True, metavar="DIRECTORY", help=BY_KEY["schema_repositories"].help
    )
    config = click.option("--config", metavar="PATH", help=BY_KEY["config"].help)
    return config(repositories(command))


def _with_log(command: Command) -> Command:
    return click.option("--log", metavar="URL", help=BY_KEY["log"].help)(_with_configuration(command))


@click.group(cls=Group)
def rules() -> None:
    """Run rules, try them, and see what became of their events."""


@rules.command()
@click.argument("names", nargs=-1, metavar="[RULE]...")
@click.option("--rule-networks", multiple=True, metavar="NETWORK", help=BY_KEY["rule_networks"].help)
@_with_log
def run(names: tuple[str, ...], **flags: Any) -> None:
    """Run these rules, or all, until a signal.

    All processes that work on the log divide the rules. One process runs a rule at a time; where it ends, another
    continues.

    Where the log is away, they wait for it. Exit status: 0, or 1 where a newer version has written the log.
    """
    configured, definitions, found = _read(flags, names)
    configure_logging(configured.settings.log_format, configured.settings.log_level)

    async def work() -> None:
        settings = configured.settings
        processing = Processing(settings, open_log(settings, configured.catalog))
        await processing.run(Declared(definitions, tuple(found), only=frozenset()), stop_on_signals())

    try:
        asyncio.run(work())
    except LogError as error:
        fail([f"gateway rules: {error}"])


@rules.command()
@click.argument("name", metavar="RULE")
@_with_log
def dead(name: str, **flags: Any) -> None:
    """Print the dead events of RULE as newline-delimited JSON, the oldest of each partition first."""
    configured, _, (rule,) = _read(flags, (name,))
    # They hold what strangers sent, and that may steer a terminal. Programs get the stored bytes.
    shown: Callable[[bytes], bytes] = printable_json if sys.stdout.isatty() else bytes

    async def work(log: EventLog) -> int:
        async for record, _ in dead_events(log, rule, configured.catalog):
            click.echo(shown(one_line(record.value or b"")))
        return 0

    end_with_log(configured, "gateway rules", work)


@rules.command("replay")
@click.argument("name", metavar="RULE")
@_with_log
def replay_command(name: str, **flags: Any) -> None:
    """Have the dead events of RULE tried again, each once.

    It works beside a process that runs the rule, which takes them up at once, with all its tries and the same
    idempotency-key as before. An event that dies once more can be replayed once more.

    Exit status: 0, or 1 where the log failed or some events are not whole any more.
    """
    configured, _, (rule,) = _read(flags, (name,))

    async def work(log: EventLog) -> int:
        put, cut = await replay(log, rule, configured.catalog)
        click.echo(f"{put} dead events of {rule.name} are tried again", err=True)
        if cut:
            click.echo(f"{cut} are not whole any more, and are left out", err=True)
        return 1 if cut else 0

    end_with_log(configured, "gateway rules", work)


@rules.command("test")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@_with_configuration
def test_command(files: tuple[Path, ...], **flags: Any) -> None:
    """Run the tests in FILEs, or in all *.rules.yaml beside the configuration. They need no log and no network.

    Exit status: 0, or 1 where a test fails or cannot be read.
    """
    configured, definitions, found = _read(flags, ())
    beside = sorted(Path(configured.settings.config).parent.glob(TESTS))
    failed = count = 0
    for path in files or beside:
        for test in _tests(path, found):
            count += 1
            told = differences(test.expect, rehearse(test, definitions.catalog, definitions.schemas))
            failed += bool(told)
            click.echo(f"{'FAILED' if told else 'ok'}  {test.name} ({path}:{test.line})")
            for line in told:
                click.echo(f"    {line}")
    if not count:
        fail([f"there are no tests; write some into {Path(configured.settings.config).parent / TESTS}"])
    click.echo(f"{count} tests, {failed} failed" if failed else f"{count} tests")
    sys.exit(1 if failed else 0)


def _tests(path: Path, found: list[Rule]) -> list[Rehearsal]:
    findings = Findings(path)
    try:
        tests = read_rehearsals(path.read_text(), {rule.name: rule for rule in found}, findings)
    except OSError as error:
        fail([f"{path}: the file cannot be read ({error.strerror})"])
    except UnicodeDecodeError:
        fail([f"{path}: this is not UTF-8; save the file as UTF-8"])
    if findings.mistakes:
        fail(findings.mistakes)
    return tests


def _read(flags: dict[str, Any], names: tuple[str, ...]) -> tuple[Configured, Definitions, list[Rule]]:
    try:
        configured = configure(flags, os.environ)
        definitions, _ = define(configured)
        return configured, definitions, chosen(configured.rules, names)
    except ConfigurationError as error:
        fail(error.mistakes)
