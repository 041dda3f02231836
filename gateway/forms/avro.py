"""Reads values in Avro's binary encoding, by the schema that they were written with (Avro specification 1.12).

A schema is compiled once, into functions that make a value of JSON at once. Avro's own libraries make objects of
Python, which would have to be walked through again. They recurse on the stack of C as deep as a value says, and
allocate as many items as it says. Here the depth, and the bytes that a value becomes, are bounded.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import BadRecord
from gateway.forms.avro_values import conversion
from gateway.forms.bounds import NAME_CHARACTERS, SCHEMA_DEPTH, SCHEMA_TYPES, UnusableSchema, allowance, too_large
from gateway.model.event import MAXIMUM_DEPTH

ITEM_BYTES = 8
"""What an item of an array, or an entry of a map, counts at least: it may have no bytes of its own."""
_LONGEST_VARINT = 70
"""Bits that the ten bytes of a long have."""
_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


class _Source:
    """The bytes of a value, the place that was reached, and the bytes of JSON that may still be made of it."""

    __slots__ = ("at", "data", "left")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.left = allowance(len(data))

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise BadRecord("a length that goes beyond the end of the value")
        self.at += count
        return self.data[self.at - count : self.at]

    def spend(self, count: int) -> None:
        """Say that so many bytes of JSON are made that do not stand in the value."""
        self.left -= count
        if self.left < 0:
            raise too_large()


Read = Callable[[_Source], Any]


class AvroReader:
    """The reader of one schema. `parsed` is its JSON; `named` are the JSON of schemas that it refers to, in an order in
    which each needs only those before it. Raises UnusableSchema."""

    def __init__(self, parsed: Any, referred: tuple[Any, ...] = ()) -> None:
        compiler = _Compiler()
        for one in referred:
            compiler.compile(one, "", 0)
        self._read = compiler.compile(parsed, "", 0)

    def read(self, data: bytes, at: int = 0) -> Any:
        """The value of JSON that begins there and ends with the data. Raises BadRecord."""
        source = _Source(data, at)
        try:
            value = self._read(source)
        except IndexError:
            raise BadRecord("it ends in the middle of a value") from None
        except UnicodeDecodeError as error:
            raise BadRecord(f"a string that is not UTF-8: {error.reason}") from None
        except RecursionError:
            raise BadRecord(f"nested more than {MAXIMUM_DEPTH} deep") from None
        if source.at != len(data):
            raise BadRecord(f"{len(data) - source.at} bytes follow its end")
        return value


def _long(source: _Source) -> int:
    data, at = source.data, source.at
    byte = data[at]
    if byte < 128:
        source.at = at + 1
        return (byte >> 1) ^ -(byte & 1)
    number, shift = byte & 127, 7
    while byte >= 128:
        at += 1
        byte = data[at]
        number |= (byte & 127) << shift
        shift += 7
        if shift > _LONGEST_VARINT:
            raise BadRecord("a number of more than ten bytes")
    source.at = at + 1
    if number >> 64:
        raise BadRecord("a number of more than 64 bits")
    return (number >> 1) ^ -(number & 1)


def _int(source: _Source) -> int:
    number = _long(source)
    if not -(2**31) <= number < 2**31:
        raise BadRecord("an int of more than 32 bits")
    return number


def _null(source: _Source) -> None:
    return None


def _boolean(source: _Source) -> bool:
    byte = source.data[source.at]
    if byte > 1:
        raise BadRecord(f"a boolean of the byte {byte}")
    source.at += 1
    return byte == 1


def finite(number: float) -> float | str:
    """A number that JSON has; the others by the names that they have in the JSON form of Protobuf."""
    if number - number == 0:
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")


def _float(source: _Source) -> float | str:
    number: float = _FLOAT.unpack(source.take(4))[0]
    return finite(number)


def _double(source: _Source) -> float | str:
    number: float = _DOUBLE.unpack(source.take(8))[0]
    return finite(number)


def _raw(source: _Source) -> bytes:
    return source.take(_long(source))


def _bytes(source: _Source) -> str:
    return b64encode(source.take(_long(source))).decode()


def _string(source: _Source) -> str:
    return source.take(_long(source)).decode()


_READ: dict[str, Read] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _double,
    "bytes": _bytes,
    "string": _string,
}


class _Compiler:
    """Makes functions of types, and knows those that have a name."""

    def __init__(self) -> None:
        self._named: dict[str, Read] = {}
        self._types = 0

    def compile(self, schema: Any, namespace: str, depth: int) -> Read:
        self._count(1)
        if depth > SCHEMA_DEPTH:
            raise UnusableSchema(f"its types lie more than {SCHEMA_DEPTH} deep in each other")
        if isinstance(schema, str):
            return self._by_name(schema, namespace)
        if isinstance(schema, list):
            return self._union(schema, namespace, depth)
        if not isinstance(schema, dict):
            raise UnusableSchema("a type that is neither a name, nor a list, nor an object")
        kind = schema.get("type")
        if not isinstance(kind, str):
            return self.compile(kind, namespace, depth + 1)
        if kind in ("record", "error"):
            return self._record(schema, namespace, depth)
        if kind == "enum":
            return self._enum(schema, namespace)
        if kind == "fixed":
            return self._fixed(schema, namespace)
        if kind == "array":
            return _array(self.compile(schema.get("items"), namespace, depth + 1))
        if kind == "map":
            return _map(self.compile(schema.get("values"), namespace, depth + 1))
        convert = conversion(schema)
        if convert is None:
            return self._by_name(kind, namespace)
        return _converted(_raw if kind == "bytes" else _READ[kind], convert)

    def _count(self, types: int) -> None:
        self._types += types
        if self._types > SCHEMA_TYPES:
            raise UnusableSchema(f"it has more than {SCHEMA_TYPES} types, fields and symbols")

    def _by_name(self, name: str, namespace: str) -> Read:
        if name in _READ:
            return _READ[name]
        for full in (name,) if "." in name or not namespace else (f"{namespace}.{name}", name):
            if full in self._named:
                return self._named[full]
        raise UnusableSchema(f'it has no type "{name[:100]}"')

    def _name(self, schema: Mapping[str, Any], namespace: str, read: Read) -> str:
        """Give a type its full name; returns the namespace within it."""
        name = _text(schema.get("name"), "the name of a type")
        own = schema.get("namespace")
        if "." in name:
            own = name.rpartition(".")[0]
        elif not isinstance(own, str):
            own = namespace
        full = name if "." in name or not own else f"{own}.{name}"
        if full in self._named or full in _PRIMITIVES:
            raise UnusableSchema(f'two types are called "{full[:100]}"')
        self._named[full] = read
        return own

    def _union(self, schemas: list[Any], namespace: str, depth: int) -> Read:
        branches = [self.compile(one, namespace, depth + 1) for one in schemas]
        count = len(branches)

        def read(source: _Source) -> Any:
            index = _long(source)
            if not 0 <= index < count:
                raise BadRecord(f"branch {index} of a union that has {count}")
            return branches[index](source)

        return read

    def _record(self, schema: Mapping[str, Any], namespace: str, depth: int) -> Read:
        fields: list[tuple[str, Read]] = []
        cost = 2

        def read(source: _Source) -> dict[str, Any]:
            source.left -= cost
            if source.left < 0:
                raise too_large()
            return {name: read_one(source) for name, read_one in fields}

        # The name first: its fields may be of the same type.
        namespace = self._name(schema, namespace, read)
        listed = schema.get("fields")
        if not isinstance(listed, list):
            raise UnusableSchema("a record without a list of fields")
        seen = set()
        for field in listed:
            if not isinstance(field, dict):
                raise UnusableSchema("a field that is not an object")
            name = _text(field.get("name"), "the name of a field")
            if name in seen:
                raise UnusableSchema(f'a record with two fields "{name[:100]}"')
            seen.add(name)
            cost += len(name) + 4
            fields.append((name, self.compile(field.get("type"), namespace, depth + 1)))
        return read

    def _enum(self, schema: Mapping[str, Any], namespace: str) -> Read:
        symbols = schema.get("symbols")
        if not isinstance(symbols, list):
            raise UnusableSchema("an enum without a list of symbols")
        self._count(len(symbols))
        texts = [_text(symbol, "a symbol of an enum") for symbol in symbols]

        def read(source: _Source) -> str:
            index = _long(source)
            if not 0 <= index < len(texts):
                raise BadRecord(f"symbol {index} of an enum that has {len(texts)}")
            text = texts[index]
            source.spend(len(text))
            return text

        self._name(schema, namespace, read)
        return read

    def _fixed(self, schema: Mapping[str, Any], namespace: str) -> Read:
        size = schema.get("size")
        if type(size) is not int or size < 0:
            raise UnusableSchema("a fixed type without a size")
        convert = conversion(schema)

        def read(source: _Source) -> Any:
            value = source.take(size)
            return b64encode(value).decode() if convert is None else _counted(source, convert(value))

        self._name(schema, namespace, read)
        return read


def _converted(read: Read, convert: Callable[[Any], Any]) -> Read:
    return lambda source: _counted(source, convert(read(source)))


def _counted(source: _Source, value: Any) -> Any:
    """What was made of a value; the text of a decimal may be ten thousand times as long."""
    if isinstance(value, str):
        source.spend(len(value))
    return value


def _blocks(source: _Source) -> int:
    """How many items the next block has; 0 at the end."""
    count = _long(source)
    if count < 0:
        _long(source)  # the bytes of the block, for whoever passes over it
        count = -count
    source.spend(ITEM_BYTES * count)
    return count


def _array(item: Read) -> Read:
    def read(source: _Source) -> list[Any]:
        items: list[Any] = []
        while count := _blocks(source):
            items += [item(source) for _ in range(count)]
        return items

    return read


def _map(value: Read) -> Read:
    def read(source: _Source) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while count := _blocks(source):
            for _ in range(count):
                key = _string(source)
                entries[key] = value(source)
        return entries

    return read


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > NAME_CHARACTERS:
        raise UnusableSchema(f"{what} is not a text of 1 to {NAME_CHARACTERS} characters")
    return value
