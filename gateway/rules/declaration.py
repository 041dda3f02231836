"""Reads the `rules` of the configuration file, and finds every mistake in them with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Expression, Members
from gateway.catalog.document import Findings, Located, did_you_mean
from gateway.catalog.quantity import DURATION_FORM, MILLISECONDS, milliseconds
from gateway.catalog.stream_part import NAME_FORM, error_stream_fault
from gateway.derive.expression import condition, value
from gateway.errors import InvalidExpression
from gateway.limits.rates import Rate
from gateway.rules.attempt import DEFAULT_DELAYS, SERVER_ERRORS, Policy
from gateway.rules.rule import (
    DEFAULT_CONCURRENCY,
    DEFAULT_TIMEOUT,
    LONGEST_TIMEOUT,
    MAXIMUM_CONCURRENCY,
    NO_LIMIT,
    Action,
    Produce,
    Request,
    Rule,
    replay_topic,
    retry_topic,
    shown_delay,
)  # fmt: skip
from gateway.rules.template import Template, UrlTemplate, expressions_of, read_header_value, read_url

MAXIMUM_RULES = 100
MAXIMUM_ACTIONS = 10
MAXIMUM_HEADERS = 50
MAXIMUM_DELAYS = 10
MAXIMUM_DEPTH = 16
LONGEST_DELAY = 7 * 86_400_000
LONGEST_LIFE = 365 * 86_400_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_METHOD = re.compile(r"[A-Z]{3,20}", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_MEMBER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,99}", re.ASCII)
_LIMIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*(s|m|h)", re.ASCII)
_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE | re.ASCII)
_OWN_HEADERS = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "idempotency-key", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "traceparent", "transfer-encoding", "upgrade",
    "x-triggered-by",
})  # fmt: skip
"""Headers that the gateway writes, or that say how a message is cut."""

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
_REQUEST_KEYS = ("headers", "json", "method", "timeout", "url")
_PRODUCE_KEYS = ("select", "stream")
_STATUS_FORM = "a list of statuses, such as [5xx, 429]"
_Read = TypeVar("_Read")


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
        written = {action.stream for action in rule.actions if isinstance(action, Produce)} | {rule.dead_stream}
        for source in rule.sources:
            made.setdefault(source, set()).update(written)
    for rule in rules:
        reached: set[str] = set()
        written = {action.stream for action in rule.actions if isinstance(action, Produce)} | {rule.dead_stream}
        waiting = list(written)
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


class _Reader:
    """Reads one rule; what is wrong is told, and its default taken."""

    def __init__(self, name: str, item: Located, findings: Findings, catalog: Catalog) -> None:
        self._name = name
        self._line = item.line
        self._findings = findings
        self._catalog = catalog
        self._members: dict[str, Located] = item.value if isinstance(item.value, dict) else {}

    def read(self) -> Rule | None:
        before = len(self._findings.mistakes)
        self._check_keys(self._members, _KEYS, "a rule")
        sources = self._sources()
        actions = self._actions()
        dead = self._stream_to_write(self._get("dead_stream"), "dead_stream", self._line)
        where, key = self._expression("where"), self._expression("key")
        if where is not None:
            self._compiled(where, "where", lambda: condition(where))
        if key is not None:
            self._compiled(key, "key", lambda: value(key))
        ordered = self._flag("ordered")
        if ordered and key is None:
            self._wrong(
                self._members["ordered"].line, "ordered is true, and there is no key whose events it could order"
            )
        concurrency = self._number("concurrency", DEFAULT_CONCURRENCY, MAXIMUM_CONCURRENCY)
        limit, policy = self._limit(), self._policy()
        if len(self._findings.mistakes) > before:
            return None
        unknown = self._flag("allow_unknown")
        return Rule(
            self._name, sources, actions, dead, where, key, ordered, concurrency, limit, policy, unknown, self._line
        )  # fmt: skip

    def _wrong(self, line: int, text: str) -> None:
        self._findings.mistake(line, f"{self._name}: {text}")

    def _get(self, key: str) -> Located | None:
        item = self._members.get(key)
        return item if item is not None and item.value is not None else None

    def _check_keys(self, members: Mapping[str, Located], known: tuple[str, ...], what: str) -> None:
        for key, item in members.items():
            if key not in known:
                self._wrong(item.line, f"{what} has no {key}{did_you_mean(key, known)}; it takes {', '.join(known)}")

    # What it is about.

    def _sources(self) -> tuple[str, ...]:
        item = self._get("on")
        form = "a list of at least one stream, such as [wiki.page-delete]"
        if item is None or not isinstance(item.value, list) or not item.value:
            self._wrong(item.line if item else self._line, f"on is {item.kind if item else 'missing'}; it takes {form}")
            return ()
        found: list[str] = []
        for entry in item.value:
            stream = self._catalog.get(entry.value) if isinstance(entry.value, str) else None
            if not isinstance(entry.value, str):
                self._wrong(entry.line, f"on holds {entry.kind}; it takes {form}")
            elif stream is None:
                hint = did_you_mean(entry.value, self._catalog.streams)
                self._wrong(entry.line, f"on names {entry.value}, and there is no such stream{hint}")
            elif stream.name in found:
                self._wrong(entry.line, f"on names {stream.name} twice; keep one")
            else:
                found.append(stream.name)
        return tuple(found)

    def _expression(self, key: str) -> Expression | None:
        item = self._get(key)
        if item is None:
            return None
        if isinstance(item.value, bool):
            return Expression("true" if item.value else "false", item.line)
        if not isinstance(item.value, str):
            self._wrong(item.line, f"{key} is {item.kind}; it takes an expression, such as event.page_id")
            return None
        return Expression(item.value, item.line)

    def _compiled(self, expression: Expression, what: str, compile_: Callable[[], object]) -> None:
        try:
            compile_()
        except InvalidExpression as error:
            self._wrong(expression.line, f"{what}: {error}")

    # What it does.

    def _actions(self) -> tuple[Action, ...]:
        item = self._get("do")
        form = f"a list of up to {MAXIMUM_ACTIONS} actions, such as [{{request: {{method: POST, url: …}}}}]"
        if item is None or not isinstance(item.value, list) or not 0 < len(item.value) <= MAXIMUM_ACTIONS:
            self._wrong(item.line if item else self._line, f"do is {item.kind if item else 'missing'}; it takes {form}")
            return ()
        return tuple(action for entry in item.value if (action := self._action(entry)) is not None)

    def _action(self, entry: Located) -> Action | None:
        members = entry.value if isinstance(entry.value, dict) else {}
        if len(members) != 1 or next(iter(members)) not in ("request", "produce"):
            self._wrong(entry.line, "an action is {request: …} or {produce: …}")
            return None
        ((kind, item),) = members.items()
        if not isinstance(item.value, dict):
            self._wrong(item.line, f"{kind} is {item.kind}; it takes a mapping")
            return None
        return self._request(item, item.value) if kind == "request" else self._produce(item, item.value)

    def _request(self, item: Located, members: Mapping[str, Located]) -> Request | None:
        self._check_keys(members, _REQUEST_KEYS, "a request")
        method = members.get("method")
        name = "POST" if method is None else method.value
        if not isinstance(name, str) or not _METHOD.fullmatch(name) or name in ("CONNECT", "TRACE"):
            self._wrong(method.line if method else item.line, "method takes one such as POST, in capital letters")
            name = "POST"
        url = members.get("url")
        if url is None or not isinstance(url.value, str):
            self._wrong(url.line if url else item.line, "a request takes a url, such as https://cache.example/purge")
            return None
        read = self._template(url, "url", read_url)
        headers = self._headers(members.get("headers"))
        document = members.get("json")
        tree = None if document is None else self._tree(document, 0)
        timeout = self._span(members.get("timeout"), "timeout", DEFAULT_TIMEOUT, LONGEST_TIMEOUT)
        if read is None:
            return None
        return Request(name, read, headers, tree, document is not None, timeout, item.line)

    def _headers(self, item: Located | None) -> tuple[tuple[str, Template], ...]:
        if item is None or item.value is None:
            return ()
        if not isinstance(item.value, dict) or len(item.value) > MAXIMUM_HEADERS:
            self._wrong(
                item.line, f"headers is {item.kind}; it takes a mapping of up to {MAXIMUM_HEADERS} names to texts"
            )
            return ()
        found: dict[str, Template] = {}
        for name, text in item.value.items():
            own = name.lower() in _OWN_HEADERS
            if not _HEADER.fullmatch(name) or own or name.lower() in found:
                why = "is written by the gateway" if own else "cannot be the name of a header, or is given twice"
                self._wrong(text.line, f'headers: "{name}" {why}')
            elif not isinstance(text.value, str):
                self._wrong(text.line, f"headers: {name} is {text.kind}; it takes a text (in quotes)")
            elif (template := self._template(text, f"headers: {name}", read_header_value)) is not None:
                found[name.lower()] = template
        return tuple(found.items())

    def _template(self, item: Located, what: str, read: Callable[[str, int], _Read]) -> _Read | None:
        try:
            found = read(str(item.value), item.line)
        except ValueError as error:
            self._wrong(item.line, f"{what}: {error}")
            return None
        template = found.target if isinstance(found, UrlTemplate) else found
        if isinstance(template, Template):
            for expression in expressions_of(template):
                self._value(expression, f"{what}: {{{expression.text}}}")
        return found

    def _value(self, expression: Expression, what: str) -> None:
        self._compiled(expression, what, lambda: value(expression))

    def _tree(self, item: Located, depth: int) -> Any:
        """A document in which each text is an expression."""
        if depth > MAXIMUM_DEPTH:
            self._wrong(item.line, f"json is nested more than {MAXIMUM_DEPTH} times")
            return None
        if isinstance(item.value, dict):
            return {name: self._tree(part, depth + 1) for name, part in item.value.items()}
        if isinstance(item.value, list):
            return [self._tree(part, depth + 1) for part in item.value]
        if isinstance(item.value, str):
            expression = Expression(item.value, item.line)
            self._value(expression, "json")
            return expression
        return item.value

    def _produce(self, item: Located, members: Mapping[str, Located]) -> Produce | None:
        self._check_keys(members, _PRODUCE_KEYS, "produce")
        name = self._stream_to_write(members.get("stream"), "stream of produce", item.line)
        select = members.get("select")
        chosen: list[tuple[str, Expression]] = []
        if select is not None and (not isinstance(select.value, dict) or not select.value):
            self._wrong(select.line, f"select is {select.kind}; it takes members, such as {{title: event.title}}")
        elif select is not None and isinstance(select.value, dict):
            for member, text in select.value.items():
                if not isinstance(text.value, str) or not _MEMBER.fullmatch(member) or member in ("meta", "$schema"):
                    self._wrong(
                        text.line, f"select: {member} takes an expression (in quotes), and is not meta or $schema"
                    )
                    continue
                expression = Expression(text.value, text.line)
                self._value(expression, f"select: {member}")
                chosen.append((member, expression))
        members_chosen: Members = tuple(chosen)
        return Produce(name, members_chosen, item.line)

    def _stream_to_write(self, item: Located | None, what: str, line: int) -> str:
        """The name of a stream that takes events."""
        if item is None or not isinstance(item.value, str):
            found = "missing" if item is None else item.kind
            self._wrong(item.line if item else line, f"{what} is {found}; it takes the name of a stream")
            return ""
        stream = self._catalog.streams.get(item.value)
        if (fault := error_stream_fault(item.value, self._catalog.streams)) is not None:
            self._wrong(item.line, f"{what} {fault}")
        elif stream is not None and stream.derive is not None:
            self._wrong(item.line, f"{what} is {item.value}, which is made of other streams, and takes nothing else")
        return item.value

    # What follows.

    def _policy(self) -> Policy:
        retry = self._get("retry")
        members: dict[str, Located] = {}
        if retry is not None and not isinstance(retry.value, dict):
            self._wrong(retry.line, f"retry is {retry.kind}; it takes {{on: [5xx, 429], after: [30s, 5m, 1h]}}")
        elif retry is not None and isinstance(retry.value, dict):
            members = retry.value
            self._check_keys(members, ("after", "on"), "retry")
        give_up = self._get("give_up_after")
        return Policy(
            self._statuses(members.get("on"), "on", SERVER_ERRORS, words=("timeout",)),
            self._statuses(self._get("ignore"), "ignore", frozenset()),
            self._delays(members.get("after")),
            None if give_up is None else self._span(give_up, "give_up_after", LONGEST_LIFE, LONGEST_LIFE),
        )

    def _statuses(
        self, item: Located | None, what: str, default: frozenset[int], words: tuple[str, ...] = ()
    ) -> frozenset[int]:
        if item is None:
            return default
        if not isinstance(item.value, list):
            self._wrong(item.line, f"{what} is {item.kind}; it takes {_STATUS_FORM}")
            return default
        found: set[int] = set()
        for entry in item.value:
            status = entry.value
            if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
                found.add(status)
            elif isinstance(status, str) and (group := _CLASS.fullmatch(status)):
                found.update(range(int(group[1]) * 100, int(group[1]) * 100 + 100))
            elif status not in words:
                # A connection that times out is always tried again; to say so does no harm.
                self._wrong(entry.line, f"{what} holds {entry.kind}; it takes {_STATUS_FORM}")
        return frozenset(found)

    def _delays(self, item: Located | None) -> tuple[int, ...]:
        if item is None:
            return DEFAULT_DELAYS
        form = f"a list of up to {MAXIMUM_DELAYS} spans that become longer, such as [30s, 5m, 1h]"
        if not isinstance(item.value, list) or len(item.value) > MAXIMUM_DELAYS:
            self._wrong(item.line, f"after is {item.kind}; it takes {form}")
            return ()
        delays: list[int] = []
        for entry in item.value:
            delay = self._span(entry, "after", 0, LONGEST_DELAY)
            if delay and delays and delay <= delays[-1]:
                self._wrong(
                    entry.line, f"after has {shown_delay(delay)} behind {shown_delay(delays[-1])}; it takes {form}"
                )
            elif delay:
                delays.append(delay)
        return tuple(delays)

    def _span(self, item: Located | None, what: str, default: int, longest: int) -> int:
        """Milliseconds, from 1 on."""
        if item is None:
            return default
        amount = milliseconds(item.value) if isinstance(item.value, str) else None
        if not amount or amount > longest:
            self._wrong(item.line, f"{what} is {item.kind}; it takes {DURATION_FORM}, up to {shown_delay(longest)}")
            return default
        return amount

    def _limit(self) -> Rate:
        item = self._get("limit")
        if item is None:
            return NO_LIMIT
        found = _LIMIT.fullmatch(item.value) if isinstance(item.value, str) else None
        if found is None or float(found[1]) <= 0:
            self._wrong(item.line, f"limit is {item.kind}; it takes a number a second, minute or hour, such as 100/s")
            return NO_LIMIT
        rate = float(found[1]) * 1000 / MILLISECONDS[found[2]]
        return Rate(rate, max(1.0, rate / 10))

    def _flag(self, key: str) -> bool:
        item = self._get(key)
        if item is not None and not isinstance(item.value, bool):
            self._wrong(item.line, f"{key} is {item.kind}; it takes true or false")
        return item is not None and item.value is True

    def _number(self, key: str, default: int, most: int) -> int:
        item = self._get(key)
        if item is None:
            return default
        number = item.value
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            self._wrong(item.line, f"{key} is {item.kind}; it takes a whole number from 1 to {most}")
            return default
        return number
