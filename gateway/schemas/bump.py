"""`gateway schemas bump`: writes the next version of a schema from `current`.

A version stands by itself: its references are followed and its `allOf`s merged, so that its meaning never changes. If
the version before has companions, the new one gets them too: `1.0.0` and `latest` as links or as files that name one,
and the same in JSON. Each file is written whole, after the loader has checked it. If the command dies in between, the
next run writes the rest.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema_rs.canonical import CanonicalizationError, Containment

from gateway.errors import ConfigurationError, GatewayError
from gateway.schemas.check import forbidden_fields, shown
from gateway.schemas.compatibility import Change, Weight, canonical, changes, weight_of
from gateway.schemas.files import Source, Version, parse_version, read_document, version_text
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.schemas.shape import equal, merged
from gateway.schemas.text import to_json, to_yaml
from gateway.whole_files import link_whole, write_whole

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
FIRST: Version = (1, 0, 0)
LONGEST_NAME = 64
"""Bytes of a file that holds nothing but the name of another: how git writes a link where there are none."""


class BumpRefused(GatewayError):
    """No version is written; says why."""


@dataclass(frozen=True, slots=True)
class Bumped:
    """The files that were written. `before` is the version before; None for the first one, and for one that was only
    finished."""

    before: str | None
    version: str
    files: list[Path]
    changes: list[Change]


def bump(schemas: SchemaRepository, title: str, wanted: Weight | None = None) -> Bumped:
    """Write the next version: of the weight that is wanted, else the least that the changes need. Raises BumpRefused,
    OSError, and ConfigurationError where `current` cannot be read."""
    current = schemas.current(title)
    if current is None:
        raise BumpRefused(f"{title} has no current.yaml to make a version of")
    if bad := forbidden_fields(current) or current.bad_examples():
        raise BumpRefused("\n".join(bad))
    newest = next((schema for schema in reversed(schemas.released(title))), None)
    found = changes(newest.document, current.document) if newest is not None else []
    if newest is not None and not found and (files := _finish(schemas, current, newest)):
        return Bumped(None, newest.version, files, [])
    version = _next(newest, current, found, wanted)
    document = _standing_alone(current, version)
    files = _write(schemas, current, newest, version, document)
    files += _rename(current, version)
    return Bumped(newest.version if newest is not None else None, version, files, found)


def _next(newest: Schema | None, current: Schema, found: list[Change], wanted: Weight | None) -> str:
    named = parse_version(current.version)
    assert named is not None
    if newest is None:
        return current.version if named > (0, 0, 0) else version_text(FIRST)
    weight = weight_of(found)
    if weight is None:
        raise BumpRefused(f"{current.path} says the same as {newest.version}: there is nothing to release")
    before = parse_version(newest.version)
    assert before is not None
    # Before 1.0.0 anything may change in a minor version (semver.org, 4).
    needed = Weight.MINOR if weight == Weight.MAJOR and before[0] == 0 else weight
    chosen = needed if wanted is None else wanted
    if weight == Weight.MAJOR and needed == Weight.MAJOR and wanted is None:
        raise BumpRefused(_refusal(f"this breaks what was made for {newest.version}; it takes --major", found, weight))
    if chosen < needed:
        names = {Weight.PATCH: "a patch", Weight.MINOR: "a minor version", Weight.MAJOR: "a patch or a minor version"}
        reason = f"this is more than {names[chosen]}; it takes --{needed.name.lower()}"
        raise BumpRefused(_refusal(reason, found, needed))
    steps = {
        Weight.MAJOR: (before[0] + 1, 0, 0),
        Weight.MINOR: (before[0], before[1] + 1, 0),
        Weight.PATCH: (before[0], before[1], before[2] + 1),
    }
    # Who has already written the number of the next version into `current` gets it, where it is large enough.
    return version_text(max(named, steps[chosen]) if wanted is None else steps[chosen])


def _refusal(reason: str, found: list[Change], least: Weight) -> str:
    return "\n".join([f"{reason}:", *shown(found, least)])


def _standing_alone(current: Schema, version: str) -> dict[str, Any]:
    """The document of the new version. Raises BumpRefused where it would not say the same as `current`."""
    document: dict[str, Any] = merged(current.document)
    if not _same(document, current):
        document = dict(current.document)
    document["$id"] = f"/{current.title}/{version}"
    examples = document.get("examples")
    if isinstance(examples, list):
        document["examples"] = [_named(one, current.uri, document["$id"]) for one in examples]
    if _refers(document):
        return document
    return {key: value for key, value in document.items() if key not in ("definitions", "$defs")}


def _refers(part: Any) -> bool:
    """Whether references are left that are followed again for each event, and lead into the definitions."""
    if isinstance(part, list):
        return any(map(_refers, part))
    if not isinstance(part, dict):
        return False
    return any((key == "$dynamicRef" and isinstance(value, str)) or _refers(value) for key, value in part.items())


def _same(document: dict[str, Any], current: Schema) -> bool:
    """Whether merging has changed nothing, as far as can be proven."""
    try:
        one, other = canonical(document, current.draft), canonical(current.document, current.draft)
    except (CanonicalizationError, jsonschema_rs.ValidationError, ValueError):
        return False
    return one.covers(other) == other.covers(one) == Containment.YES


def _named(example: Any, before: str, after: str) -> Any:
    if isinstance(example, dict) and example.get("$schema") == before:
        return {**example, "$schema": after}
    return example


def _renamed(text: str, title: str, before: str, after: str) -> str:
    """The text of `current` with the new version where it names its own: in `$id`, and in `$schema` of examples."""
    own = re.compile(rf"(\$(?:id|schema)[\"']?\s*:\s*[\"']?/{re.escape(title)}/){re.escape(before)}(?![\w.-])")
    return own.sub(rf"\g<1>{after}", text)


def _rename(current: Schema, version: str) -> list[Path]:
    """Let `current` name the version that it is now, if it does not; all else in it stays, the ends of lines too."""
    text = current.path.read_bytes().decode()
    renamed = _renamed(text, current.title, current.version, version)
    if renamed == text:
        return []
    write_whole(current.path, renamed.encode())
    return [current.path]


def _write(
    schemas: SchemaRepository, current: Schema, newest: Schema | None, version: str, document: dict[str, Any]
) -> list[Path]:
    """The file of the version first, since it is what is released, and `latest` last."""
    folder = current.path.parent
    path = folder / f"{version}{newest.path.suffix if newest is not None else current.path.suffix}"
    content = _proven(schemas, current, path, version, document)
    write_whole(path, content, new=True)
    old = newest.version if newest is not None else None
    return [path, *_write_beside(schemas, current, old, version, document)]


def _finish(schemas: SchemaRepository, current: Schema, newest: Schema) -> list[Path]:
    """Write what is missing of the newest version, after a death between its files."""
    before = [schema.version for schema in schemas.released(current.title) if schema.version != newest.version]
    document = _standing_alone(current, newest.version)
    return [
        *_write_beside(schemas, current, before[-1] if before else None, newest.version, document),
        *_rename(current, newest.version),
    ]


def _write_beside(
    schemas: SchemaRepository, current: Schema, old: str | None, version: str, document: dict[str, Any]
) -> list[Path]:
    """Make for the new version what stands beside the old one, and lead `latest` to it; what is so stays."""
    folder, files = current.path.parent, []
    for beside in _beside(folder, old):
        target = folder / (beside.name if old is None else beside.name.replace(old, version))
        if beside.stem != "latest" and os.path.lexists(target):
            continue
        if beside.is_symlink():
            goal = _VERSION.sub(version, str(beside.readlink()))
            if not target.is_symlink() or goal != str(target.readlink()):
                link_whole(target, goal)
                files.append(target)
            continue
        content = beside.read_bytes()
        if len(content) <= LONGEST_NAME and _VERSION.match(content.decode(errors="replace").strip()):
            wanted = _VERSION.sub(version, content.decode()).encode()
        else:
            wanted = _proven(schemas, current, target, version, document)
        if not target.exists() or target.read_bytes() != wanted:
            write_whole(target, wanted)
            files.append(target)
    return files


def _beside(folder: Path, old: str | None) -> list[Path]:
    """The files that go with a version."""
    names = [old + ending for ending in ("", ".yaml", ".yml", ".json")] if old is not None else []
    names += ["latest", "latest.yaml", "latest.yml", "latest.json"]
    return [folder / name for name in names if os.path.lexists(folder / name)]


def _proven(schemas: SchemaRepository, current: Schema, path: Path, version: str, document: dict[str, Any]) -> bytes:
    """The content of a file of the version. Raises BumpRefused where it would not be read as it is meant."""
    if path.suffix == ".json":
        content = to_json(document)
    else:
        lines = to_yaml(document)
        crlf = b"\r\n" in current.path.read_bytes()
        content = (lines.replace("\n", "\r\n") if crlf else lines).encode()
    number = parse_version(version)
    assert number is not None
    mistakes: list[str] = []
    if not equal(read_document(path, content, mistakes), document):
        raise BumpRefused(f"{path} would not read as it is meant; {'; '.join(mistakes) or 'write it by hand'}")
    try:
        schema = schemas.compiled(Source(current.title, number, path, document))
    except ConfigurationError as error:
        raise BumpRefused(f"{path} could not be read: {'; '.join(error.mistakes)}") from error
    if bad := schema.bad_examples():
        raise BumpRefused("\n".join(bad))
    return content
