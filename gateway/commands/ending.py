"""How commands end that could not do their work."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

import click


def fail(lines: Iterable[str]) -> NoReturn:
    """Say why on standard error, and end with status 1."""
    for line in lines:
        click.echo(line, err=True)
    sys.exit(1)
