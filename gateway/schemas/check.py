"""`gateway schemas check`: finds mistakes in the schemas of some directories, beyond whether each can be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.errors import ConfigurationError
from gateway.schemas.compatibility import Change, Weight, changes, weight_of
from gateway.schemas.files import parse_version, read_document
from gateway.schemas.history import HistoryError, lacking, released_files
from gateway.schemas.references import all_schemas
from gateway.schemas.repository import Schema, SchemaRepository
from gateway.schemas.shape import equal

SHOWN_CHANGES = 20
"""Changes of one pair of versions that are shown."""


@dataclass(slots=True)
class Report:
    """`mistakes` must be fixed, `notes` are good to know. `unread` says which directory has an unreadable history,
    and why: nobody knows whether a released version has changed there. An entry may have several lines."""

    mistakes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    versions: int = 0


def check(directories: list[Path], titles: tuple[str, ...] = (), released_in: str | None = None) -> Report:
    """Checks all titles, or those that are named. `released_in` is a tag or branch: what stands there is released.
    Raises ConfigurationError where schemas cannot be read, or there is no such title."""
    schemas = SchemaRepository(directories)
    if missing := [title for title in titles if not schemas.versions(title)]:
        raise ConfigurationError([schemas.missing(title, "latest") for title in missing])
    report = Report()
    for title in titles or schemas.titles():
        _check_title(schemas, title, report)
    for directory in directories:
        _check_history(directory, titles, released_in, report)
    return report


def _check_title(schemas: SchemaRepository, title: str, report: Report) -> None:
    versions = schemas.released(title)
    current = schemas.current(title)
    for schema in [*versions, *([current] if current is not None else [])]:
        report.versions += schema is not current
        report.mistakes += forbidden_fields(schema) or schema.bad_examples()
    for schema in versions:
        report.mistakes += _moving_references(schemas, schema)
    for old, new in pairwise(versions):
        _check_pair(old, new, report)
    if current is None:
        return
    if not versions:
        report.notes.append(f"{current.path}: no version is released yet; `gateway schemas bump {title}` writes one")
    elif not forbidden_fields(current):
        _check_current(versions[-1], current, report)


def _moving_references(schemas: SchemaRepository, schema: Schema) -> list[str]:
    """References of released versions to targets that may change, with the versions."""
    moving = []
    for path in schemas.references(schema):
        target = schemas.named(path)
        if target is None or not target.released:
            moving.append(
                f"{schema.path}: it refers to {path}, which may change; a released version names released ones"
            )
    return moving


def _check_pair(old: Schema, new: Schema, report: Report) -> None:
    """A released version against the one before it."""
    found = changes(old.document, new.document)
    weight = weight_of(found)
    promised = step(old.version, new.version)
    if weight is None or weight <= promised:
        return
    breaking = weight == Weight.MAJOR
    what = "breaks what was made for" if breaking else "says more than a patch of"
    text = "\n".join([f"{new.path}: it {what} {old.version}:", *shown(found, Weight(promised + 1))])
    if breaking and old.version.startswith("0."):
        report.notes.append(f"{text}\n  (before 1.0.0, every version may)")
    elif breaking:
        report.mistakes.append(text)
    else:
        report.notes.append(text)


def _check_current(newest: Schema, current: Schema, report: Report) -> None:
    """Compare the schema being edited with the newest version."""
    found = changes(newest.document, current.document)
    weight = weight_of(found)
    if weight is None:
        return
    lines = shown(found, Weight.MINOR if weight > Weight.PATCH else Weight.PATCH)
    command = f"`gateway schemas bump {current.title}"
    if weight < Weight.MAJOR:
        kind = "new fields or looser bounds" if weight == Weight.MINOR else "other words"
        report.notes.append(
            "\n".join([f"{current.path}: {kind} since {newest.version}; {command}` releases them:", *lines])
        )
    elif step(newest.version, current.version) == Weight.MAJOR:
        report.notes.append("\n".join([f"{current.path}: {command} --major` releases what breaks:", *lines]))
    else:
        head = f"{current.path}: it breaks what was made for {newest.version}; take it back, or {command} --major`:"
        (report.notes if newest.version.startswith("0.") else report.mistakes).append("\n".join([head, *lines]))


def step(old: str, new: str) -> Weight:
    """Check the promise of a version's number about the version before; a new major version promises nothing."""
    before, after = old.split("."), new.split(".")
    if before[0] != after[0]:
        return Weight.MAJOR
    return Weight.MINOR if before[1] != after[1] else Weight.PATCH


def shown(found: list[Change], least: Weight) -> list[str]:
    """The changes of a weight and above, a line each, the heaviest first."""
    heavy = sorted((change for change in found if change.weight >= least), key=lambda change: -change.weight)
    lines = [f"  {'! ' if change.weight == Weight.MAJOR else '  '}{change}" for change in heavy[:SHOWN_CHANGES]]
    return lines + ([f"    … and {len(heavy) - SHOWN_CHANGES} more"] if len(heavy) > SHOWN_CHANGES else [])


def forbidden_fields(schema: Schema) -> list[str]:
    """`additionalProperties` beside `allOf`, which does not see the fields that come by it."""
    return [
        f"{schema.path}: at {pointer}: additionalProperties is false, and so forbids the fields that come by the allOf "
        f"beside it ({', '.join(names[:3])}{', …' if len(names) > 3 else ''}): no event with them is valid; leave it "
        "out, or from draft 2019-09 on write unevaluatedProperties: false"
        for pointer, names in _closed_to_branches(schema.document)
    ]


def _closed_to_branches(document: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for pointer, node in all_schemas(document):
        branches = node.get("allOf")
        if node.get("additionalProperties") is False and isinstance(branches, list):
            fields = [name for branch in branches if isinstance(branch, dict) for name in branch.get("properties", {})]
            if names := [name for name in fields if name not in node.get("properties", {})]:
                yield pointer, names


def _check_history(directory: Path, titles: tuple[str, ...], released_in: str | None, report: Report) -> None:
    """Released versions are as they were."""
    try:
        committed = released_files(directory, released_in)
        # What a tag or a branch holds, it holds whole.
        doubt = lacking(directory) if released_in is None else None
    except HistoryError as error:
        committed, doubt = [], str(error)
    if doubt is not None:
        # Who names a tag or a branch wants to know.
        (report.unread if released_in is None else report.mistakes).append(
            f"{directory}: its history could not be read, so nobody knows whether a version has changed: {doubt}"
        )
    for file in committed:
        title = file.path.parent.relative_to(directory).as_posix()
        version = parse_version(file.path.stem) if file.path.suffix in (".yaml", ".yml", ".json") else None
        if version is None or (titles and title not in titles) or file.path.is_symlink():
            continue
        report.mistakes += _changed_since(file.path, file.where, file.content)


def _changed_since(path: Path, where: str, released: bytes) -> list[str]:
    if not path.exists():
        return [f"{path}: it was released ({where}) and is gone; events name it, so it has to stay"]
    unreadable: list[str] = []
    before, after = (read_document(path, content, unreadable) for content in (released, path.read_bytes()))
    if before is None:
        return [f"{path}: as it was released ({where}), it could not be read: {'; '.join(unreadable)[:300]}"]
    if after is None or equal(before, after):
        return []
    differences = [
        f"    /{name}: {'removed' if name not in after else 'added' if name not in before else 'changed'}"
        for name in [*before, *(name for name in after if name not in before)]
        if not equal(before.get(name), after.get(name)) or (name in before) != (name in after)
    ]
    head = f"{path}: it has changed since it was released ({where}); put it back, and release a new version:"
    return ["\n".join([head, *differences])]
