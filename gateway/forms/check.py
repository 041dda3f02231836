"""Checks the forms of streams against what is there to read them with."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import REGISTERED, Stream
from gateway.catalog.titles import is_expression
from gateway.forms.description import PREFIX, title_of

INSTALL = "pip install 'event-gateway[forms]'"


def check_forms(catalog: Catalog, places: Mapping[tuple[str, str], str], has_registry: bool) -> list[str]:
    """Streams that cannot be read as they are declared, with their places."""
    mistakes = []
    for stream in catalog.streams.values():
        if stream.schema_title is not None:
            mistakes += [
                f"{places.get((stream.name, key), stream.name)}: {stream.name}: {what}"
                for key, what in _untaken(stream)
            ]
        if not stream.needs_registry:
            continue
        for key, form in (("format", stream.form), ("key_format", stream.key_form)):
            place = places.get((stream.name, key), stream.name)
            if form == "protobuf" and not _is_installed("google.protobuf"):
                mistakes.append(f"{place}: {stream.name}: {key} {form} needs the library of Protobuf: {INSTALL}")
        if not has_registry:
            key = "format" if stream.form != "json" and (stream.name, "format") in places else "key_format"
            place = places.get((stream.name, key), stream.name)
            mistakes.append(
                f"{place}: {stream.name}: its schemas are in a registry, and none is configured; "
                "set schema_registry: {url: …}"
            )
    return mistakes


def _untaken(stream: Stream) -> Iterator[tuple[str, str]]:
    """Why a stream cannot take events as it says: the keys, and what is wrong with them."""
    title = stream.schema_title or ""
    if stream.form in REGISTERED and not title.startswith(PREFIX):
        such_as = title_of(f"{stream.topics[0]}-value")
        yield (
            "schema_title",
            f"schema_title is {title[:100]}; events of the format {stream.form} are written by a schema of the "
            f"registry, such as {such_as}",
        )
    if stream.form == "cloudevents" and is_expression(title):
        yield "schema_title", "schema_title is an expression; CloudEvents are of one schema, so name that"
    if stream.key_form in REGISTERED and stream.message_key_fields:
        yield "message_key_fields", f"keys in {stream.key_form} are read, and not written; leave message_key_fields out"


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
