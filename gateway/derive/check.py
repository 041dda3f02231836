"""Whether declarations can be right: against the schemas of their sources, and against their own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.lineage import circles
from gateway.catalog.quantity import shown_duration
from gateway.catalog.stream import Stream
from gateway.catalog.titles import is_title
from gateway.derive.declared import Found, declared
from gateway.derive.shape import Given
from gateway.schemas.reading import Reading, Readings, TooLarge
from gateway.schemas.repository import SchemaRepository

ENVELOPE = ("$schema", "meta")
"""What every row has beside its members."""


class Verdict(NamedTuple):
    """What is wrong, and what may not be meant, each as `file:line: stream: what`."""

    mistakes: list[str]
    warnings: list[str]


def check_derivations(
    catalog: Catalog,
    schemas: SchemaRepository,
    places: Mapping[tuple[str, str], str] | None = None,
    error_stream: str | None = None,
) -> Verdict:
    """All derived streams; `places` has where (`file:line`) a stream's key stands. `error_stream` is that of streams
    which name none."""
    verdict = Verdict([], [])
    file = next((place.rpartition(":")[0] for place in (places or {}).values()), "")
    verdict.mistakes.extend(f"{file}:{line}: {text}" for line, text in circles(catalog.streams, error_stream))
    for stream in catalog.streams.values():
        if stream.derive is None:
            continue
        file = (places or {}).get((stream.name, "derive"), "").rpartition(":")[0]
        mistakes, warnings = check_stream(stream, stream.derive, catalog, schemas)
        for found, told in ((mistakes, verdict.mistakes), (warnings, verdict.warnings)):
            told += [f"{file + ':' + str(line) + ': ' if file else ''}{stream.name}: {text}" for line, text in found]
    return verdict


def check_stream(
    stream: Stream, derivation: Derivation, catalog: Catalog, schemas: SchemaRepository
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Mistakes and warnings of one, each with its line."""
    found = declared(derivation, catalog.streams, schemas)
    mistakes, warnings = list(found.mistakes), list[tuple[int, str]]()
    _check_retention(derivation, catalog, mistakes, warnings)
    title = stream.schema_title
    if derivation.passes:
        _check_passing(derivation, title, catalog, mistakes)
    elif title is not None and not is_title(title):
        mistakes.append((derivation.line, "schema_title is an expression; rows are of one schema, so name that"))
    elif (schema := schemas.taken_by(stream)) is not None and not found.mistakes:
        try:
            _check_schema(derivation, found, schema.document, schema.uri, mistakes, warnings)
        except TooLarge:
            mistakes.append((derivation.line, f"{schema.uri} has too many alternatives to be compared"))
    return mistakes, warnings


def _check_retention(
    derivation: Derivation, catalog: Catalog, mistakes: list[tuple[int, str]], warnings: list[tuple[int, str]]
) -> None:
    """What has to be read again is kept."""
    for name, line in zip(derivation.sources, derivation.source_lines, strict=True):
        kept = catalog.streams[name].retention.milliseconds if name in catalog.streams else None
        if kept is not None and derivation.horizon >= kept:
            needed = f"{shown_duration(derivation.horizon)} of it are read again after a restart"
            advice = "keep it longer, or choose a shorter window"
            mistakes.append((line, f"{name} keeps {shown_duration(kept)}, and {needed}; {advice}"))
        elif kept is not None and derivation.since is not None and derivation.since > kept:
            warnings.append((line, f"{name} keeps {shown_duration(kept)}, so that nothing older is there for `since`"))


def _check_passing(
    derivation: Derivation, title: str | None, catalog: Catalog, mistakes: list[tuple[int, str]]
) -> None:
    """Events that pass as they are stay of their own schema."""
    for name in derivation.sources:
        own = catalog.streams[name].schema_title if name in catalog.streams else None
        if title is not None and own is not None and own != title:
            mistakes.append(
                (derivation.line, f"events of {name} pass as they are and are of {own}, and schema_title is {title}")
            )


def _check_schema(
    derivation: Derivation,
    found: Found,
    document: object,
    uri: str,
    mistakes: list[tuple[int, str]],
    warnings: list[tuple[int, str]],
) -> None:
    readings = Readings()
    schema = readings.of(document)
    for name, one in found.members.items():
        line = found.lines.get(name, derivation.line)
        allowed = readings.field(schema, name)
        if allowed is False:
            mistakes.append((line, f"{name} is refused by {uri}, which has no such member"))
        elif isinstance(allowed, Reading):
            _check_member(name, one, allowed, uri, line, mistakes, warnings)
    for name in sorted(schema.always):
        if name in ENVELOPE:
            continue
        if name not in found.lines and name not in found.members:
            mistakes.append((derivation.line, f"{uri} requires {name}, which is never selected"))
        elif name in found.members and not found.members[name].always:
            reason = "which may be missing; such events go to the error stream"
            warnings.append((found.lines.get(name, derivation.line), f"{uri} requires {name}, {reason}"))


def _check_member(
    name: str,
    one: Given,
    allowed: Reading,
    uri: str,
    line: int,
    mistakes: list[tuple[int, str]],
    warnings: list[tuple[int, str]],
) -> None:
    if allowed.kinds is None:
        return
    takes = allowed.kinds | ({"integer"} if "number" in allowed.kinds else frozenset())
    kinds = one.reading.kinds
    if kinds is None:
        if one.kind in {"bool", "int", "string"}:
            return
        warnings.append(
            (line, f"{name} may be anything, and {uri} takes {_listed(takes)}; what is not goes to the error stream")
        )
    elif not kinds <= takes and not (kinds - takes <= {"number"} and "integer" in takes):
        mistakes.append((line, f"{name} may be {_listed(kinds - takes)}, and {uri} takes {_listed(takes)}"))


def _listed(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
