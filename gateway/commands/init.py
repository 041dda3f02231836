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
    """Write a commented configuration and sample schemas to DIRECTORY/config, where other commands look for them.

    Existing files are not changed. Exit status: 0; 1 if the directory exists or cannot be written.
    """
    config = directory / "config"
    if config.exists():
        click.echo(f"gateway init: {config} exists already; nothing was written", err=True)
        sys.exit(1)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        copy_whole(SAMPLE, config)
    except OSError as error:
        click.echo(f"gateway init: {config} cannot be written: {error.strerror or error}", err=True)
        sys.exit(1)
    click.echo(f"{config / 'gateway.yaml'} and {config / 'schemas'} were written; edit them, then run:\n")
    if directory != Path():
        click.echo(f"  cd {directory}")
    click.echo("  gateway check\n  gateway serve")
