"""Compiles schemas into validators, and bounds what a schema may cost.

Patterns run in the linear-time engine of jsonschema-rs. Patterns that need backtracking are refused, and so are those
that compile to a large program. The time of a match is then at worst proportional to the text and to the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import jsonschema_rs

MAXIMUM_ERRORS = 5
"""The most faults of one event that are reported."""

MAXIMUM_MESSAGE = 300
"""The most characters of one fault: a message repeats the value, which may be long."""

MAXIMUM_PATTERN_BYTES = 64 * 1024
r"""The compiled program of one pattern. `^[a-z]{1,64}$` takes 4 KB, `\p{L}` 60 KB, `^.{1,255}$` 400 KB. The slowest
that fits takes some 10 µs a character; nearly all take a few nanoseconds."""

NEWEST_DRAFT = "2020-12"
"""The draft of a schema that names none."""

DRAFTS: dict[str, int] = {
    "04": jsonschema_rs.Draft4,
    "06": jsonschema_rs.Draft6,
    "07": jsonschema_rs.Draft7,
    "2019-09": jsonschema_rs.Draft201909,
    "2020-12": jsonschema_rs.Draft202012,
}
_VALIDATORS: dict[str, type[jsonschema_rs.Validator]] = {
    "04": jsonschema_rs.Draft4Validator,
    "06": jsonschema_rs.Draft6Validator,
    "07": jsonschema_rs.Draft7Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
    "2020-12": jsonschema_rs.Draft202012Validator,
}
_DRAFT = re.compile(r"https?://json-schema\.org/(?:draft-|draft/)(04|06|07|2019-09|2020-12)/schema#?")

PATTERN_OPTIONS = jsonschema_rs.RegexOptions(size_limit=MAXIMUM_PATTERN_BYTES)


class BadSchemaError(ValueError):
    """A schema that cannot be used; says why."""


def draft_of(document: dict[str, Any]) -> str:
    """The draft that `$schema` names, such as 07 or 2020-12; 04, 06 and 07 sort before 2019-09. Raises
    BadSchemaError."""
    named = document.get("$schema")
    if named is None:
        return NEWEST_DRAFT
    match = _DRAFT.fullmatch(named) if isinstance(named, str) else None
    if match is None:
        raise BadSchemaError(
            f'$schema is "{named}"; it takes a draft of JSONSchema, such as https://json-schema.org/draft/2020-12/schema'
        )
    return match[1]


def anonymous(document: dict[str, Any]) -> dict[str, Any]:
    """The schema without its identity: the name in it would be looked up, on the network where it is none that is
    known."""
    return {key: value for key, value in document.items() if key not in ("$id", "id", "$schema")}


def compile_validator(document: dict[str, Any], draft: str) -> jsonschema_rs.Validator:
    """The validator of a dereferenced schema. Raises BadSchemaError."""
    try:
        return _VALIDATORS[draft](
            anonymous(document), validate_formats=True, offline=True, pattern_options=PATTERN_OPTIONS
        )
    except jsonschema_rs.ValidationError as error:
        pointer = "/".join(str(step) for step in error.instance_path)
        reason = _pattern_reason(error) or f"this is not a valid JSON Schema: at /{pointer}: {_cut(error.message)}"
        raise BadSchemaError(reason) from error
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise BadSchemaError(f"this is not a valid JSON Schema: {_cut(str(error))}") from error


def faults(validator: jsonschema_rs.Validator, event: object) -> list[str]:
    """The faults of an event, each beginning with the path of the value; empty for a valid one."""
    if validator.is_valid(event):
        return []
    return [_told(error) for error in islice(validator.iter_errors(event), MAXIMUM_ERRORS)]


def _pattern_reason(error: jsonschema_rs.ValidationError) -> str | None:
    """Why a pattern is refused that another engine would take."""
    if error.kind.name != "format" or not isinstance(error.instance, str):
        return None
    pattern = error.instance
    pointer = "/".join(str(step) for step in error.instance_path)
    for option, reason in _refusals():
        try:
            jsonschema_rs.Draft7Validator({"pattern": pattern}, pattern_options=option)
        except ValueError:
            continue
        return f'at /{pointer}: the pattern "{_cut(pattern)}" {reason}'
    return None


def _refusals() -> Iterator[tuple[jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions, str]]:
    yield (
        jsonschema_rs.RegexOptions(size_limit=64 * MAXIMUM_PATTERN_BYTES),
        f"compiles to more than {MAXIMUM_PATTERN_BYTES} bytes; bound the length by minLength and maxLength instead of "
        "a count, and write short classes",
    )
    yield (
        jsonschema_rs.FancyRegexOptions(),
        "needs backtracking (lookahead, lookbehind or a reference back), which may take time without bound; write it "
        "without",
    )


def _told(error: jsonschema_rs.ValidationError) -> str:
    path = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in error.instance_path)
    return _cut(f"{path or '/'}: {error.message}")


def _cut(text: str) -> str:
    return text if len(text) <= MAXIMUM_MESSAGE else text[:MAXIMUM_MESSAGE] + "…"
