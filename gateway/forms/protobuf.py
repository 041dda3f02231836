"""Reads Protobuf messages into JSON, by descriptors that were made of a registry's schema.

Names are those of the `.proto`, 64-bit integers are numbers, enums are names, and members without presence have their
default. Messages of `google.protobuf` with a JSON form of their own have that form (ProtoJSON). Protobuf's own library
parses the bytes, and bounds how deep they are nested.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import Message

from gateway.errors import BadRecord
from gateway.forms.avro import ITEM_BYTES, finite
from gateway.forms.avro_values import moment
from gateway.forms.bounds import SCHEMA_DEPTH, SCHEMA_TYPES, UnusableSchema, allowance, too_large
from gateway.forms.proto_known import known_file
from gateway.text import printable

ANY_DEPTH = 8
"""How deep messages of the type `Any` may lie in each other: each is copied and parsed by itself."""

Files = Mapping[str, descriptor_pb2.FileDescriptorProto]


class _Walk:
    """What may still be made of one value."""

    __slots__ = ("any_depth", "left")

    def __init__(self, size: int) -> None:
        self.left = allowance(size)
        self.any_depth = 0

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise too_large()


Convert = Callable[[Any, _Walk], Any]


class ProtobufReader:
    """The reader of one schema: `name` of `files`, with all that it imports. Raises UnusableSchema."""

    def __init__(self, name: str, files: Files) -> None:
        pool = descriptor_pool.DescriptorPool()
        _add(pool, name, files, [])
        try:
            self.file: FileDescriptor = pool.FindFileByName(name)
        except (KeyError, TypeError) as error:
            raise UnusableSchema(f"its descriptors do not fit together: {error}") from None
        self._pool = pool
        self._converters: dict[str, Convert] = {}
        self._classes: dict[str, type[Message]] = {}

    def message(self, path: Iterable[int]) -> Descriptor:
        """The message at a path of indices. Raises BadRecord."""
        declared, found = list(self.file.message_types_by_name.values()), None
        for index in path:
            if index >= len(declared):
                raise BadRecord(f"message {index} of a schema that has {len(declared)} there")
            found = declared[index]
            declared = list(found.nested_types)
        assert found is not None
        return found

    def read(self, path: tuple[int, ...], data: bytes) -> Any:
        """The value of JSON of a message. Raises BadRecord."""
        return self.read_as(self.message(path), data)

    def read_as(self, descriptor: Descriptor, data: bytes) -> Any:
        """The same for a message that is known."""
        try:
            return self._value(descriptor, data, _Walk(len(data)))
        except RecursionError:
            raise BadRecord("nested too deep") from None
        except UnicodeDecodeError as error:
            raise BadRecord(f"a string that is not UTF-8: {error.reason}") from None

    def write_as(self, descriptor: Descriptor, value: Any) -> bytes:
        """The bytes of a message of a known type, which are read again without another number in them. Raises
        BadRecord."""
        message = self._message(descriptor)
        if not isinstance(value, dict) and descriptor.full_name not in _SPECIAL:
            raise BadRecord(f"it is no {descriptor.full_name}: it is no object")
        try:
            json_format.ParseDict(value, message, descriptor_pool=self._pool)
            # Protobuf knows no order of a map; the same event makes the same bytes.
            data = bytes(type(message).SerializeToString(message, deterministic=True))
        except Exception as error:
            # Whatever a value of a wrong kind leads to in the library, not only errors of its own.
            raise BadRecord(f"it is no {descriptor.full_name}: {_why(error)}") from None
        _check_numbers(value, self.read_as(descriptor, data))
        return data

    def _message(self, descriptor: Descriptor) -> Any:
        made = self._classes.get(descriptor.full_name)
        if made is None:
            made = self._classes[descriptor.full_name] = message_factory.GetMessageClass(descriptor)
        return made()

    def _value(self, descriptor: Descriptor, data: bytes, walk: _Walk) -> Any:
        message = self._message(descriptor)
        try:
            # By the class: a field of the message may have the name of a method, and hides it.
            type(message).ParseFromString(message, data)
        except Exception as error:
            raise BadRecord(f"not a {descriptor.full_name}: {_why(error)}") from None
        return self._converter(descriptor)(message, walk)

    def _converter(self, descriptor: Descriptor) -> Convert:
        name = descriptor.full_name
        if name not in self._converters:
            special = _SPECIAL.get(name)
            if special is not None:
                self._converters[name] = lambda message, walk: special(self, message, walk)
            else:
                self._converters[name] = self._members(descriptor)
        return self._converters[name]

    def _members(self, descriptor: Descriptor) -> Convert:
        cost = 2
        members: list[tuple[str, bool, Convert]] = []

        def convert(message: Message, walk: _Walk) -> dict[str, Any]:
            walk.spend(cost)
            has = type(message).HasField  # which a field of that name would hide
            return {
                name: one(getattr(message, name), walk)
                for name, present, one in members
                if not present or has(message, name)
            }

        self._converters[descriptor.full_name] = convert  # Its members may be of the same type.
        for field in descriptor.fields:
            cost += len(field.name) + 4
            members.append((field.name, field.has_presence and not field.is_repeated, self._field(field)))
        return convert

    def _field(self, field: FieldDescriptor) -> Convert:
        if not field.is_repeated:
            return self._single(field)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            key, value = entry.fields_by_name["key"], self._single(entry.fields_by_name["value"])
            of_text = key.type == FieldDescriptor.TYPE_STRING
            of_switch = key.type == FieldDescriptor.TYPE_BOOL

            def map_of(entries: Any, walk: _Walk) -> dict[str, Any]:
                walk.spend(ITEM_BYTES * len(entries))
                # Protobuf knows no order of a map; the bytes must be the same in every process.
                return {
                    key if of_text else ("true" if key else "false") if of_switch else str(key): value(
                        entries[key], walk
                    )
                    for key in sorted(entries)
                }

            return map_of
        single = self._single(field)

        def list_of(items: Any, walk: _Walk) -> list[Any]:
            walk.spend(ITEM_BYTES * len(items))
            return [single(item, walk) for item in items]

        return list_of

    def _single(self, field: FieldDescriptor) -> Convert:
        if field.message_type is not None:
            descriptor = field.message_type
            converters, name = self._converters, descriptor.full_name
            self._converter(descriptor)
            # Looked up when it is called: a message that holds itself is not made yet.
            return lambda message, walk: converters[name](message, walk)  # noqa: PLW0108
        if field.enum_type is not None:
            return _symbol(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return lambda value, walk: b64encode(value).decode()
        if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
            return lambda value, walk: finite(value)
        return lambda value, walk: value

    def any_value(self, message: Any, walk: _Walk) -> dict[str, Any]:
        """The message in an `Any` beside its type; of a type that the schema does not have, its bytes."""
        url, name = message.type_url, message.type_url.rpartition("/")[2]
        walk.any_depth += 1
        if walk.any_depth > ANY_DEPTH:
            raise BadRecord(f"more than {ANY_DEPTH} messages of the type Any in each other")
        try:
            try:
                descriptor = self._pool.FindMessageTypeByName(name)
            except KeyError:
                return {"@type": url, "value": b64encode(message.value).decode()}
            value = self._value(descriptor, message.value, walk)
        finally:
            walk.any_depth -= 1
        if name in _SPECIAL or not isinstance(value, dict):
            return {"@type": url, "value": value}
        return {"@type": url, **value}


def _why(error: Exception) -> str:
    """What an error of the library says of a value."""
    if isinstance(error, KeyError):
        return f"a message in it has no member {error}"
    if isinstance(error, AttributeError):
        return f"a member is of a wrong type ({error})"
    # Some are of several lines.
    return printable(" ".join(str(error).split()))[:300]


def _check_numbers(value: Any, read: Any) -> None:
    """Raises BadRecord where a number of a value is read as another one, since its type cannot hold it. A fraction may
    be rounded, as in any floating point number."""
    if isinstance(value, dict) and isinstance(read, dict):
        for name in value.keys() & read.keys():
            _check_numbers(value[name], read[name])
    elif isinstance(value, list) and isinstance(read, list):
        for one, other in zip(value, read, strict=False):
            _check_numbers(one, other)
    elif type(value) is int and isinstance(read, int | float) and value != read:
        raise BadRecord(f"{value} would be stored as {read:.17g}, since its type holds no such number")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadRecord("a number is too large")


def _symbol(enum: EnumDescriptor) -> Convert:
    names = {number: value.name for number, value in enum.values_by_number.items()}

    def convert(number: int, walk: _Walk) -> str | int:
        name = names.get(number)
        if name is None:
            return number
        walk.spend(len(name))
        return name

    return convert


def _timestamp(reader: ProtobufReader, message: Any, walk: _Walk) -> str:
    return f"{moment(message.seconds)}{_fraction(message.nanos)}Z"


def _duration(reader: ProtobufReader, message: Any, walk: _Walk) -> str:
    seconds, nanos = message.seconds, message.nanos
    if seconds * nanos < 0 or abs(nanos) > 999_999_999:
        raise BadRecord("a Duration whose parts do not fit together")
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    """The digits behind the second: none, three, six or nine."""
    if not 0 <= nanos <= 999_999_999:
        raise BadRecord(f"{nanos} nanoseconds in a second")
    if not nanos:
        return ""
    digits = f".{nanos:09}"
    return digits[:-6] if nanos % 1_000_000 == 0 else digits[:-3] if nanos % 1000 == 0 else digits


def _wrapped(reader: ProtobufReader, message: Any, walk: _Walk) -> Any:
    value = message.value
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return finite(value) if isinstance(value, float) else value


def _struct(reader: ProtobufReader, message: Any, walk: _Walk) -> dict[str, Any]:
    walk.spend(ITEM_BYTES * len(message.fields))
    return {key: _value(reader, message.fields[key], walk) for key in sorted(message.fields)}


def _list(reader: ProtobufReader, message: Any, walk: _Walk) -> list[Any]:
    walk.spend(ITEM_BYTES * len(message.values))
    return [_value(reader, value, walk) for value in message.values]


def _value(reader: ProtobufReader, message: Any, walk: _Walk) -> Any:
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "struct_value":
        return _struct(reader, message.struct_value, walk)
    if kind == "list_value":
        return _list(reader, message.list_value, walk)
    value = getattr(message, kind)
    return finite(value) if kind == "number_value" else value


_WRAPPERS = ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
_SPECIAL: dict[str, Callable[[ProtobufReader, Any, _Walk], Any]] = {
    "google.protobuf.Any": ProtobufReader.any_value,
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Value": _value,
    "google.protobuf.FieldMask": lambda reader, message, walk: ",".join(message.paths),
    **{f"google.protobuf.{name}Value": _wrapped for name in _WRAPPERS},
}


def _add(pool: Any, name: str, files: Files, above: list[str]) -> None:
    """Put a file into the pool behind those that it imports."""
    if name in above or len(above) > SCHEMA_DEPTH:
        raise UnusableSchema(f"its imports lead in a circle, or too deep: {name[:200]}")
    found = files.get(name) or known_file(name)
    if found is None:
        raise UnusableSchema(f"it imports {name[:200]}, which the registry does not give with it")
    if _size(found.message_type) + sum(len(enum.value) for enum in found.enum_type) > SCHEMA_TYPES:
        raise UnusableSchema(f"it has more than {SCHEMA_TYPES} messages, members and symbols")
    for imported in found.dependency:
        try:
            pool.FindFileByName(imported)
        except KeyError:
            _add(pool, imported, files, [*above, name])
    try:
        pool.Add(found)
    except (TypeError, ValueError) as error:
        raise UnusableSchema(f"its descriptors do not fit together: {error}") from None


def _size(messages: Iterable[Any]) -> int:
    return sum(
        1 + len(one.field) + sum(len(enum.value) for enum in one.enum_type) + _size(one.nested_type) for one in messages
    )
