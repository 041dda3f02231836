"""`gateway serve`."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

import click

from gateway.app.composition import define
from gateway.commands.ending import fail
from gateway.commands.options import GroupedOptions, read_settings, with_settings
from gateway.errors import ConfigurationError
from gateway.observability.logs import configure_logging
from gateway.process import serve as processes
from gateway.process.processing import Declared
from gateway.settings.configuration import configure


@click.command(cls=GroupedOptions)
@with_settings()
def serve(**flags: Any) -> None:
    """Serve the streams of the configuration."""
    configured = read_settings(flags)
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
