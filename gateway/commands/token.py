"""`gateway token new | hash`: tokens for `static_tokens`."""

from __future__ import annotations

import secrets
import sys

import click

from gateway.access.static import MINIMUM_CHARACTERS, digest_of

RANDOM_BYTES = 32


@click.group()
def token() -> None:
    """Make tokens for the configuration (`static_tokens`), which holds their hash alone."""


@token.command()
@click.argument("name", default="reader")
def new(name: str) -> None:
    """Make a random token, called NAME in the configuration: the token on the first line, then what to configure."""
    text = secrets.token_urlsafe(RANDOM_BYTES)
    click.echo(text)
    click.echo(
        "\nIt is shown this once; give it to its user in secret. Into the configuration goes:\n\n"
        "static_tokens:\n"
        f'  {name}: {{sha256: "{digest_of(text).hex()}", read: [name.of.a.stream]}}',
        err=True,
    )


@token.command("hash")
def hash_command() -> None:
    """Read a token from standard input, and print its SHA-256 for the configuration."""
    text = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    text = text.strip()
    if len(text) < MINIMUM_CHARACTERS:
        click.echo(
            f"gateway token hash: a token of {len(text)} characters could be guessed; it takes {MINIMUM_CHARACTERS}, "
            "and `gateway token new` makes one",
            err=True,
        )
        sys.exit(1)
    click.echo(digest_of(text).hex())
