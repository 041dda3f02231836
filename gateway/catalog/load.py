"""Reads the configuration file: the streams, and the settings beside them. Collects every mistake with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.catalog.catalog import Catalog
from gateway.catalog.document import Findings, Located, Plain, parse
from gateway.catalog.stream_part import read_streams
from gateway.errors import ConfigurationError

_MINIMAL = "write one with at least:  streams: {my.stream: {description: What happens.}}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The content of a file. `settings` holds each key beside `streams` with its value and location (`file:line`)."""

    settings: dict[str, tuple[Plain, str]]
    catalog: Catalog
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """The readable part of a file, and its mistakes. If its streams have mistakes, `catalog` is empty."""

    settings: dict[str, tuple[Plain, str]]
    catalog: Catalog
    warnings: list[str]
    mistakes: list[str]
    places: dict[tuple[str, str], str]
    """Where (`file:line`) a stream's key stands, by the two names."""
    rules: Located | None = None
    """The part of that name, as it stands."""
    views: Located | None = None
    """Likewise."""
    members: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Where (`file:line:column`) a member of a setting stands, by the names that lead to it."""
    variables: dict[str, str] = field(default_factory=dict)
    """The variables of the environment that the file names, with their values."""


def load(path: Path | str) -> Configuration:
    """The configuration in a file. Raises ConfigurationError with all mistakes, each `file:line: what is wrong`."""
    reading = read(path)
    if reading.mistakes:
        raise ConfigurationError(reading.mistakes)
    return Configuration(reading.settings, reading.catalog, reading.warnings)


def read(path: Path | str, environment: Mapping[str, str] | None = None) -> Reading:
    """As much of a file as can be read, with the mistakes instead of an error; for collecting further ones. With an
    environment, `${NAME}` in its texts is a variable of it."""
    findings = Findings(Path(path))
    text = _text(findings)
    document = parse(text, findings, environment) if text is not None else None
    if document is None:
        return _nothing(findings)
    if not isinstance(document.value, dict):
        what = "the file is empty" if document.value is None else f"the file holds {document.kind}"
        findings.mistake(document.line, f"{what}; {_MINIMAL}")
        return _nothing(findings)
    members = dict(document.value)
    streams, rules, views = (members.pop(name, None) for name in ("streams", "rules", "views"))
    catalog = _catalog(streams, findings)
    settings = {key: (item.plain(), findings.location(item.line)) for key, item in members.items()}
    return Reading(
        settings,
        catalog,
        findings.warnings,
        findings.mistakes,
        _locations(streams, findings),
        rules,
        views,
        {names: place for key, item in members.items() for names, place in _members((key,), item, findings)},
        findings.variables,
    )


def _nothing(findings: Findings) -> Reading:
    return Reading({}, Catalog(()), findings.warnings, findings.mistakes, {}, variables=findings.variables)


def _members(names: tuple[str, ...], item: Located, findings: Findings) -> Iterator[tuple[tuple[str, ...], str]]:
    """The places of all members of a mapping, and of theirs. A document nests no deeper than it may."""
    if isinstance(item.value, dict):
        for key, member in item.value.items():
            yield (*names, key), findings.location(member.line, member.column)
            yield from _members((*names, key), member, findings)


def _locations(streams: Located | None, findings: Findings) -> dict[tuple[str, str], str]:
    if streams is None or not isinstance(streams.value, dict):
        return {}
    return {
        (name, key): findings.location(item.line)
        for name, stream in streams.value.items()
        if isinstance(stream.value, dict)
        for key, item in stream.value.items()
    }


def _catalog(part: Located | None, findings: Findings) -> Catalog:
    if part is None:
        findings.mistake(1, f"there are no streams; {_MINIMAL}")
        return Catalog(())
    before = len(findings.mistakes)
    streams = read_streams(part, findings)
    # With mistakes the names may clash; nothing but the mistakes is of use then.
    return Catalog(streams) if len(findings.mistakes) == before else Catalog(())


def _text(findings: Findings) -> str | None:
    path = findings.path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        begin = "`gateway init` writes one with samples"
        findings.mistakes.append(f"{path}: there is no such file; {begin}, or {_MINIMAL} or name another with --config")
        return None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        findings.mistakes.append(f"{path}: the file cannot be read ({reason}); name a readable one with --config")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.mistake(content.count(b"\n", 0, error.start) + 1, "this is not UTF-8; save the file as UTF-8")
        return None
