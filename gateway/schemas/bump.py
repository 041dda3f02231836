"""`gateway schemas bump`: writes the next version of a schema from `current`.

A version stands by itself: its references are followed and its `allOf`s merged, so that it says the same for ever.
What stands beside the version before (`1.0.0` and `latest` as links or as files that name one, the same in JSON) is
written for the new one too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema_rs.canonical import CanonicalizationError, Containment

from gateway.errors import GatewayError
from gateway.schemas.check import forbidden_fields, shown
from gateway.schemas.compatibility import Change, Weight, canonical, changes, weight_of
from gateway.schemas.files import Version, parse_version, read_document, version_text
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.schemas.shape import merged
from gateway.schemas.text import to_json, to_yaml

FIRST: Version = (1, 0, 0)
LONGEST_NAME = 64
"""Bytes of a file that holds nothing but the name of another: how git writes a link where there are none."""


class BumpRefused(GatewayError):
    """No version is written; says why."""


@dataclass(frozen=True, slots=True)
class Bumped:
    """What was written. `before` is the version before, None for the first."""

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
    version = _next(newest, current, found, wanted)
    document = _standing_alone(current, version)
    text = current.path.read_text(encoding="utf-8")
    files = _write(current, newest, version, document)
    renamed = _renamed(text, title, current.version, version)
    if renamed != text:
        _replace(current.path, renamed.encode())
        files.append(current.path)
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
    document = merged(current.document)
    if not _same(document, current):
        document = dict(current.document)
    document["$id"] = f"/{current.title}/{version}"
    examples = document.get("examples")
    if isinstance(examples, list):
        document["examples"] = [_named(one, current.uri, document["$id"]) for one in examples]
    return {key: value for key, value in document.items() if key not in ("definitions", "$defs")}


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


def _write(current: Schema, newest: Schema | None, version: str, document: dict[str, Any]) -> list[Path]:
    folder = current.path.parent
    path = folder / f"{version}{newest.path.suffix if newest is not None else current.path.suffix}"
    content = _content(path, document)
    again: list[str] = []
    if read_document(path, content, again) != document:
        raise BumpRefused(f"{path} would not read as it is meant; {'; '.join(again) or 'write it by hand'}")
    with path.open("xb") as file:
        file.write(content)
    files = [path]
    for beside in _beside(folder, newest):
        old = newest.version if newest is not None else version
        target = folder / beside.name.replace(old, version)
        if target != path and (beside.stem == "latest" or not target.exists()):
            _follow(beside, target, old, version, document)
            files.append(target)
    return files


def _beside(folder: Path, newest: Schema | None) -> list[Path]:
    """The files that go with the newest version."""
    names = ["latest", "latest.yaml", "latest.yml", "latest.json"]
    if newest is not None:
        names += [newest.version + ending for ending in ("", ".yaml", ".yml", ".json")]
    return [folder / name for name in names if os.path.lexists(folder / name)]


def _follow(beside: Path, target: Path, old: str, version: str, document: dict[str, Any]) -> None:
    """Make `target` for the new version what `beside` is for the old one."""
    if beside.is_symlink():
        goal = str(beside.readlink()).replace(old, version)
        temporary = target.with_name(f".{target.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(goal)
        temporary.replace(target)
        return
    content = beside.read_bytes()
    if len(content) <= LONGEST_NAME and content.strip().startswith(old.encode()):
        _replace(target, content.replace(old.encode(), version.encode()))
    else:
        _replace(target, _content(target, document))


def _content(path: Path, document: dict[str, Any]) -> bytes:
    return to_json(document) if path.suffix == ".json" else to_yaml(document).encode()


def _replace(path: Path, content: bytes) -> None:
    """Write all of a file or nothing."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
