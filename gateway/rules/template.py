"""Texts with expressions in braces. The value of an expression cannot leave its place. Pure.

A value is encoded for its place: a part of a path, a part of a query, a header. Scheme, host and port are constants.
So no event can choose the server, or begin another header. A value that would step out of a path is refused: servers
decode `%2E%2E` before they remove such parts (WHATWG URL), and some `%2F` as well (nginx).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import orjson

from gateway.catalog.derivation import Expression
from gateway.errors import GatewayError
from gateway.filters.values import Error
from gateway.model.record import Record

LONGEST_TARGET = 8_000
"""Bytes of a path with its query; servers refuse longer ones (RFC 9112 section 3)."""
LONGEST_HEADER = 8_000
"""Bytes of the value of one header."""
MOST_EXPRESSIONS = 50
"""In one template."""

Value = Callable[[dict[str, Any], Record], Any]
Compile = Callable[[Expression], Value]

_SCHEME_AND_HOST = re.compile(r"(https?)://([^/?#{}\s]+)", re.IGNORECASE)
_LITERAL_TARGET = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_LITERAL_HEADER = re.compile(r"[\x20-\x7e]*", re.ASCII)
_SEPARATOR = re.compile(r"[/\\]")
"""What separates the parts of a path for some server."""
_UNSAFE_HEADER = re.compile(rb"[^\x20-\x7e]|^\x20|\x20$")


class Unfillable(GatewayError):
    """An event for which a template has no value; says why."""


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and expressions, in turn; it begins with a text, which may be empty. A `secret` is shown to
    nobody."""

    parts: tuple[str | Expression, ...]
    line: int = 0
    secret: bool = False


@dataclass(frozen=True, slots=True)
class UrlTemplate:
    """Scheme, host and port are constants; `target` is the path and the query."""

    scheme: str
    host: str
    port: int
    target: Template

    @property
    def authority(self) -> str:
        """What the header `host` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


def read_template(text: str, line: int) -> Template:
    """The parts of a text; `{{` and `}}` stand for single braces. Raises ValueError that says what is wrong."""
    parts: list[str | Expression] = [""]
    position = 0
    while position < len(text):
        character = text[position]
        if text.startswith(("{{", "}}"), position):
            parts[-1] = str(parts[-1]) + character
            position += 2
        elif character == "{":
            end = _end_of_expression(text, position + 1)
            parts += [Expression(text[position + 1 : end].strip(), line), ""]
            position = end + 1
        elif character == "}":
            raise ValueError("a } stands alone; write }} for the character")
        else:
            parts[-1] = str(parts[-1]) + character
            position += 1
    if len(parts) // 2 > MOST_EXPRESSIONS:
        raise ValueError(f"it has {len(parts) // 2} expressions; at most {MOST_EXPRESSIONS} are allowed")
    return Template(tuple(parts), line)


def read_url(text: str, line: int) -> UrlTemplate:
    """An address whose path and query may hold expressions. Raises ValueError that says what is wrong."""
    found = _SCHEME_AND_HOST.match(text)
    rest = text[found.end() :] if found else ""
    if found is None or (rest and rest[0] not in "/?"):
        raise ValueError(
            "it takes http:// or https:// and a host that is written out, such as https://cache.example/purge/{event.id}"
        )
    try:
        parts = urlsplit(found[0])
        host, port, scheme = parts.hostname, parts.port, parts.scheme.lower()
        if host is None or parts.username is not None or parts.password is not None:
            raise ValueError
        if ":" not in host:
            host = host.encode("idna").decode().lower()
    except (ValueError, UnicodeError):
        raise ValueError(f"{found[0]} is no scheme, host and port, such as https://cache.example:8443") from None
    target = read_template(rest if rest.startswith("/") else f"/{rest}", line)
    for literal in target.parts[::2]:
        if not _LITERAL_TARGET.fullmatch(str(literal)):
            raise ValueError("its path and query take what RFC 3986 allows there, without a #; write the rest as %20")
    if _has_dots(_path_of(target)):
        raise ValueError("its path has a part . or ..; write the path that is meant")
    return UrlTemplate(scheme, host, port or {"http": 80, "https": 443}[scheme], target)


def read_header_value(text: str, line: int) -> Template:
    """The value of a header. Raises ValueError that says what is wrong."""
    template = read_template(text, line)
    if not all(_LITERAL_HEADER.fullmatch(str(literal)) for literal in template.parts[::2]):
        raise ValueError("it takes what ASCII can print")
    return template


def read_secret_header(text: str, line: int) -> Template:
    """The value of a header that is a secret, without expressions. Raises ValueError that repeats nothing of it."""
    value = text.strip()
    if not _LITERAL_HEADER.fullmatch(value):
        raise ValueError("it holds something else than what ASCII can print on one line")
    if len(value) > LONGEST_HEADER:
        raise ValueError(f"it holds {len(value)} bytes, and {LONGEST_HEADER} are allowed in a header")
    return Template((value,), line, secret=True)


def target_of(template: Template, compile_: Compile) -> Callable[[dict[str, Any], Record], str]:
    """A function that fills a path and query in. It raises Unfillable."""
    parts = _compiled(template, compile_)

    def fill(event: dict[str, Any], record: Record) -> str:
        # Where a value stands alone between two slashes, a server would take an empty one for nothing.
        path = [""]
        filled = [False]
        query: list[str] | None = None
        for part in parts:
            if isinstance(part, str):
                literal, mark, asked = (part, "", "") if query is not None else part.partition("?")
                if query is not None:
                    query.append(literal)
                    continue
                first, *others = literal.split("/")
                path[-1] += first
                path += others
                filled += [False] * len(others)
                if mark:
                    query = [asked]
            elif query is not None:
                query.append(quote(_text(part(event, record)), safe=""))
            else:
                path[-1] += quote(_text(part(event, record)), safe="")
                filled[-1] = True
        for index, segment in enumerate(path):
            if filled[index] and not segment:
                raise Unfillable("a part of the path would be empty")
            if filled[index] and _has_dots(segment):
                raise Unfillable("a part of the path would be . or .., which leads to another path")
        target = "/".join(path) + ("" if query is None else "?" + "".join(query))
        if len(target) > LONGEST_TARGET:
            raise Unfillable(f"the path and query would have {len(target)} bytes, and {LONGEST_TARGET} are allowed")
        return target

    return fill


def header_of(template: Template, compile_: Compile) -> Callable[[dict[str, Any], Record], bytes]:
    """A function that fills a header in. It raises Unfillable."""
    parts = _compiled(template, compile_)

    def fill(event: dict[str, Any], record: Record) -> bytes:
        text = "".join(part if isinstance(part, str) else _text(part(event, record)) for part in parts)
        value = _UNSAFE_HEADER.sub(lambda found: b"%%%02X" % found[0][0], text.encode())
        if len(value) > LONGEST_HEADER:
            raise Unfillable(f"a header would have {len(value)} bytes, and {LONGEST_HEADER} are allowed")
        return value

    return fill


def json_of(tree: Any, compile_: Compile) -> Callable[[dict[str, Any], Record], bytes]:
    """A function that makes a document of a tree in which texts are expressions. A member whose expression fails is
    left out; an element of a list is null. It raises Unfillable where there is nothing left."""
    make = _maker(tree, compile_)

    def fill(event: dict[str, Any], record: Record) -> bytes:
        value = make(event, record)
        if value.__class__ is Error:
            raise Unfillable(f"json: {value.reason}")
        try:
            return orjson.dumps(value)
        except orjson.JSONEncodeError as error:
            raise Unfillable(f"json: {error}") from None

    return fill


def _maker(tree: Any, compile_: Compile) -> Value:
    if isinstance(tree, Expression):
        return compile_(tree)
    if isinstance(tree, dict):
        members = [(name, _maker(part, compile_)) for name, part in tree.items()]

        def make_object(event: dict[str, Any], record: Record) -> Any:
            values = ((name, make(event, record)) for name, make in members)
            return {name: value for name, value in values if value.__class__ is not Error}

        return make_object
    if isinstance(tree, list):
        elements = [_maker(part, compile_) for part in tree]

        def make_list(event: dict[str, Any], record: Record) -> Any:
            values = [make(event, record) for make in elements]
            return [None if value.__class__ is Error else value for value in values]

        return make_list
    return lambda event, record: tree


def _compiled(template: Template, compile_: Compile) -> list[str | Value]:
    return [part if isinstance(part, str) else compile_(part) for part in template.parts]


def _text(value: Any) -> str:
    """How a value is written in a path, a query or a header. Raises Unfillable."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unfillable("a text holds half of a character") from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return orjson.dumps(value).decode()
    if value.__class__ is Error:
        raise Unfillable(f"an expression has no value: {value.reason}")
    raise Unfillable("a value is null, a list or a map, which has no place there")


def _has_dots(path: str) -> bool:
    """Whether a path has a part that servers remove, once they have decoded it."""
    return any(part in (".", "..") for part in _SEPARATOR.split(unquote(path)))


def _path_of(target: Template) -> str:
    """The literal path, with a mark where a value stands."""
    return "\0".join(str(part) for part in target.parts[::2]).partition("?")[0]


def _end_of_expression(text: str, position: int) -> int:
    """Where the brace stands that ends an expression: not within a text or within braces of its own."""
    depth, quoted = 0, ""
    while position < len(text):
        character = text[position]
        if quoted:
            if character == "\\":
                position += 1
            elif character == quoted:
                quoted = ""
        elif character in "\"'":
            quoted = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if not depth:
                return position
            depth -= 1
        position += 1
    raise ValueError("a { has no } that ends it; write {{ for the character")


def expressions_of(template: Template) -> list[Expression]:
    """Those in it."""
    return [part for part in template.parts if isinstance(part, Expression)]
