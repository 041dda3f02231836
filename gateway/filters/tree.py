"""The tree of an expression. A node never changes once it is made; `position` counts characters of the text from 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Node:
    """Any part of an expression."""

    position: int


@dataclass(slots=True)
class Constant(Node):
    """A literal: null, a boolean, a number, a text or bytes."""

    value: Any


@dataclass(slots=True)
class Name(Node):
    """A variable; one that begins with a dot is not that of a macro."""

    name: str


@dataclass(slots=True)
class Select(Node):
    """`operand.field`"""

    operand: Node
    field: str


@dataclass(slots=True)
class Has(Node):
    """`has(operand.field)`"""

    operand: Node
    field: str


@dataclass(slots=True)
class Call(Node):
    """A function. `arguments` begins with the receiver where it is a member (`text.size()`).

    Operators are functions by their sign: `!_` and `-_` have one argument, `[]` two, `?:` three, `&&` and `||` two or
    more.
    """

    function: str
    arguments: tuple[Node, ...]
    member: bool = False


@dataclass(slots=True)
class ListOf(Node):
    """`[a, b]`"""

    elements: tuple[Node, ...]


@dataclass(slots=True)
class MapOf(Node):
    """`{a: b}`"""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(slots=True)
class Loop(Node):
    """A macro: `all`, `exists`, `exists_one`, `filter`, or `map`, perhaps of those alone for which `keep` is true."""

    kind: str
    over: Node
    variable: str
    body: Node
    keep: Node | None = None


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below."""
    match node:
        case Select(operand=operand) | Has(operand=operand):
            return (operand,)
        case Call(arguments=arguments):
            return arguments
        case ListOf(elements=elements):
            return elements
        case MapOf(entries=entries):
            return tuple(each for entry in entries for each in entry)
        case Loop():
            return (node.over, node.body) if node.keep is None else (node.over, node.keep, node.body)
    return ()


def walk(root: Node) -> Iterator[Node]:
    """The node and all below it."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(children(node))


def start(node: Node) -> int:
    """Where its text begins: that of `a + b` at the `a`, though the node is placed at its sign."""
    while True:
        match node:
            case Select(operand=first) | Loop(over=first):
                pass
            case Call(arguments=(first, *_)) if node.member or first.position < node.position:
                pass
            case _:
                return node.position
        node = first


def dotted(node: Node) -> str | None:
    """`a.b.c` as it is written, where the node is that."""
    names: list[str] = []
    while isinstance(node, Select):
        names.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(names)]) if isinstance(node, Name) else None


def event_path(node: Node, hidden: bool = False) -> tuple[str, ...]:
    """The names that lead to a member of the event; none where the node is no member of it. `hidden`: the name `event`
    is that of a macro's variable here."""
    names: list[str] = []
    while True:
        match node:
            case Select(operand=operand, field=name):
                pass
            case Call(function="[]", arguments=(operand, Constant(value=str() as name))):
                pass
            case Name(name=".event"):
                return tuple(reversed(names))
            case Name(name="event") if not hidden:
                return tuple(reversed(names))
            case _:
                return ()
        names.append(name)
        node = operand
