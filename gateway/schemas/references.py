"""Replaces the `$ref`s of a schema by the schemas that they refer to.

Pure: only loaded schemas can be referred to, so no reference leads to a file or to the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

MAXIMUM_NODES = 100_000
"""Values that one dereferenced schema may hold; references to references could otherwise grow without bound."""

MAXIMUM_DEPTH = 100
"""Nesting of a dereferenced schema. The validator is recursive, in a language that does not survive its stack's end."""

_TARGET = re.compile(r"(?P<path>/?[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?(?:#(?P<pointer>.*))?")

_POSITION = re.compile("0|[1-9][0-9]{0,8}")
"""Of an element of a list (RFC 6901, section 4)."""

# Keywords whose members are schemas by name: `properties: {enum: …}` is a property called enum.
_SCHEMAS_BY_NAME = {"properties", "patternProperties", "definitions", "$defs", "dependentSchemas", "dependencies"}

# Keywords beside a `$ref` that change nothing of what is valid.
_ANNOTATIONS = {"title", "description"}
_BESIDE_REFERENCES = {
    "$ref", "$id", "$schema", "$comment", "$defs", "definitions", "examples", "example", "default", *_ANNOTATIONS
}  # fmt: skip

# Keywords that hold plain values, in which a `$ref` is only a word.
_VALUES = {"enum", "const", "examples", "example", "default"}

Find = Callable[[str], "tuple[str, dict[str, Any]] | None"]
"""Gives the `$id` and the schema of an absolute path such as /wiki/change/1.0.0 (or …/latest)."""


def named_schemas(uri: str, document: dict[str, Any]) -> Iterator[str]:
    """The absolute paths of the other schemas that the one at `uri` refers to, such as /wiki/change/1.0.0 (or
    …/latest)."""
    for _, part in all_schemas(document):
        reference = part.get("$ref")
        match = _TARGET.fullmatch(reference) if isinstance(reference, str) else None
        if match is not None and match["path"]:
            yield _absolute(match["path"], uri)


def ignored_keywords(document: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The JSON pointers in a schema of draft 7 or before with keywords beside a `$ref`, which these drafts ignore, and
    those that would have had a meaning."""
    for pointer, part in all_schemas(document):
        ignored = sorted(part.keys() - _BESIDE_REFERENCES)
        if isinstance(part.get("$ref"), str) and ignored:
            yield pointer, ignored


def all_schemas(part: Any, pointer: str = "", by_name: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all in it, each with its JSON pointer; `by_name`: the part holds schemas by their names."""
    if isinstance(part, list):
        for number, item in enumerate(part):
            yield from all_schemas(item, f"{pointer}/{number}")
    elif isinstance(part, dict):
        # The names themselves may be taken from elsewhere.
        if not by_name or isinstance(part.get("$ref"), str):
            yield pointer or "/", part
        for key, value in part.items():
            if by_name or key not in _VALUES:
                yield from all_schemas(value, f"{pointer}/{key}", not by_name and key in _SCHEMAS_BY_NAME)


def _absolute(path: str, base: str) -> str:
    return path if path.startswith("/") else base.rpartition("/")[0] + "/" + path


class BadReferenceError(ValueError):
    """A `$ref` that cannot be followed; says which and why."""


def dereference(uri: str, document: dict[str, Any], find: Find, siblings_count: bool) -> dict[str, Any]:
    """The schema at `uri` without `$ref`s. `siblings_count`: whether its draft (2019-09 and later) reads keywords
    beside a `$ref`; earlier ones say to ignore them. Raises BadReferenceError."""
    result = _Dereferencer(find, siblings_count).schema(document, uri, document, (uri + "#",))
    if not isinstance(result, dict):
        raise BadReferenceError("the schema refers to something that is not a mapping")
    return result


class _Dereferencer:
    """Walks one schema. `base` is the `$id` of the document that a part stands in, `trail` what led to it."""

    def __init__(self, find: Find, siblings_count: bool) -> None:
        self._find = find
        self._siblings_count = siblings_count
        self._nodes = 0
        self._depth = 0

    def schema(self, part: Any, base: str, root: dict[str, Any], trail: tuple[str, ...]) -> Any:
        """The part without references."""
        self._depth += 1
        try:
            return self._schema(part, base, root, trail)
        finally:
            self._depth -= 1

    def _schema(self, part: Any, base: str, root: dict[str, Any], trail: tuple[str, ...]) -> Any:
        self._count()
        if isinstance(part, list):
            return [self.schema(item, base, root, trail) for item in part]
        if not isinstance(part, dict):
            return part
        if "$recursiveRef" in part and self._siblings_count:
            # What it means depends on the schema from which it was come here, and that is another one here.
            raise BadReferenceError("$recursiveRef is not read here; write a $ref")
        reference = part.get("$ref")
        if isinstance(reference, str):
            return self._referred(part, reference, base, root, trail)
        result: dict[str, Any] = {}
        for key, value in part.items():
            if key in _VALUES:
                result[key] = value
            elif key in _SCHEMAS_BY_NAME and isinstance(value, dict):
                result[key] = self._by_name(value, base, root, trail)
            else:
                result[key] = self.schema(value, base, root, trail)
        return result

    def _by_name(self, part: dict[str, Any], base: str, root: dict[str, Any], trail: tuple[str, ...]) -> Any:
        """Schemas by name. A text as `$ref` cannot be a schema: the names themselves are taken from elsewhere."""
        self._count()
        reference = part.get("$ref")
        named = {name: self.schema(value, base, root, trail) for name, value in part.items() if name != "$ref"}
        if isinstance(reference, str):
            target, target_base, target_root, target_trail = self._target(reference, base, root, trail)
            if not isinstance(target, dict):
                raise BadReferenceError(f'"{reference}" is not a mapping of schemas')
            return {**self._by_name(target, target_base, target_root, target_trail), **named}
        if reference is not None:
            named["$ref"] = self.schema(reference, base, root, trail)
        return named

    def _referred(
        self, part: dict[str, Any], reference: str, base: str, root: dict[str, Any], trail: tuple[str, ...]
    ) -> Any:
        target, target_base, target_root, target_trail = self._target(reference, base, root, trail)
        found = self.schema(target, target_base, target_root, target_trail)
        if isinstance(found, dict):
            # An identity inside of another schema would change what it means.
            found = {key: value for key, value in found.items() if key not in ("$id", "$schema", "examples")}
        siblings = {key: value for key, value in part.items() if key != "$ref"}
        if not self._siblings_count or not siblings:
            kept = {key: part[key] for key in ("$id", "$schema") if part is root and key in part}
            words = {key: siblings[key] for key in _ANNOTATIONS & siblings.keys()}
            return {**kept, **found, **words} if isinstance(found, dict) else found
        rest = self.schema(siblings, base, root, trail)
        return {**rest, "allOf": [found, *rest.get("allOf", [])]}

    def _target(
        self, reference: str, base: str, root: dict[str, Any], trail: tuple[str, ...]
    ) -> tuple[Any, str, dict[str, Any], tuple[str, ...]]:
        match = _TARGET.fullmatch(reference)
        if match is None or not _is_encoded(match["pointer"] or ""):
            raise BadReferenceError(
                f'the $ref "{reference}" cannot be followed; it takes a path in the schema repositories, such as '
                "/fragment/common/1.0.0#"
            )
        target_base, target_root = base, root
        if match["path"]:
            path = _absolute(match["path"], base)
            found = self._find(path)
            if found is None:
                raise BadReferenceError(f'the $ref "{reference}" names {path}, which is in no schema repository')
            target_base, target_root = found
        pointer = unquote(match["pointer"] or "")
        target = f"{target_base}#{pointer.rstrip('/')}"
        if target in trail:
            raise BadReferenceError(f"the references go round in a circle: {' -> '.join((*trail, target))}")
        return _at(target_root, pointer, reference), target_base, target_root, (*trail, target)

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MAXIMUM_NODES:
            raise BadReferenceError(f"with its references the schema holds more than {MAXIMUM_NODES} values")
        if self._depth > MAXIMUM_DEPTH:
            raise BadReferenceError(f"with its references the schema is nested more than {MAXIMUM_DEPTH} levels deep")


def _is_encoded(pointer: str) -> bool:
    """Whether each percent sign begins an octet, and these are text (RFC 6901, section 6)."""
    try:
        unquote(pointer, errors="strict")
    except UnicodeDecodeError:
        return False
    return re.search(r"%(?![0-9A-Fa-f]{2})", pointer) is None


def _at(root: Any, pointer: str, reference: str) -> Any:
    """The part of a document at a JSON pointer."""
    part = root
    for step in pointer.split("/")[1:] if pointer.strip("/") else []:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and name in part:
            part = part[name]
        elif isinstance(part, list) and _POSITION.fullmatch(name) and int(name) < len(part):
            part = part[int(name)]
        else:
            raise BadReferenceError(f'the $ref "{reference}" names a part that is not there ({name})')
    if pointer and not pointer.startswith("/"):
        raise BadReferenceError(f'the $ref "{reference}" names an anchor; it takes a pointer such as #/definitions/x')
    return part
