"""The schema repositories: JSONSchemas by title and version, dereferenced and compiled once, at start.

A repository is a directory; `wiki/change/1.0.0.yaml` in it is version 1.0.0 of the schema titled wiki/change, and
`current.yaml` beside it is the one that is being written, of the version that its `$id` names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.document import Findings, did_you_mean, parse
from gateway.errors import ConfigurationError
from gateway.intake.references import BadReferenceError, dereference

MAXIMUM_FILES = 10_000
MAXIMUM_ERRORS = 5
"""Faults of one event that are told."""

MAXIMUM_MESSAGE = 300
"""Characters of one fault that are told: a message repeats the value, which may be long."""

Version = tuple[int, int, int]

_FILE = re.compile(r"(?:(\d{1,9})\.(\d{1,9})\.(\d{1,9})|current)\.(?:yaml|yml|json)", re.ASCII)
_URI = re.compile(
    r"/(?P<title>[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*)/(?P<version>[0-9]+\.[0-9]+\.[0-9]+)#?", re.ASCII
)
_DRAFT = re.compile(r"https?://json-schema\.org/(?:draft-|draft/)(04|06|07|2019-09|2020-12)/schema#?")
_VALIDATORS: dict[str, type[jsonschema_rs.Validator]] = {
    "04": jsonschema_rs.Draft4Validator,
    "06": jsonschema_rs.Draft6Validator,
    "07": jsonschema_rs.Draft7Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
    "2020-12": jsonschema_rs.Draft202012Validator,
}
NEWEST_DRAFT = "2020-12"
"""The draft of a schema that names none."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of a schema, without `$ref`s."""

    title: str
    version: str
    document: dict[str, Any]
    path: Path
    _validator: jsonschema_rs.Validator = field(repr=False, compare=False)

    @property
    def uri(self) -> str:
        """What the `$schema` of an event says."""
        return f"/{self.title}/{self.version}"

    @property
    def examples(self) -> list[dict[str, Any]]:
        """The events that the schema gives as examples."""
        examples = self.document.get("examples")
        return [one for one in examples if isinstance(one, dict)] if isinstance(examples, list) else []

    def faults(self, event: object) -> list[str]:
        """What is wrong with an event, each beginning with the path of the value; empty for a valid one."""
        if self._validator.is_valid(event):
            return []
        return [_told(error) for error in islice(self._validator.iter_errors(event), MAXIMUM_ERRORS)]


@dataclass(frozen=True, slots=True)
class _Source:
    """A schema file as read; `uri` is its path in the repository, which its `$id` must agree with."""

    title: str
    version: Version
    path: Path
    document: dict[str, Any]

    @property
    def uri(self) -> str:
        return f"/{self.title}/{_text(self.version)}"


class SchemaRepository:
    """All schemas of some directories; where two hold the same version, the earlier directory wins.

    Raises ConfigurationError with every mistake of every file. `warnings` names examples that are not valid.
    """

    def __init__(self, directories: Iterable[Path | str]) -> None:
        mistakes: list[str] = []
        self.warnings: list[str] = []
        self._sources = _read_all([Path(directory) for directory in directories], mistakes)
        self._schemas: dict[str, dict[Version, Schema]] = {}
        for (title, version), source in sorted(self._sources.items()):
            schema = self._compiled(source, mistakes)
            if schema is not None:
                self._schemas.setdefault(title, {})[version] = schema
                self.warnings += _bad_examples(schema)
        if mistakes:
            raise ConfigurationError(mistakes)

    def __repr__(self) -> str:
        return f"<SchemaRepository of {len(self._sources)} schemas of {len(self._schemas)} titles>"

    def titles(self) -> tuple[str, ...]:
        """All titles, sorted."""
        return tuple(self._schemas)

    def versions(self, title: str) -> tuple[str, ...]:
        """The versions of a title, the newest last; none for an unknown title."""
        return tuple(_text(version) for version in self._schemas.get(title, {}))

    def get(self, title: str, version: str = "latest") -> Schema | None:
        """A version of a schema, or the newest."""
        versions = self._schemas.get(title)
        if not versions:
            return None
        wanted = max(versions) if version == "latest" else _version(version)
        return versions.get(wanted) if wanted is not None else None

    def named(self, uri: str) -> Schema | None:
        """The schema that the `$schema` of an event names, such as /wiki/change/1.0.0."""
        match = _URI.fullmatch(uri)
        return self.get(match["title"], match["version"]) if match is not None else None

    def _find(self, path: str) -> tuple[str, dict[str, Any]] | None:
        """The `$id` and the document of a reference."""
        title, _, wanted = path.strip("/").rpartition("/")
        if wanted == "latest":
            version = max((found for name, found in self._sources if name == title), default=None)
        else:
            version = _version(wanted)
        source = self._sources.get((title, version)) if version is not None else None
        return (source.uri, source.document) if source is not None else None

    def _compiled(self, source: _Source, mistakes: list[str]) -> Schema | None:
        try:
            draft = _draft(source.document)
            document = dereference(source.uri, source.document, self._find, draft >= "2019")
            return Schema(source.title, _text(source.version), document, source.path, _validator(document, draft))
        except (BadReferenceError, _UnknownDraftError) as error:
            mistakes.append(f"{source.path}: {error}")
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            place = "/".join(str(step) for step in getattr(error, "instance_path", []))
            message = _cut(str(getattr(error, "message", error)))
            mistakes.append(f"{source.path}: this is no valid JSONSchema: at /{place}: {message}")
        except ValueError as error:
            mistakes.append(f"{source.path}: this is no valid JSONSchema: {_cut(str(error))}")
        return None


def check_streams(catalog: Catalog, schemas: SchemaRepository) -> list[str]:
    """The streams whose schema is in no repository, as mistakes."""
    return [
        f"the stream {stream.name} has the schema_title {stream.schema_title}, which is in no schema repository"
        f"{did_you_mean(stream.schema_title, schemas.titles())}"
        for stream in catalog.streams.values()
        if stream.schema_title is not None and schemas.get(stream.schema_title) is None
    ]


class _UnknownDraftError(ValueError):
    """A `$schema` that names no draft of JSONSchema."""


def _draft(document: dict[str, Any]) -> str:
    named = document.get("$schema")
    if named is None:
        return NEWEST_DRAFT
    match = _DRAFT.fullmatch(named) if isinstance(named, str) else None
    if match is None:
        raise _UnknownDraftError(
            f'$schema is "{named}"; it takes a draft of JSONSchema, such as https://json-schema.org/draft/2020-12/schema'
        )
    # 04, 06 and 07 sort before 2019-09.
    return match[1]


def _validator(document: dict[str, Any], draft: str) -> jsonschema_rs.Validator:
    # The identity is left out: the name in it would be looked up, on the network where it is none that is known.
    anonymous = {key: value for key, value in document.items() if key not in ("$id", "id", "$schema")}
    return _VALIDATORS[draft](anonymous, validate_formats=True, offline=True)


def _told(error: jsonschema_rs.ValidationError) -> str:
    path = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in error.instance_path)
    return _cut(f"{path or '/'}: {error.message}")


def _cut(text: str) -> str:
    return text if len(text) <= MAXIMUM_MESSAGE else text[:MAXIMUM_MESSAGE] + "…"


def _bad_examples(schema: Schema) -> list[str]:
    return [
        f"{schema.path}: example {number} is not valid: {faults[0]}"
        for number, example in enumerate(schema.examples, 1)
        if (faults := schema.faults(example))
    ]


def _text(version: Version) -> str:
    return ".".join(map(str, version))


def _version(text: str) -> Version | None:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def _read_all(directories: list[Path], mistakes: list[str]) -> dict[tuple[str, Version], _Source]:
    sources: dict[tuple[str, Version], _Source] = {}
    for directory in directories:
        if not directory.is_dir():
            mistakes.append(f"{directory}: there is no such directory; schema_repositories takes existing ones")
            continue
        here: dict[tuple[str, Version], _Source] = {}
        # `current` sorts after the numbers, so that a file of the version it names has been read before it.
        for path in _files(directory, mistakes):
            source = _read(directory, path, mistakes)
            if source is None:
                continue
            other = here.setdefault((source.title, source.version), source)
            if other is not source and path.stem != "current":
                mistakes.append(f"{path}: {other.path.name} is the same version; keep one of them")
        for key, source in here.items():
            sources.setdefault(key, source)
    return sources


def _files(directory: Path, mistakes: list[str]) -> list[Path]:
    """The schema files of a repository. Links out of it are not followed."""
    inside = directory.resolve()
    found: list[Path] = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if not _FILE.fullmatch(name) or path.parent == directory:
                continue
            if not path.resolve().is_relative_to(inside):
                mistakes.append(f"{path}: the link leads out of the repository; put the file itself there")
                continue
            found.append(path)
            if len(found) > MAXIMUM_FILES:
                mistakes.append(f"{directory}: more than {MAXIMUM_FILES} schema files; name a smaller directory")
                return []
    return sorted(found)


def _read(directory: Path, path: Path, mistakes: list[str]) -> _Source | None:
    document = _document(path, mistakes)
    if document is None:
        return None
    title = path.parent.relative_to(directory).as_posix()
    named = document.get("$id")
    if path.stem == "current":
        match = _URI.fullmatch(named) if isinstance(named, str) else None
        if match is None:
            mistakes.append(f"{path}: $id is missing or no path; it takes the version, such as /{title}/1.0.0")
            return None
        version = _version(match["version"])
    else:
        version = _version(path.stem)
    if version is None:
        return None
    source = _Source(title, version, path, document)
    if named is not None and (not isinstance(named, str) or named.rstrip("#") != source.uri):
        mistakes.append(f"{path}: $id is {named}; by its place in the repository it is {source.uri}")
        return None
    if document.get("title", title) != title:
        mistakes.append(f"{path}: title is {document['title']}; by its place in the repository it is {title}")
        return None
    return source


def _document(path: Path, mistakes: list[str]) -> dict[str, Any] | None:
    try:
        content = path.read_bytes()
        if path.suffix == ".json":
            document: Any = orjson.loads(content)
        else:
            findings = Findings(path)
            located = parse(content.decode(), findings)
            mistakes += findings.mistakes
            if located is None or findings.mistakes:
                return None
            document = located.plain()
    except (OSError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, orjson.JSONDecodeError) else ""
        mistakes.append(f"{path}{line}: the file cannot be read: {error}")
        return None
    if not isinstance(document, dict):
        mistakes.append(f"{path}: the file holds no mapping; a schema is one")
        return None
    return document
