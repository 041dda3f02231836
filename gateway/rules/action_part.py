"""Reads the `do` of a rule: its requests, and the events that it produces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Expression, Members
from gateway.catalog.document import Located
from gateway.catalog.part import Part
from gateway.catalog.stream_part import error_stream_fault
from gateway.derive.expression import value
from gateway.errors import InvalidExpression
from gateway.rules.rule import DEFAULT_TIMEOUT, LONGEST_TIMEOUT, Action, Produce, Request
from gateway.rules.template import (
    Template,
    UrlTemplate,
    expressions_of,
    read_header_value,
    read_secret_header,
    read_url,
)
from gateway.secret_files import read_secret

MAXIMUM_ACTIONS = 10
"""Of one rule."""
MAXIMUM_HEADERS = 50
"""Of one request."""
MAXIMUM_DEPTH = 16
"""Nesting of `json`."""

_METHOD = re.compile(r"[A-Z]{3,20}", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_MEMBER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,99}", re.ASCII)
_OWN_HEADERS = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "idempotency-key", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "traceparent", "transfer-encoding", "upgrade",
    "x-triggered-by",
})  # fmt: skip
"""Headers that the gateway writes, or that say how a message is cut."""

_TWIN = "_file"
"""How the name of a header ends whose value stands in a file."""
_REQUEST_KEYS = ("headers", "json", "method", "timeout", "url")
_PRODUCE_KEYS = ("select", "stream")
_Read = TypeVar("_Read")


class ActionReader:
    """Reads the actions of one rule, and reports their mistakes as the rule's."""

    def __init__(self, part: Part, catalog: Catalog) -> None:
        self._part = part
        self._catalog = catalog

    def read(self) -> tuple[Action, ...]:
        """The actions of `do`, in order."""
        item = self._part.get("do")
        form = f"a list of up to {MAXIMUM_ACTIONS} actions, such as [{{request: {{method: POST, url: …}}}}]"
        if item is None or not isinstance(item.value, list) or not 0 < len(item.value) <= MAXIMUM_ACTIONS:
            self._part.wrong(
                item.line if item else self._part.line, f"do is {item.kind if item else 'missing'}; it takes {form}"
            )
            return ()
        return tuple(action for entry in item.value if (action := self._action(entry)) is not None)

    def _action(self, entry: Located) -> Action | None:
        members = entry.value if isinstance(entry.value, dict) else {}
        if len(members) != 1 or next(iter(members)) not in ("request", "produce"):
            self._part.wrong(entry.line, "an action is {request: …} or {produce: …}")
            return None
        ((kind, item),) = members.items()
        if not isinstance(item.value, dict):
            self._part.wrong(item.line, f"{kind} is {item.kind}; it takes a mapping")
            return None
        return self._request(item, item.value) if kind == "request" else self._produce(item, item.value)

    def _request(self, item: Located, members: Mapping[str, Located]) -> Request | None:
        self._part.check_keys(members, _REQUEST_KEYS, "a request")
        method = members.get("method")
        name = "POST" if method is None else method.value
        if not isinstance(name, str) or not _METHOD.fullmatch(name) or name in ("CONNECT", "TRACE"):
            self._part.wrong(method.line if method else item.line, "method takes one such as POST, in capital letters")
            name = "POST"
        url = members.get("url")
        if url is None or not isinstance(url.value, str):
            self._part.wrong(
                url.line if url else item.line, "a request takes a url, such as https://cache.example/purge"
            )
            return None
        read = self._template(url, "url", read_url)
        headers = self._headers(members.get("headers"))
        document = members.get("json")
        tree = None if document is None else self._tree(document, 0)
        timeout = self._part.span(members.get("timeout"), "timeout", DEFAULT_TIMEOUT, LONGEST_TIMEOUT)
        if read is None:
            return None
        return Request(name, read, headers, tree, document is not None, timeout, item.line)

    def _headers(self, item: Located | None) -> tuple[tuple[str, Template], ...]:
        if item is None or item.value is None:
            return ()
        if not isinstance(item.value, dict) or len(item.value) > MAXIMUM_HEADERS:
            self._part.wrong(
                item.line, f"headers is {item.kind}; it takes a mapping of up to {MAXIMUM_HEADERS} names to texts"
            )
            return ()
        found: dict[str, Template] = {}
        keys: dict[str, str] = {}
        for key, text in item.value.items():
            in_file = key.lower().endswith(_TWIN)
            name = (key[: -len(_TWIN)] if in_file else key).lower()
            first = keys.setdefault(name, key)
            if not _HEADER.fullmatch(name) or name in _OWN_HEADERS:
                why = "is written by the gateway" if name in _OWN_HEADERS else "cannot be the name of a header"
                self._part.wrong(text.line, f'headers: "{key}" {why}')
            elif first != key:
                self._part.wrong(text.line, f"headers: {first} and {key} are both given; keep one of them")
            elif (template := self._secret(key, text) if in_file else self._header(key, text)) is not None:
                found[name] = template
        return tuple(found.items())

    def _header(self, key: str, item: Located) -> Template | None:
        if not isinstance(item.value, str):
            self._part.wrong(item.line, f"headers: {key} is {item.kind}; it takes a text (in quotes)")
            return None
        return self._template(item, f"headers: {key}", read_header_value)

    def _secret(self, key: str, item: Located) -> Template | None:
        """The value of a header, as it stands in a file now."""
        if not isinstance(item.value, str):
            self._part.wrong(item.line, f"headers: {key} is {item.kind}; it takes the path of a file")
            return None
        try:
            return read_secret_header(read_secret(item.value), item.line)
        except ValueError as error:
            self._part.wrong(item.line, f"headers: {key}: {error}")
            return None

    def _template(self, item: Located, what: str, read: Callable[[str, int], _Read]) -> _Read | None:
        try:
            found = read(str(item.value), item.line)
        except ValueError as error:
            self._part.wrong(item.line, f"{what}: {error}")
            return None
        template = found.target if isinstance(found, UrlTemplate) else found
        if isinstance(template, Template):
            for expression in expressions_of(template):
                self._value(expression, f"{what}: {{{expression.text}}}")
        return found

    def _value(self, expression: Expression, what: str) -> None:
        check_expression(self._part, expression, what, value)

    def _tree(self, item: Located, depth: int) -> Any:
        """A document in which each text is an expression."""
        if depth > MAXIMUM_DEPTH:
            self._part.wrong(item.line, f"json is nested more than {MAXIMUM_DEPTH} times")
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
        self._part.check_keys(members, _PRODUCE_KEYS, "produce")
        name = stream_to_write(self._part, self._catalog, members.get("stream"), "stream of produce", item.line)
        select = members.get("select")
        chosen: list[tuple[str, Expression]] = []
        if select is not None and (not isinstance(select.value, dict) or not select.value):
            self._part.wrong(select.line, f"select is {select.kind}; it takes members, such as {{title: event.title}}")
        elif select is not None and isinstance(select.value, dict):
            for member, text in select.value.items():
                if not isinstance(text.value, str) or not _MEMBER.fullmatch(member) or member in ("meta", "$schema"):
                    self._part.wrong(
                        text.line, f"select: {member} takes an expression (in quotes), and is not meta or $schema"
                    )
                    continue
                expression = Expression(text.value, text.line)
                self._value(expression, f"select: {member}")
                chosen.append((member, expression))
        members_chosen: Members = tuple(chosen)
        return Produce(name, members_chosen, item.line)


def stream_to_write(part: Part, catalog: Catalog, item: Located | None, what: str, line: int) -> str:
    """The name of a stream that takes events."""
    if item is None or not isinstance(item.value, str):
        found = "missing" if item is None else item.kind
        part.wrong(item.line if item else line, f"{what} is {found}; it takes the name of a stream")
        return ""
    stream = catalog.streams.get(item.value)
    if (fault := error_stream_fault(item.value, catalog.streams)) is not None:
        part.wrong(item.line, f"{what} {fault}")
    elif stream is not None and stream.derive is not None:
        part.wrong(item.line, f"{what} is {item.value}, which is made of other streams, and takes nothing else")
    return item.value


def check_expression(part: Part, expression: Expression, what: str, compiled: Callable[[Expression], object]) -> None:
    """Report why an expression cannot be compiled; `what` is what it is, for a message."""
    try:
        compiled(expression)
    except InvalidExpression as error:
        part.wrong(expression.line, f"{what}: {error}")
