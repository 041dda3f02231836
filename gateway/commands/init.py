"""`gateway init`: writes a configuration to begin with, with samples or from the topics of a Kafka."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.app.composition import define
from gateway.commands.ending import fail
from gateway.demo.sample import PARTS, SAMPLE
from gateway.errors import ConfigurationError, LogError
from gateway.eventlog.open import open_log
from gateway.forms.options import read_registry
from gateway.inspection.draft import (
    Drafted,
    draft_configuration,
    draft_schema,
    is_readable,
    stream_names,
)
from gateway.inspection.options import holds_secret, read_options
from gateway.inspection.survey import survey
from gateway.settings.configuration import configure
from gateway.settings.table import Settings
from gateway.text import counted
from gateway.whole_files import copy_whole


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option(
    "--kafka", "brokers", metavar="HOST:PORT", help="draft from the topics of this Kafka; several with commas"
)
@click.option("--topics", "globs", metavar="GLOB", multiple=True, help="only topics of these names; repeatable")
@click.option("--registry", metavar="URL", help="schema registry that has the schemas of the topics' values")
@click.option(
    "--kafka-options",
    "options",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="file with the keys `kafka` and `schema_registry` of the configuration: TLS, users, passwords",
)
def init(
    directory: Path, brokers: str | None, globs: tuple[str, ...], registry: str | None, options: Path | None
) -> None:
    """Write a commented configuration and sample schemas to DIRECTORY/config, where other commands look for them.

    With --kafka, the configuration has a stream for each topic that is there, and drafts of schemas, which the newest
    records show. Nothing is changed in Kafka.

    Existing files are not changed. Exit status: 0; 1 if the directory exists or cannot be written, or Kafka cannot be
    read.
    """
    config = directory / "config"
    if config.exists():
        fail([f"gateway init: {config} exists already; nothing was written"])
    if brokers is None:
        if globs or registry or options:
            fail(["gateway init: --topics, --registry and --kafka-options need --kafka"])
        _write(config, lambda: copy_whole(SAMPLE, config, parts=PARTS))
        click.echo(f"{config / 'gateway.yaml'} and {config / 'schemas'} were written; edit them, then run:\n")
        _next(directory, "gateway check")
        return
    try:
        log = f"kafka://{brokers.removeprefix('kafka://')}"
        settings, written = read_options(log, options, registry, os.environ)
        drafts, others = asyncio.run(_survey(settings, globs))
    except ConfigurationError as error:
        fail([f"gateway init: {mistake}" for mistake in error.mistakes])
    except LogError as error:
        fail([f"gateway init: {error}"])
    _draft(config, settings, written, drafts)
    _say(drafts, others)
    click.echo(f"\n{config / 'gateway.yaml'} and {config / 'schemas'} were written, as drafts; edit them, then run:\n")
    _next(directory, "gateway check --connect")


def _next(directory: Path, check: str) -> None:
    if directory != Path():
        click.echo(f"  cd {directory}")
    click.echo(f"  {check}\n  gateway serve")


async def _survey(settings: Settings, globs: Sequence[str]) -> tuple[list[Drafted], int]:
    log = open_log(settings.log, settings.kafka, 0, 0)
    try:
        return await survey(log, globs, read_registry(settings.schema_registry))
    finally:
        await log.close()


def _draft(config: Path, settings: Settings, written: dict[str, Any], drafts: Sequence[Drafted]) -> None:
    """Write the drafts, all or nothing, after they were checked as every configuration is."""
    if not any(map(is_readable, drafts)):
        lines = [f"gateway init: {one.topic}: {one.why}" for one in drafts[:20]]
        fail([*lines, "gateway init: no topic can be published; nothing was written"])
    today = datetime.now(UTC).date().isoformat()
    names = stream_names(one.topic for one in drafts)
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        titles = {}
        for one in drafts:
            title = names[one.topic]
            if one.form == "json" and (text := draft_schema(title, one, today)) is not None:
                (place / "schemas" / title).mkdir(parents=True)
                (place / "schemas" / title / "current.yaml").write_text(text, "utf-8")
                titles[one.topic] = title
        (place / "schemas").mkdir(exist_ok=True)
        text = draft_configuration(settings.log, written, drafts, titles, today)
        (place / "gateway.yaml").write_text(text, "utf-8")
        place.chmod(0o755)
        if holds_secret(written):
            (place / "gateway.yaml").chmod(0o600)
            click.echo("warning: the configuration holds a password; write ${VARIABLE} or a key that ends in _file\n")
        try:
            flags = {"config": str(place / "gateway.yaml"), "schema_repositories": [str(place / "schemas")]}
            define(configure(flags, os.environ))
        except ConfigurationError as error:
            fail(
                [f"gateway init: the draft is not accepted: {line.replace(made, 'config')}" for line in error.mistakes]
            )
        _write(config, lambda: copy_whole(place, config))


def _write(config: Path, write: Callable[[], None]) -> None:
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        click.echo(f"gateway init: {config} cannot be written: {error.strerror or error}", err=True)
        sys.exit(1)


def _say(drafts: Sequence[Drafted], others: int) -> None:
    """A line for each topic."""
    width = min(60, max(len(one.topic) for one in drafts))
    for one in drafts:
        form = one.form if is_readable(one) else "left out"
        samples = counted(len(one.records), "record") + " read"
        line = f"{one.topic:{width}}  {counted(one.partitions, 'partition'):14}  {form:11}  {samples}"
        click.echo(line if not one.why else f"{line}. {one.why}")
    if others:
        click.echo(f"{counted(others, 'other topic')} left out by --topics")
