"""`gateway schemas check | bump | sql`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from gateway.app.composition import converting, with_registered
from gateway.commands.ending import fail
from gateway.commands.help import Group
from gateway.errors import ConfigurationError
from gateway.eventlog.memory.log import MemoryLog
from gateway.forms.description import PREFIX
from gateway.schemas.bump import BumpRefused, bump
from gateway.schemas.check import check, shown
from gateway.schemas.compatibility import Weight
from gateway.schemas.repository import SchemaRepository
from gateway.settings.configuration import configure
from gateway.settings.table import BY_KEY

_DIRECTORIES = BY_KEY["schema_repositories"]
_CONFIG = BY_KEY["config"]
_NO = ("", "0", "false", "no")
"""Of the variable `CI`: it is not set, or says that this is none."""


def _directories(given: tuple[str, ...], config: str | None) -> list[Path]:
    """The repositories of the flag or its variable, else of the configuration. Without one no file is needed."""
    named = given or tuple(filter(None, os.environ.get(_DIRECTORIES.variable or "", "").split(",")))
    if not named:
        named = configure({_CONFIG.key: config}, os.environ).settings.schema_repositories
    return [Path(directory.strip()) for directory in named]


def _with_registry(repository: SchemaRepository, config: str | None) -> SchemaRepository:
    """The schemas, and those that the registry has for the streams of a configuration. Raises ConfigurationError."""
    configured = configure({_CONFIG.key: config}, os.environ)
    if not configured.settings.schema_registry:
        raise ConfigurationError(["gateway schemas sql: the configuration names no schema_registry"])

    async def ask() -> SchemaRepository:
        log = converting(MemoryLog(), configured.settings, configured.catalog)
        try:
            return await with_registered(repository, log, configured.catalog)
        finally:
            await log.close()

    return asyncio.run(ask())


_REPOSITORIES = click.option(
    "--schemas", "directories", multiple=True, metavar="DIRECTORY", help="schema repository, repeatable"
)
_CONFIGURATION = click.option(
    "--config", metavar="PATH", help="configuration that names the repositories, without --schemas"
)


@click.group(cls=Group)
def schemas() -> None:
    """Check schemas, release versions, and create tables for events."""


@schemas.command("check")
@click.argument("titles", nargs=-1)
@click.option("--released-in", metavar="REF", help="tag or branch whose versions are released; by default all commits")
@click.option(
    "--strict/--no-strict",
    default=None,
    help="whether an unreadable git history is a mistake; by default if the variable CI is set",
)
@_REPOSITORIES
@_CONFIGURATION
def check_command(
    titles: tuple[str, ...],
    released_in: str | None,
    strict: bool | None,
    directories: tuple[str, ...],
    config: str | None,
) -> None:
    """Check all schemas, or those of TITLES.

    Schemas and examples must be valid, and new versions compatible with earlier ones. Released versions must not
    change, according to git. With --strict, it is a mistake if the git history of a directory cannot be read.

    Exit status: 0; 1 if there are mistakes.
    """
    try:
        report = check(_directories(directories, config), titles, released_in)
    except ConfigurationError as error:
        fail(error.mistakes)
    for note in report.notes:
        click.echo(f"note: {note}")
    if strict is None:
        strict = os.environ.get("CI", "").casefold() not in _NO
    if not strict:
        for line in report.unread:
            click.echo(f"warning: {line}", err=True)
    if mistakes := report.mistakes + (report.unread if strict else []):
        fail(mistakes)
    checked = "" if not report.unread else ", but for what is said above"
    click.echo(f"{report.versions} released versions, no mistakes{checked}")


@schemas.command("bump")
@click.argument("title")
@click.option(
    "--major", "weight", flag_value=Weight.MAJOR, type=Weight, help="a version that may break readers and writers"
)
@click.option(
    "--minor", "weight", flag_value=Weight.MINOR, type=Weight, help="a minor version, even if a patch would do"
)
@click.option("--patch", "weight", flag_value=Weight.PATCH, type=Weight, help="a patch; refuse larger changes")
@_REPOSITORIES
@_CONFIGURATION
def bump_command(title: str, weight: Weight | None, directories: tuple[str, ...], config: str | None) -> None:
    """Write the next version of TITLE from its current.yaml. The changes determine its number.

    Changes that break readers or writers of the previous version require --major.
    """
    try:
        done = bump(SchemaRepository(_directories(directories, config)), title.strip("/"), weight)
    except ConfigurationError as error:
        fail(error.mistakes)
    except (BumpRefused, OSError) as error:
        fail([f"gateway schemas bump: {error}"])
    click.echo(f"{title} {done.before} → {done.version}" if done.before else f"{title} {done.version}")
    for line in shown(done.changes, Weight.PATCH):
        click.echo(line)
    for path in done.files:
        click.echo(f"written: {path}")


@schemas.command("sql")
@click.argument("title")
@click.option("--dialect", required=True, type=click.Choice(["postgres", "duckdb", "spark", "flink"]))
@click.option("--version", default="latest", help="version of the schema")
@click.option("--table", help="name of the table; by default it derives from the title")
@_REPOSITORIES
@_CONFIGURATION
def sql_command(
    title: str, dialect: str, version: str, table: str | None, directories: tuple[str, ...], config: str | None
) -> None:
    """Print a CREATE TABLE statement for the events of TITLE, with the nested types of the dialect.

    TITLE may be one of the schema registry, such as registry/orders-value.
    """
    # It takes longer to load than all the rest of the commands.
    from gateway.schemas.tables import NoTable, create_table, table_name

    title = title.strip("/")
    try:
        repository = SchemaRepository(_directories(directories, config))
        if title.startswith(PREFIX) and repository.get(title) is None:
            repository = _with_registry(repository, config)
        schema = repository.get(title, version)
        if schema is None:
            fail([f"gateway schemas sql: {repository.missing(title, version)}"])
        click.echo(create_table(schema.document, dialect, table or table_name(title)))
    except ConfigurationError as error:
        fail(error.mistakes)
    except NoTable as error:
        fail([f"gateway schemas sql: {error}"])
