"""Reads the `rules` of the configuration file, and finds every mistake in them with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Expression
from gateway.catalog.document import Findings, Located, did_you_mean
from gateway.catalog.part import Part
from gateway.catalog.quantity import MILLISECONDS
from gateway.catalog.stream_part import NAME_FORM
from gateway.derive.expression import condition, value
from gateway.limits.rates import Rate
from gateway.rules.action_part import ActionReader, check_expression, stream_to_write
from gateway.rules.policy_part import read_policy
from gateway.rules.rule import (
    DEFAULT_CONCURRENCY,
    MAXIMUM_CONCURRENCY,
    NO_LIMIT,
    Produce,
    Rule,
    replay_topic,
    retry_topic,
)

MAXIMUM_RULES = 100
"""In one configuration; each has a reader, a writer and topics of its own."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_LIMIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*(s|m|h)", re.ASCII)

_KEYS = (
    "allow_unknown",
    "concurrency",
    "dead_stream",
    "do",
    "give_up_after",
    "ignore",
    "key",
    "limit",
    "on",
    "ordered",
    "retry",
    "where",
)


def read_rules(part: Located | None, findings: Findings, catalog: Catalog) -> tuple[Rule, ...]:
    """The rules of a mapping from name to declaration, over these streams. Mistakes go to `findings`."""
    if part is None or part.value is None:
        return ()
    if not isinstance(part.value, dict) or len(part.value) > MAXIMUM_RULES:
        findings.mistake(part.line, f"rules is {part.kind}; it takes a mapping of up to {MAXIMUM_RULES} names to rules")
        return ()
    rules = []
    for name, item in part.value.items():
        if not _NAME.fullmatch(name):
            findings.mistake(item.line, f'"{name}" cannot be the name of a rule; a name is {NAME_FORM}')
        elif not isinstance(item.value, dict):
            findings.mistake(item.line, f"{name} is {item.kind}; a rule is a mapping, such as {{on: [a.stream], …}}")
        elif (rule := _Reader(name, item, findings, catalog).read()) is not None:
            rules.append(rule)
    _check_topics(rules, findings, catalog)
    _check_cycles(rules, findings, catalog)
    return tuple(rules)


def _check_topics(rules: Iterable[Rule], findings: Findings, catalog: Catalog) -> None:
    """The topics of a rule are nobody else's."""
    owners: dict[str, str] = dict.fromkeys(catalog.topics, "a stream")
    for rule in rules:
        for topic in (replay_topic(rule.name), *(retry_topic(rule.name, delay) for delay in rule.policy.delays)):
            if (owner := owners.setdefault(topic, f"the rule {rule.name}")) != f"the rule {rule.name}":
                findings.mistake(rule.line, f"{rule.name}: its topic {topic} is one of {owner}; choose another name")


def _check_cycles(rules: Iterable[Rule], findings: Findings, catalog: Catalog) -> None:
    """No event comes of itself, through whatever rules and derived streams."""
    made: dict[str, set[str]] = {}
    for stream in catalog.streams.values():
        for source in () if stream.derive is None else stream.derive.inputs:
            made.setdefault(source, set()).add(stream.name)
    for rule in rules:
        for source in rule.sources:
            made.setdefault(source, set()).update(_written(rule))
    for rule in rules:
        reached: set[str] = set()
        waiting = list(_written(rule))
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += made.get(name, ())
        for source in rule.sources:
            if source in reached:
                findings.mistake(
                    rule.line, f"{rule.name}: what it writes comes back to it, by {source}; an event goes round"
                )
                break


def _written(rule: Rule) -> set[str]:
    """The streams that it writes to."""
    return {action.stream for action in rule.actions if isinstance(action, Produce)} | {rule.dead_stream}


class _Reader(Part):
    """Reads one rule."""

    def __init__(self, name: str, item: Located, findings: Findings, catalog: Catalog) -> None:
        super().__init__(name, item, findings)
        self._catalog = catalog

    def read(self) -> Rule | None:
        before = len(self.findings.mistakes)
        self.check_keys(self.members, _KEYS, "a rule")
        sources = self._sources()
        actions = ActionReader(self, self._catalog).read()
        dead = stream_to_write(self, self._catalog, self.get("dead_stream"), "dead_stream", self.line)
        where, key = self._expression("where"), self._expression("key")
        if where is not None:
            check_expression(self, where, "where", condition)
        if key is not None:
            check_expression(self, key, "key", value)
        ordered = self.flag("ordered")
        if ordered and key is None:
            self.wrong(self.members["ordered"].line, "ordered is true, and there is no key whose events it could order")
        concurrency = self.number("concurrency", DEFAULT_CONCURRENCY, 1, MAXIMUM_CONCURRENCY)
        limit, policy = self._limit(), read_policy(self)
        if len(self.findings.mistakes) > before:
            return None
        unknown = self.flag("allow_unknown")
        return Rule(
            self.name, sources, actions, dead, where, key, ordered, concurrency, limit, policy, unknown, self.line
        )  # fmt: skip

    def _sources(self) -> tuple[str, ...]:
        form = "a list of at least one stream, such as [wiki.page-delete]"
        if self.get("on") is None:
            self.wrong(self.line, f"on is missing; it takes {form}")
        found: list[str] = []
        for name, line in self.words("on", form).items():
            stream = self._catalog.get(name)
            if stream is None:
                hint = did_you_mean(name, self._catalog.streams)
                self.wrong(line, f"on names {name}, and there is no such stream{hint}")
            elif stream.name in found:
                self.wrong(line, f"on names {stream.name} twice; keep one")
            else:
                found.append(stream.name)
        return tuple(found)

    def _expression(self, key: str) -> Expression | None:
        item = self.get(key)
        if item is None:
            return None
        if isinstance(item.value, bool):
            return Expression("true" if item.value else "false", item.line)
        if not isinstance(item.value, str):
            self.wrong(item.line, f"{key} is {item.kind}; it takes an expression, such as event.page_id")
            return None
        return Expression(item.value, item.line)

    def _limit(self) -> Rate:
        item = self.get("limit")
        if item is None:
            return NO_LIMIT
        found = _LIMIT.fullmatch(item.value) if isinstance(item.value, str) else None
        if found is None or float(found[1]) <= 0:
            self.wrong(item.line, f"limit is {item.kind}; it takes a number a second, minute or hour, such as 100/s")
            return NO_LIMIT
        rate = float(found[1]) * 1000 / MILLISECONDS[found[2]]
        return Rate(rate, max(1.0, rate / 10))
