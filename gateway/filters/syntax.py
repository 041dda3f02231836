"""The checked syntax tree of an expression, read from the bytes that `Expression.serialize()` gives.

They are a `google.protobuf.Any` around `cel.expr.CheckedExpr` (cel-spec, proto/cel/expr: checked.proto, syntax.proto).
Only what bounds and narrows an evaluation is read. The numbers in this file are the field numbers of those messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

Wire = dict[int, list[int | bytes]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """`position` counts characters of the text from 0; -1 where the node was made by a macro."""

    position: int = -1


@dataclass(frozen=True, slots=True)
class Constant(Node):
    value: bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`operand.field`, or with `test_only`, `has(operand.field)`."""

    operand: Node
    field: str
    test_only: bool


@dataclass(frozen=True, slots=True)
class Call(Node):
    """Operators too are calls: `_&&_`, `_[_]`, `_?_:_`. `arguments` begins with the receiver, where there is one."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral(Node):
    """A map, or a message: there, the keys are none."""

    keys: tuple[Node, ...]
    values: tuple[Node, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Comprehension(Node):
    """What the macros `all`, `exists`, `exists_one`, `map` and `filter` become: a fold over a list or a map's keys."""

    variable: str
    second_variable: str
    accumulator: str
    iterated: Node
    initial: Node
    condition: Node
    step: Node
    result: Node


class UnreadableTree(Exception):
    """The bytes are not the messages that this file knows."""


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Select():
            return (node.operand,)
        case Call():
            return node.arguments
        case ListLiteral():
            return node.elements
        case MapLiteral():
            return node.keys + node.values
        case Comprehension():
            return (node.iterated, node.initial, node.condition, node.step, node.result)
    return ()


def walk(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(children(node))


def height(root: Node) -> int:
    """How many nodes lie in each other at the most; 1 for a constant."""
    level, deep = [root], 0
    while level:
        deep += 1
        level = [child for node in level for child in children(node)]
    return deep


def read_tree(serialized: bytes) -> Node:
    """The root of the tree. The C++ parser has bounded its depth, so that recursion is safe here."""
    try:
        checked = _read(_last_bytes(_read(serialized), 2))
        positions: dict[int, int] = {}
        for entry in _read(_last_bytes(checked, 5)).get(4, ()):
            pair = _read(_as_bytes(entry))
            positions[_last_integer(pair, 1)] = _last_integer(pair, 2)
        return _node(_last_bytes(checked, 4), positions)
    except (IndexError, ValueError, struct.error) as error:
        raise UnreadableTree(str(error)) from None


def _node(data: bytes, positions: dict[int, int]) -> Node:
    message = _read(data)
    position = positions.get(_last_integer(message, 2), -1)

    def below(holder: Wire, number: int) -> Node:
        return _node(_last_bytes(holder, number), positions)

    def all_below(holder: Wire, number: int) -> tuple[Node, ...]:
        return tuple(_node(_as_bytes(item), positions) for item in holder.get(number, ()))

    kind = next((number for number in message if number != 2), 0)
    body = _read(_last_bytes(message, kind))
    match kind:
        case 3:
            return Constant(_constant(body), position=position)
        case 4:
            return Identifier(_text(body, 1), position=position)
        case 5:
            return Select(below(body, 1), _text(body, 2), bool(_last_integer(body, 3)), position=position)
        case 6:
            receiver = (below(body, 1),) if 1 in body else ()
            return Call(_text(body, 2), receiver + all_below(body, 3), position=position)
        case 7:
            return ListLiteral(all_below(body, 1), position=position)
        case 8:
            entries = [_read(_as_bytes(entry)) for entry in body.get(2, ())]
            keys = tuple(below(entry, 3) for entry in entries if 3 in entry)
            values = tuple(below(entry, 4) for entry in entries)
            return MapLiteral(keys, values, _text(body, 1), position=position)
        case 9:
            return Comprehension(
                variable=_text(body, 1),
                second_variable=_text(body, 8),
                accumulator=_text(body, 3),
                iterated=below(body, 2),
                initial=below(body, 4),
                condition=below(body, 5),
                step=below(body, 6),
                result=below(body, 7),
                position=position,
            )
    raise UnreadableTree(f"an expression of kind {kind}")


def _constant(body: Wire) -> bool | int | float | str | bytes | None:
    for number, values in body.items():
        value = values[-1]
        if isinstance(value, bytes):
            return value.decode() if number == 6 else value
        match number:
            case 2:
                return bool(value)
            case 3:
                return value - (1 << 64) if value >= 1 << 63 else value
            case 4:
                return value
            case 5:
                return float(struct.unpack("<d", value.to_bytes(8, "little"))[0])
    return None


def _read(data: bytes) -> Wire:
    """The fields of one message by number (protobuf.dev/programming-guides/encoding)."""
    fields: Wire = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        value: int | bytes
        if wire_type == _VARINT:
            value, at = _varint(data, at)
        elif wire_type == _BYTES:
            length, at = _varint(data, at)
            if length > len(data) - at:
                raise UnreadableTree("a field is longer than its message")
            value, at = data[at : at + length], at + length
        elif wire_type in {_FIXED64, _FIXED32}:
            length = 8 if wire_type == _FIXED64 else 4
            value, at = int.from_bytes(data[at : at + length], "little"), at + length
        else:
            raise UnreadableTree(f"wire type {wire_type}")
        fields.setdefault(number, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise UnreadableTree("a number where a message was expected")
    return value


def _last_bytes(message: Wire, number: int) -> bytes:
    return _as_bytes(message.get(number, [b""])[-1])


def _last_integer(message: Wire, number: int) -> int:
    value = message.get(number, [0])[-1]
    if isinstance(value, bytes):
        raise UnreadableTree("bytes where a number was expected")
    return value


def _text(message: Wire, number: int) -> str:
    return _last_bytes(message, number).decode()
