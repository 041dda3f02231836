"""`gateway check`: every mistake of the configuration and the schemas, and of all that they reach."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

import click

from gateway.app.composition import define
from gateway.app.machine import memory_limit
from gateway.commands.options import with_settings
from gateway.definitions import Definitions
from gateway.errors import ConfigurationError
from gateway.inspection.inspect import inspect
from gateway.inspection.report import told
from gateway.settings.configuration import Configured, examine
from gateway.settings.relations import told_memory
from gateway.text import counted

_PLACE = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+)(?::(?P<column>\d+))?: ")


def run_check(flags: dict[str, Any], connect: bool) -> None:
    """Check, and end the process with status 1 if there is a mistake."""
    definitions: Definitions | None = None
    configured, mistakes = examine(flags, os.environ)
    if configured is not None:
        warnings = configured.warnings
        try:
            definitions, warnings = define(configured)
        except ConfigurationError as error:
            mistakes += error.mistakes
        for warning in in_order(warnings):
            click.echo(f"warning: {warning}")
    if mistakes:
        click.echo("\n".join(in_order(mistakes)))
        _end(len(mistakes), "; nothing was connected to" if connect else "")
    assert configured is not None
    assert definitions is not None
    if connect:
        _connect(configured, definitions)
    memory, hint = told_memory(configured.settings, memory_limit(), definitions)
    if hint is not None:
        click.echo(f"warning: {hint}")
    click.echo(memory)
    click.echo(f"{configured.settings.config}: {counted(len(configured.catalog.streams), 'stream')}, no mistakes")


def in_order(lines: Iterable[str]) -> list[str]:
    """Lines by their places: the files in the order in which they come first, and each from its top to its end. Those
    without a place come last, as they are."""
    lines = list(dict.fromkeys(lines))
    files: dict[str, int] = {}

    def key(line: str) -> tuple[int, int, int]:
        found = _PLACE.match(line)
        if found is None:
            return len(lines), 0, 0
        file = files.setdefault(found["file"], len(files))
        return file, int(found["line"]), int(found["column"] or 0)

    return sorted(lines, key=key)


def _connect(configured: Configured, definitions: Definitions) -> None:
    sections = asyncio.run(inspect(configured, definitions))
    for line in configured.secrets.hide(told(sections)):
        click.echo(line)
    if mistakes := sum(section.mistakes for section in sections):
        _end(mistakes)


def _end(mistakes: int, more: str = "") -> None:
    click.echo(f"{counted(mistakes, 'mistake')}{more}", err=True)
    sys.exit(1)


@click.command()
@click.option(
    "--connect",
    is_flag=True,
    help="also reach Kafka, the registry, Redis, the keys of tokens and the archive, and read a record of each topic",
)
@with_settings("config", "log", "schema_repositories", "error_stream", "jwks")
def check(connect: bool, **flags: Any) -> None:
    """Check the configuration and the schemas, and print each mistake with file and line.

    With --connect, all that the configuration reaches is checked too. Nothing is created or changed there.

    Exit status: 0; 1 if there is a mistake.
    """
    run_check(flags, connect)
