"""Compares rules with the schemas of their streams: unknown members, types that cannot be right. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from gateway.catalog.derivation import Derivation, Expression
from gateway.definitions import Definitions
from gateway.derive.declared import declared
from gateway.intake.validate import InvalidEvent
from gateway.model.record import Record
from gateway.rules.dead import Dead, dead_record
from gateway.rules.rule import Request, Rule
from gateway.rules.template import expressions_of
from gateway.rules.tries import Tries


def check_rules(rules: Collection[Rule], definitions: Definitions, now: int, file: str) -> list[str]:
    """What is wrong with rules beside the schemas, each `file:line: rule: what`. A stream whose schema is in no
    repository is told of elsewhere."""
    return [
        f"{file}:{line}: {rule.name}: {text}"
        for rule in rules
        for line, text in (*_unknown(rule, definitions), *_not_taken(rule, definitions, now))
    ]


def open_dead(rules: Collection[Rule], definitions: Definitions, file: str) -> list[str]:
    """Rules that would show events of private streams to everybody, a line each."""
    streams, warnings = definitions.catalog.streams, []
    for rule in rules:
        private = [name for name in rule.sources if not streams[name].public]
        if private and streams[rule.dead_stream].public:
            warnings.append(
                f"{file}:{rule.line}: {rule.name}: the stream {private[0]} is private, and dead events go to "
                f"{rule.dead_stream}, which is public; set `public: false` on it, or choose another dead_stream"
            )
    return warnings


def _unknown(rule: Rule, definitions: Definitions) -> list[tuple[int, str]]:
    """Expressions that no event of the streams has a value for."""
    expressions = tuple((f"e{number}", one) for number, one in enumerate(_expressions(rule)))
    as_stream = Derivation(rule.sources, rule.where, expressions, allow_unknown=rule.allow_unknown, line=rule.line)
    return declared(as_stream, definitions.catalog.streams, definitions.schemas).mistakes


def _not_taken(rule: Rule, definitions: Definitions, now: int) -> list[tuple[int, str]]:
    """Where the dead stream takes no dead events."""
    catalog, schemas = definitions.catalog, definitions.schemas
    if schemas.taken_by(catalog.streams[rule.dead_stream]) is None:
        return []
    topic = catalog.streams[rule.sources[0]].topics[0]
    tries = Tries(rule.name, topic, 0, 0, now, 1, first=now)
    record, dead = Record(topic, 0, 0, now, None, b"{}"), Dead("it answers 500", 500, b"answer")
    try:
        dead_record(record, {}, tries, dead, rule.dead_stream, catalog, schemas, now)
    except InvalidEvent as error:
        return [(rule.line, f"{rule.dead_stream} takes no dead events: {error}")]
    return []


def _expressions(rule: Rule) -> Iterator[Expression]:
    """All but the condition."""
    if rule.key is not None:
        yield rule.key
    for action in rule.actions:
        if not isinstance(action, Request):
            yield from (expression for _, expression in action.select)
            continue
        yield from expressions_of(action.url.target)
        for _, template in action.headers:
            yield from expressions_of(template)
        yield from _in_tree(action.json)


def _in_tree(tree: Any) -> Iterator[Expression]:
    if isinstance(tree, Expression):
        yield tree
    elif isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _in_tree(part)
