"""The texts that the gateway itself shows keep to the style of the documents: those of its API, and of its commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.commands.cli import main
from gateway.description.asyncapi import asyncapi
from gateway.description.facts import Facts, Limits
from gateway.description.openapi import openapi
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.commands.kit import commands_of
from tests.prose.__main__ import STYLE
from tests.prose.sentences import sentences
from tests.prose.style import read_style

LIMITS = Settings().of(Limits)


def described(document: Any) -> Iterator[str]:
    """Every summary and description in a document."""
    if isinstance(document, list):
        for each in document:
            yield from described(each)
    elif isinstance(document, dict):
        for key, value in document.items():
            if key in ("summary", "description", "title") and isinstance(value, str):
                yield value
            else:
                yield from described(value)


def helped(command: click.Command) -> Iterator[str]:
    """The help of a command, of its options, and of the commands in it."""
    yield inspect.cleandoc(command.help or "")
    for parameter in command.params:
        yield getattr(parameter, "help", None) or ""
    for each in commands_of(command).values():
        yield from helped(each)


def assert_style(texts: list[str]) -> None:
    count, findings = read_style(STYLE).check(each for text in texts for each in sentences(text))
    assert count.sentences > 50
    assert not findings


def test_the_texts_of_the_api(tmp_path: Path) -> None:
    streams = Catalog([Stream("a", ("a",), description="A stream.")])
    facts = Facts("1.0.0", streams, SchemaRepository([tmp_path]), LIMITS, tokens=True, cookie="token")
    assert_style([*described(openapi(facts)), *described(asyncapi(facts, "http://gateway.example/"))])


def test_the_help_of_the_commands() -> None:
    assert_style(list(helped(main)))


@pytest.mark.parametrize("document", [{"summary": "What it gives."}, [{"paths": {"description": "It goes on."}}]])
def test_a_text_that_reads_as_translated_is_found(document: Any) -> None:
    assert read_style(STYLE).check(each for text in described(document) for each in sentences(text))[0].words == 1
