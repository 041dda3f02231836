"""Reads the text of a `.proto` into its descriptor: what values need, without options and services.

The grammar is that of the language specifications of proto2 and proto3. Names of types are left as they are written:
the pool of descriptors resolves them by Protobuf's own rules.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2

from gateway.forms.bounds import NAME_CHARACTERS, SCHEMA_DEPTH, SCHEMA_TYPES, UnusableSchema

_Field = descriptor_pb2.FieldDescriptorProto
_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*|\.?[0-9][A-Za-z0-9_.+-]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>[^\s\w"'])""",
    re.VERBOSE | re.DOTALL,
)
_SCALARS = {
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "sint32": _Field.TYPE_SINT32,
    "sint64": _Field.TYPE_SINT64,
    "fixed32": _Field.TYPE_FIXED32,
    "fixed64": _Field.TYPE_FIXED64,
    "sfixed32": _Field.TYPE_SFIXED32,
    "sfixed64": _Field.TYPE_SFIXED64,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_LABELS = {
    "optional": _Field.LABEL_OPTIONAL,
    "required": _Field.LABEL_REQUIRED,
    "repeated": _Field.LABEL_REPEATED,
}


def read_proto(text: str) -> descriptor_pb2.FileDescriptorProto:
    """The descriptor of a file, without a name. Raises UnusableSchema."""
    return _Parser(text).file()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._declared = 0
        self._file = descriptor_pb2.FileDescriptorProto(syntax="proto2")

    def file(self) -> descriptor_pb2.FileDescriptorProto:
        file = self._file
        while self._at < len(self._tokens):
            word = self._next()
            if word == "syntax":
                self._expect("=")
                file.syntax = _unquoted(self._next())
                self._expect(";")
            elif word == "edition":
                raise UnusableSchema("it is written in an edition of Protobuf; proto2 and proto3 are read as text")
            elif word == "package":
                file.package = self._full_name()
                self._expect(";")
            elif word == "import":
                if self._peek() in ("public", "weak"):
                    self._next()
                    file.public_dependency.append(len(file.dependency))
                file.dependency.append(_unquoted(self._next()))
                self._expect(";")
            elif word == "message":
                self._message(file.message_type.add(), 0)
            elif word == "enum":
                self._enum(file.enum_type.add())
            elif word != ";":
                self._pass()
        if file.syntax not in ("proto2", "proto3"):
            raise UnusableSchema(f"its syntax is {file.syntax[:50]}")
        return file

    def _message(self, message: Any, depth: int) -> None:
        self._count()
        if depth > SCHEMA_DEPTH:
            raise UnusableSchema(f"its messages lie more than {SCHEMA_DEPTH} deep in each other")
        message.name = self._name()
        self._expect("{")
        self._members(message, depth)

    def _members(self, message: Any, depth: int) -> None:
        while (word := self._next()) != "}":
            if word == "message" and self._ahead(1) == "{":
                self._message(message.nested_type.add(), depth + 1)
            elif word == "enum" and self._ahead(1) == "{":
                self._enum(message.enum_type.add())
            elif word == "oneof" and self._ahead(1) == "{":
                self._oneof(message, depth)
            elif word in ("reserved", "extensions", "extend", "option"):
                self._pass()
            elif word != ";":
                self._at -= 1
                self._field(message, depth)
        # Protobuf wants the oneofs of optional members behind all others.
        for field in message.field:
            if field.proto3_optional:
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")

    def _oneof(self, message: Any, depth: int) -> None:
        index = len(message.oneof_decl)
        message.oneof_decl.add(name=self._name())
        self._expect("{")
        while (word := self._next()) != "}":
            if word == "option":
                self._pass()
            elif word != ";":
                self._at -= 1
                self._field(message, depth, index)

    def _field(self, message: Any, depth: int, oneof: int | None = None) -> None:
        self._count()
        label = self._next() if self._peek() in _LABELS and self._ahead(1) != "=" else None
        kind = self._next()
        if kind == "map" and self._peek() == "<":
            self._map(message)
            return
        field = message.field.add(label=_LABELS[label or "optional"])
        if kind == "group":
            self._group(message, field, depth)
        else:
            self._at -= 1
            self._type(field)
            field.name = self._name()
            self._number(field)
            self._options(field)
        if oneof is not None:
            field.oneof_index = oneof
        elif label == "optional" and self._file.syntax == "proto3":
            field.proto3_optional = True

    def _group(self, message: Any, field: Any, depth: int) -> None:
        nested = message.nested_type.add(name=self._name())
        field.name, field.type, field.type_name = nested.name.lower(), _Field.TYPE_GROUP, nested.name
        self._number(field)
        if self._peek() == "[":
            self._brackets()
        self._expect("{")
        if depth >= SCHEMA_DEPTH:
            raise UnusableSchema(f"its messages lie more than {SCHEMA_DEPTH} deep in each other")
        self._members(nested, depth + 1)

    def _map(self, message: Any) -> None:
        self._expect("<")
        key = _Field(name="key", number=1, label=_Field.LABEL_OPTIONAL)
        self._type(key)
        self._expect(",")
        value = _Field(name="value", number=2, label=_Field.LABEL_OPTIONAL)
        self._type(value)
        self._expect(">")
        field = message.field.add(label=_Field.LABEL_REPEATED, name=self._name(), type=_Field.TYPE_MESSAGE)
        self._number(field)
        self._options(field)
        entry = message.nested_type.add(
            name="".join(part[:1].upper() + part[1:] for part in field.name.split("_")) + "Entry"
        )
        entry.options.map_entry = True
        entry.field.extend((key, value))
        field.type_name = entry.name

    def _type(self, field: Any) -> None:
        name = self._full_name(absolute=True)
        if name in _SCALARS:
            field.type = _SCALARS[name]
        else:
            field.type_name = name

    def _enum(self, enum: Any) -> None:
        self._count()
        enum.name = self._name()
        self._expect("{")
        while (word := self._next()) != "}":
            if word in ("option", "reserved") and self._peek() != "=":
                if word == "option" and self._peek() == "allow_alias":
                    enum.options.allow_alias = self._ahead(2) == "true"
                self._pass()
            elif word != ";":
                self._count()
                value = enum.value.add(name=_checked(word))
                self._number(value)
                self._options(None)

    def _number(self, declared: Any) -> None:
        self._expect("=")
        sign = -1 if self._peek() == "-" else 1
        if sign < 0:
            self._next()
        text = self._next()
        try:
            number = int(text, 8 if text.startswith("0") and text.isdigit() and text != "0" else 0)
            declared.number = sign * number
        except ValueError:
            raise UnusableSchema(f'"{text[:50]}" is not a number of a member') from None

    def _options(self, field: Any) -> None:
        """The options up to the `;`. Those that change how values are read are kept."""
        if self._peek() == "[":
            begin = self._at
            self._brackets()
            tokens = self._tokens[begin : self._at]
            for index, token in enumerate(tokens[:-2]):
                if field is not None and tokens[index + 1] == "=" and tokens[index - 1] in ("[", ","):
                    if token == "packed":
                        field.options.packed = tokens[index + 2] == "true"
                    elif token == "default":
                        _set_default(field, "".join(tokens[index + 2 : _end(tokens, index)]))
        self._expect(";")

    def _brackets(self) -> None:
        depth = 0
        while True:
            token = self._next()
            depth += (token in "[{(<") - (token in "]})>") if len(token) == 1 else 0
            if depth == 0:
                return

    def _pass(self) -> None:
        """Pass over a statement: up to its `;`, or the end of its braces."""
        depth = 0
        while True:
            token = self._next()
            if token == "{":
                depth += 1
            elif token == "}":
                depth -= 1
                if depth == 0 and self._peek() != ";":
                    return
            elif token == ";" and depth == 0:
                return

    def _full_name(self, absolute: bool = False) -> str:
        name = self._next() if absolute and self._peek() == "." else ""
        name += self._name()
        while self._peek() == ".":
            name += self._next() + self._name()
        return name

    def _name(self) -> str:
        return _checked(self._next())

    def _count(self) -> None:
        self._declared += 1
        if self._declared > SCHEMA_TYPES:
            raise UnusableSchema(f"it has more than {SCHEMA_TYPES} messages, members and symbols")

    def _peek(self) -> str:
        return self._ahead(0)

    def _ahead(self, count: int) -> str:
        return self._tokens[self._at + count] if self._at + count < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise UnusableSchema("it ends in the middle of a declaration")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, mark: str) -> None:
        found = self._next()
        if found != mark:
            raise UnusableSchema(f'"{found[:50]}" stands where "{mark}" is expected')


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise UnusableSchema(f"it is no .proto: character {at} belongs to nothing")
        at = match.end()
        if match.lastgroup is not None:
            tokens.append(match[0])
    return tokens


def _end(tokens: list[str], index: int) -> int:
    """Where the value of an option ends that begins behind `index`."""
    return next(at for at in range(index + 2, len(tokens)) if tokens[at] in (",", "]"))


def _set_default(field: Any, text: str) -> None:
    quoted = text[:1] in "\"'"
    if quoted and field.type == _Field.TYPE_BYTES:
        field.default_value = text[1:-1]  # with its escapes, as descriptors have it
    elif quoted:
        field.default_value = _unquoted(text)
    elif field.type in (_Field.TYPE_DOUBLE, _Field.TYPE_FLOAT, _Field.TYPE_BOOL) or not field.type:
        field.default_value = text
    else:
        field.default_value = str(_whole(text))


def _whole(text: str) -> int:
    digits = text.lstrip("+-")
    try:
        number = int(digits, 8 if digits.startswith("0") and digits.isdigit() and digits != "0" else 0)
    except ValueError:
        raise UnusableSchema(f'"{text[:50]}" is not a whole number') from None
    return -number if text.startswith("-") else number


_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unquoted(token: str) -> str:
    if token[:1] not in ("'", '"'):
        raise UnusableSchema(f'"{token[:50]}" stands where a text in quotes is expected')

    def character(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "x" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        return chr(int(escape, 8)) if escape[0] in "01234567" else _PLAIN.get(escape, escape)

    return _ESCAPE.sub(character, token[1:-1])


def _checked(name: str) -> str:
    if not name.isidentifier() or not name.isascii() or len(name) > NAME_CHARACTERS:
        raise UnusableSchema(f'"{name[:50]}" stands where a name is expected')
    return name
