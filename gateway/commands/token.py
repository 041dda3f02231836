"""`gateway token new | hash`: tokens for `static_tokens`."""

from __future__ import annotations

import json
import re
import secrets
import sys

import click
import yaml

from gateway.access.static import MINIMUM_CHARACTERS, digest_of
from gateway.commands.help import Group

RANDOM_BYTES = 32
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)


@click.group(cls=Group)
def token() -> None:
    """Create tokens for the configuration (`static_tokens`), which stores only their hash."""


@token.command()
@click.argument("name", default="reader")
def new(name: str) -> None:
    """Create a random token. Print the token, then the entry for the configuration, where it is called NAME."""
    text = secrets.token_urlsafe(RANDOM_BYTES)
    click.echo(text)
    click.echo(
        "\nThis token is shown only once; send it to its user over a secure channel. Add this to the configuration:\n\n"
        "static_tokens:\n"
        f'  {_key(name)}: {{sha256: "{digest_of(text).hex()}", read: [name.of.a.stream]}}',
        err=True,
    )


def _key(name: str) -> str:
    """A name as a key of YAML: as it is, or as a text of JSON."""
    return name if _PLAIN.fullmatch(name) and yaml.safe_load(name) == name else json.dumps(name)


@token.command("hash")
def hash_command() -> None:
    """Read a token from standard input, and print its SHA-256 for the configuration."""
    try:
        text = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    except OSError as error:
        click.echo(f"gateway token hash: the token cannot be read: {error.strerror or error}", err=True)
        sys.exit(1)
    except UnicodeDecodeError:
        text = "\udcff"
    text = text.strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        click.echo("gateway token hash: a token may have only printable ASCII characters without spaces", err=True)
        sys.exit(1)
    if len(text) < MINIMUM_CHARACTERS:
        click.echo(
            f"gateway token hash: a token of {len(text)} characters can be guessed; use at least {MINIMUM_CHARACTERS}; "
            "`gateway token new` creates one",
            err=True,
        )
        sys.exit(1)
    click.echo(digest_of(text).hex())
