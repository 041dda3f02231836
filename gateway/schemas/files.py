"""The files of schema repositories: finds them, reads them, and collects what is wrong with them.

A repository is a directory. In it, `wiki/change/1.0.0.yaml` is version 1.0.0 of the schema titled wiki/change.
`current.yaml` beside it is the version that is being written, and its `$id` names that version.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.catalog.document import MAXIMUM_DEPTH, Findings, parse
from gateway.model.event import nesting
from gateway.schemas.text import to_json

MAXIMUM_FILES = 10_000
MAXIMUM_FILE_BYTES = 1024 * 1024
"""The largest schema file that is read."""

Version = tuple[int, int, int]

_FILE = re.compile(r"(?:(\d{1,9})\.(\d{1,9})\.(\d{1,9})|current)\.(?:yaml|yml|json)", re.ASCII)
_URI = re.compile(
    r"/(?P<title>[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*)/(?P<version>[0-9]+\.[0-9]+\.[0-9]+)#?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Source:
    """A schema file as read; `uri` is its path in the repository, which its `$id` must agree with."""

    title: str
    version: Version
    path: Path
    document: dict[str, Any]

    @property
    def uri(self) -> str:
        """The `$id` of the schema."""
        return f"/{self.title}/{version_text(self.version)}"

    @property
    def released(self) -> bool:
        """Whether it stands in a file of its version, and so never changes."""
        return self.path.stem != "current"


@dataclass(frozen=True, slots=True)
class Sources:
    """All files: by title and version, and those that are being written by title."""

    versions: dict[tuple[str, Version], Source] = field(default_factory=dict)
    currents: dict[str, Source] = field(default_factory=dict)


_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
"""Of a version: written in one way only, so that a version has one name (Semantic Versioning 2.0.0, section 2)."""


def version_text(version: Version) -> str:
    """As it is written: 1.0.0"""
    return ".".join(map(str, version))


def parse_version(text: str) -> Version | None:
    """The version that a text writes, or None."""
    parts = text.split(".")
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def parse_uri(uri: str) -> tuple[str, Version] | None:
    """Title and version of a path such as /wiki/change/1.0.0, or None for anything else."""
    match = _URI.fullmatch(uri)
    version = parse_version(match["version"]) if match is not None else None
    return (match["title"], version) if match is not None and version is not None else None


def read_sources(directories: Iterable[Path], mistakes: list[str]) -> Sources:
    """The schemas of all directories; the earlier one wins. Faults are added to `mistakes`."""
    sources = Sources()
    for directory in directories:
        if not directory.is_dir():
            mistakes.append(f"{directory}: there is no such directory; schema_repositories takes existing ones")
            continue
        here: dict[tuple[str, Version], Source] = {}
        # `current` sorts after the numbers, so that a file of the version it names has been read before it.
        for path in _files(directory, mistakes):
            source = _read(directory, path, mistakes)
            if source is None:
                continue
            other = here.setdefault((source.title, source.version), source)
            if not source.released:
                sources.currents.setdefault(source.title, source)
            elif other.document != source.document:
                mistakes.append(f"{path}: {other.path.name} is the same version with another content; keep one of them")
        for key, source in here.items():
            sources.versions.setdefault(key, source)
    return sources


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError where a name is in it twice: of these no two programs take the same."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"{name} is given twice; keep one of them")
        members[name] = value
    return members


def read_document(path: Path, content: bytes, mistakes: list[str]) -> dict[str, Any] | None:
    """The schema that a file's content holds, or None with a reason in `mistakes`."""
    if len(content) > MAXIMUM_FILE_BYTES:
        mistakes.append(f"{path}: the file has {len(content)} bytes; a schema may have {MAXIMUM_FILE_BYTES}")
        return None
    try:
        if path.suffix == ".json":
            if nesting(content) > MAXIMUM_DEPTH:
                mistakes.append(f"{path}: more than {MAXIMUM_DEPTH} levels; write a flatter schema")
                return None
            document: Any = json.loads(content.decode(), object_pairs_hook=_members)
        else:
            findings = Findings(path)
            located = parse(content.decode(), findings)
            mistakes += findings.mistakes
            if located is None or findings.mistakes:
                return None
            document = located.plain()
        to_json(document)
    except ValueError as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        mistakes.append(f"{path}{line}: the file cannot be read: {error}")
        return None
    if not isinstance(document, dict):
        mistakes.append(f"{path}: the file holds no mapping; a schema is one")
        return None
    return document


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


def _read(directory: Path, path: Path, mistakes: list[str]) -> Source | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_FILE_BYTES + 1)
    except OSError as error:
        mistakes.append(f"{path}: the file cannot be read: {error}")
        return None
    document = read_document(path, content, mistakes)
    if document is None:
        return None
    title = path.parent.relative_to(directory).as_posix()
    named = document.get("$id")
    if path.stem == "current":
        uri = parse_uri(named) if isinstance(named, str) else None
        if uri is None:
            mistakes.append(f"{path}: $id is missing or no path; it takes the version, such as /{title}/1.0.0")
            return None
        version = uri[1]
    else:
        found = parse_version(path.stem)
        if found is None:
            mistakes.append(
                f"{path}: {path.stem} is not a version: its numbers have at most nine digits, and no zero first"
            )
            return None
        version = found
    source = Source(title, version, path, document)
    if named is not None and (not isinstance(named, str) or named.rstrip("#") != source.uri):
        mistakes.append(f"{path}: $id is {named}; by its place in the repository it is {source.uri}")
        return None
    if document.get("title", title) != title:
        mistakes.append(f"{path}: title is {document['title']}; by its place in the repository it is {title}")
        return None
    return source
