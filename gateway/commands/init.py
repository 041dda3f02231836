"""`gateway init`: writes a configuration to begin with."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.demo.sample import SAMPLE
from gateway.whole_files import copy_whole


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(directory: Path) -> None:
    """Write a commented configuration and sample schemas into DIRECTORY/config, where the other commands look for them.

    Nothing that is there is changed. Exit status: 0, or 1 where something is there already or cannot be written.
    """
    config = directory / "config"
    if config.exists():
        click.echo(f"gateway init: {config} is there already; nothing is written", err=True)
        sys.exit(1)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        copy_whole(SAMPLE, config)
    except OSError as error:
        click.echo(f"gateway init: {config} cannot be written: {error.strerror or error}", err=True)
        sys.exit(1)
    click.echo(f"{config / 'gateway.yaml'} and {config / 'schemas'} are written; edit them, then:\n")
    if directory != Path():
        click.echo(f"  cd {directory}")
    click.echo("  gateway check\n  gateway serve")
