"""Writes values in Avro's binary encoding, of the JSON that `forms/avro.py` makes of them, which is read again.

A value of a union is of the first branch that it fits. Of those for numbers, whole numbers come first and float last:
a number is stored exactly where one of them holds it. To see that a branch does not fit may take as long as to write
it, and each level of the value may have a union: the steps of one value are counted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import BadRecord
from gateway.forms.avro_texts import Misfit, from_base64, inverse, shown
from gateway.forms.avro_values import DECIMAL_BYTES, conversion
from gateway.text import printable

_STEPS = 20_000
_STEPS_A_BYTE = 2
"""Steps of one value, and more of them for each byte of its JSON."""


class _Target:
    """What was written, and the steps that are left."""

    __slots__ = ("left", "out")

    def __init__(self, steps: int) -> None:
        self.out = bytearray()
        self.left = steps


Write = Callable[[Any, _Target], None]


class AvroWriter:
    """The writer of one schema that an AvroReader was made of. `referred` as there."""

    def __init__(self, parsed: Any, referred: tuple[Any, ...] = ()) -> None:
        compiler = _Compiler()
        for one in referred:
            compiler.compile(one, "")
        self._write = compiler.compile(parsed, "")

    def write(self, value: Any, size: int) -> bytes:
        """The bytes of a value; `size` are those of its JSON. Raises BadRecord."""
        target = _Target(_STEPS + _STEPS_A_BYTE * size)
        try:
            self._write(value, target)
        except Misfit as error:
            raise BadRecord(f"it is not what its Avro schema describes: {printable(str(error))}") from None
        except RecursionError:
            raise BadRecord("nested too deep to be written in Avro") from None
        return bytes(target.out)


def _long(number: int, target: _Target) -> None:
    left = (number << 1) ^ (number >> 63)
    out = target.out
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    out.append(left)


def _whole(bits: int) -> Write:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def write(value: Any, target: _Target) -> None:
        # A JSON number may be written 1.0 and mean 1; the reader gives whole numbers without a fraction.
        if type(value) is not int or not low <= value <= high:
            raise Misfit(f"{shown(value)} is no whole number of {bits} bits")
        _long(value, target)

    return write


def _null(value: Any, target: _Target) -> None:
    if value is not None:
        raise Misfit(f"{shown(value)} is not null")


def _boolean(value: Any, target: _Target) -> None:
    if type(value) is not bool:
        raise Misfit(f"{shown(value)} is neither true nor false")
    target.out.append(value)


_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _floating(packer: struct.Struct) -> Write:
    def write(value: Any, target: _Target) -> None:
        number = _NAMED.get(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Misfit(f"{shown(value)} is no number")
        # JSON has no infinite numbers: one such was beyond all that a double holds.
        if number is value and isinstance(number, float) and math.isinf(number):
            raise Misfit(f"{shown(value)} is too large a number")
        try:
            packed = packer.pack(number)
        except (OverflowError, struct.error):
            raise Misfit(f"{shown(value)} is too large a number") from None
        # A fraction is rounded, as in any floating point number; a whole number may be an identifier.
        if type(number) is int and packer.unpack(packed)[0] != number:
            raise Misfit(f"{number} is a whole number that {8 * packer.size} bits of floating point do not hold")
        target.out += packed

    return write


def _raw(value: bytes, target: _Target) -> None:
    _long(len(value), target)
    target.out += value


def _bytes(value: Any, target: _Target) -> None:
    _raw(from_base64(value), target)


def _string(value: Any, target: _Target) -> None:
    if not isinstance(value, str):
        raise Misfit(f"{shown(value)} is no text")
    try:
        content = value.encode()
    except UnicodeEncodeError:
        raise Misfit(f"{shown(value)} holds half of a character") from None
    _raw(content, target)


_WRITE: dict[str, Write] = {
    "null": _null,
    "boolean": _boolean,
    "int": _whole(32),
    "long": _whole(64),
    "float": _floating(struct.Struct("<f")),
    "double": _floating(struct.Struct("<d")),
    "bytes": _bytes,
    "string": _string,
}
_NUMBERS = [_WRITE[name] for name in ("int", "long", "double", "float")]
"""What writes numbers, in the order in which the branches of a union are tried."""


class _Compiler:
    """As that of the reader, which has checked the schema."""

    def __init__(self) -> None:
        self._named: dict[str, Write] = {}

    def compile(self, schema: Any, namespace: str) -> Write:
        if isinstance(schema, str):
            return self._by_name(schema, namespace)
        if isinstance(schema, list):
            return _union([self.compile(one, namespace) for one in schema])
        kind = schema["type"]
        if not isinstance(kind, str):
            return self.compile(kind, namespace)
        if kind in ("record", "error"):
            return self._record(schema, namespace)
        if kind == "enum":
            return self._keep(schema, namespace, _enum(schema["symbols"]))
        if kind == "fixed":
            return self._keep(schema, namespace, _fixed(schema))
        if kind == "array":
            return _array(self.compile(schema["items"], namespace))
        if kind == "map":
            return _map(self.compile(schema["values"], namespace))
        if conversion(schema) is None:
            return self._by_name(kind, namespace)
        unconverted = inverse(schema)
        write = _raw if kind == "bytes" else _WRITE[kind]
        return lambda value, target: write(unconverted(value), target)

    def _by_name(self, name: str, namespace: str) -> Write:
        if name in _WRITE:
            return _WRITE[name]
        for full in (name,) if "." in name or not namespace else (f"{namespace}.{name}", name):
            if full in self._named:
                return self._named[full]
        raise AssertionError("the reader has refused it")

    def _keep(self, schema: Mapping[str, Any], namespace: str, write: Write) -> Write:
        self._named[full_name(schema, namespace)[0]] = write
        return write

    def _record(self, schema: Mapping[str, Any], namespace: str) -> Write:
        fields: list[tuple[str, Write]] = []
        names: set[str] = set()

        def write(value: Any, target: _Target) -> None:
            if not isinstance(value, dict):
                raise Misfit(f"{shown(value)} is no object")
            for name, write_one in fields:
                if name not in value:
                    raise Misfit(f"{name[:100]} is missing")
                _step(target)
                write_one(value[name], target)
            if len(value) > len(fields):
                raise Misfit(f"{next(name for name in value if name not in names)[:100]} is no member of it")

        full, inside = full_name(schema, namespace)
        self._named[full] = write
        for field in schema["fields"]:
            names.add(field["name"])
            fields.append((field["name"], self.compile(field["type"], inside)))
        return write


def full_name(schema: Mapping[str, Any], namespace: str) -> tuple[str, str]:
    """The full name of a type, and the namespace within it (Avro specification, "Names")."""
    name, own = str(schema["name"]), schema.get("namespace")
    if "." in name:
        return name, name.rpartition(".")[0]
    own = own if isinstance(own, str) else namespace
    return (f"{own}.{name}" if own else name), own


def _step(target: _Target) -> None:
    target.left -= 1
    if target.left < 0:
        raise BadRecord("it takes too long to find out which branches of its unions it is of")


def _in_order(branches: list[Write]) -> list[tuple[int, Write]]:
    """The branches with their indices, in the order in which they are tried: those for numbers change places with each
    other, all others stay where they are."""
    places = [index for index, branch in enumerate(branches) if branch in _NUMBERS]
    numbers = sorted(places, key=lambda index: _NUMBERS.index(branches[index]))
    order = list(range(len(branches)))
    for place, index in zip(places, numbers, strict=True):
        order[place] = index
    return [(index, branches[index]) for index in order]


def _union(branches: list[Write]) -> Write:
    ordered = _in_order(branches)

    def write(value: Any, target: _Target) -> None:
        begun, reasons = len(target.out), []
        for index, branch in ordered:
            _step(target)
            _long(index, target)
            try:
                branch(value, target)
            except Misfit as error:
                del target.out[begun:]
                reasons.append(str(error))
            else:
                return
        raise Misfit(" and ".join(reasons[-2:])[:300] or "its union is empty")

    return write


def _enum(symbols: list[str]) -> Write:
    places = {symbol: place for place, symbol in enumerate(symbols)}

    def write(value: Any, target: _Target) -> None:
        place = places.get(value) if isinstance(value, str) else None
        if place is None:
            raise Misfit(f"{shown(value)} is none of its {len(symbols)} symbols")
        _long(place, target)

    return write


def _fixed(schema: Mapping[str, Any]) -> Write:
    size: int = schema["size"]
    has_text = conversion(schema) is not None
    unconverted = inverse(schema) if has_text else from_base64
    is_decimal = has_text and schema["logicalType"] == "decimal"

    def write(value: Any, target: _Target) -> None:
        content = unconverted(value)
        if is_decimal and size > DECIMAL_BYTES:
            raise Misfit(f"a decimal of more than {DECIMAL_BYTES} bytes")
        if is_decimal and len(content) < size:
            content = (b"\xff" if content and content[0] > 127 else b"\0") * (size - len(content)) + content
        if len(content) != size:
            raise Misfit(f"{len(content)} bytes, where there have to be {size}")
        target.out += content

    return write


def _array(item: Write) -> Write:
    def write(value: Any, target: _Target) -> None:
        if not isinstance(value, list):
            raise Misfit(f"{shown(value)} is no array")
        if value:
            _long(len(value), target)
            for one in value:
                _step(target)
                item(one, target)
        _long(0, target)

    return write


def _map(item: Write) -> Write:
    def write(value: Any, target: _Target) -> None:
        if not isinstance(value, dict):
            raise Misfit(f"{shown(value)} is no object")
        if value:
            _long(len(value), target)
            for key, one in value.items():
                _step(target)
                _string(key, target)
                item(one, target)
        _long(0, target)

    return write
