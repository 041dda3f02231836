"""A schema as a registry gives it, made into what reads values. Slow for large schemas: run it on a thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from gateway.errors import BadRecord
from gateway.forms.avro import AvroReader
from gateway.forms.bounds import SCHEMA_BYTES, UnusableSchema
from gateway.forms.frame import HEAD, message_path
from gateway.model.event import nested_beyond

_JSON_DEPTH = 250
SEEN_PATHS = 20
"""Messages of one schema that are described."""
KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF", "json-schema": "JSON"}
"""What a registry calls the forms."""


class Source(NamedTuple):
    """The text of a schema, of a kind (`AVRO`, `PROTOBUF` or `JSON`). `name` is that by which others refer to it.
    `referred` are the schemas that it refers to, each behind those that it needs itself."""

    kind: str
    text: str
    name: str = ""
    referred: tuple[Source, ...] = ()


class Schema:
    """What reads the values of one schema. Raises BadRecord for each of them where the schema cannot be used."""

    def __init__(self, source: Source) -> None:
        self.kind = source.kind
        self.size = size_of(source)
        self.fault: str | None = None
        self.paths: set[tuple[int, ...]] = set()
        """The messages of Protobuf that values were; SEEN_PATHS at most."""
        self._avro: AvroReader | None = None
        self._protobuf: Any = None
        try:
            check_size(source)
            if source.kind == "AVRO":
                self._avro = AvroReader(*avro_of(source))
            elif source.kind == "PROTOBUF":
                self._protobuf = protobuf_of(source)
            elif source.kind != "JSON":
                raise UnusableSchema(f"it is of the kind {source.kind[:50]}")
        except UnusableSchema as error:
            self.fault = str(error)

    def convert(self, value: bytes) -> bytes:
        """The JSON of a framed value. Raises BadRecord."""
        if self.fault is not None:
            raise BadRecord(f"its schema cannot be used: {self.fault}")
        if self.kind == "JSON":
            return value[HEAD:]
        read = self.value(value)
        try:
            return orjson.dumps(read)
        except orjson.JSONEncodeError:
            # It writes fewer levels than are read.
            raise BadRecord("nested too deep to be written as JSON") from None

    def value(self, value: bytes) -> Any:
        """The value of JSON of a framed value. Raises BadRecord."""
        if self._avro is not None:
            return self._avro.read(value, HEAD)
        path, at = message_path(value)
        read = self._protobuf.read(path, value[at:])
        if path not in self.paths and len(self.paths) < SEEN_PATHS:
            self.paths.add(path)
        return read


def size_of(source: Source) -> int:
    """Its characters, with those of all that it refers to."""
    return len(source.text) + sum(len(one.text) for one in source.referred)


def check_size(source: Source) -> None:
    """Raises UnusableSchema for a text of too many characters."""
    if size_of(source) > SCHEMA_BYTES:
        raise UnusableSchema(f"it has more than {SCHEMA_BYTES:,} characters")


def avro_of(source: Source) -> tuple[Any, tuple[Any, ...]]:
    """The JSON of an Avro schema, and that of those that it refers to. Raises UnusableSchema."""
    return read_json(source.text), tuple(read_json(one.text) for one in source.referred)


def read_json(text: str) -> Any:
    """The JSON of a schema. Raises UnusableSchema."""
    encoded = text.encode("utf-8", "surrogatepass")
    if nested_beyond(encoded, _JSON_DEPTH):
        raise UnusableSchema(f"it is nested more than {_JSON_DEPTH} deep")
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError:
        # The registry gives a primitive type by its name alone, too.
        return text


def protobuf_of(source: Source) -> Any:
    """The reader of a Protobuf schema. Raises UnusableSchema."""
    from gateway.forms.proto_file import ROOT, read_file
    from gateway.forms.protobuf import ProtobufReader

    files: dict[str, Any] = {one.name: read_file(one.name, one.text) for one in source.referred}
    files[ROOT] = read_file(ROOT, source.text)
    return ProtobufReader(ROOT, files)


def expected(kinds: Mapping[str, str], form: str, schema: Schema) -> None:
    """Raises BadRecord where a schema is of another kind than the form of its stream."""
    if schema.kind != kinds[form]:
        raise BadRecord(f"its schema is of the kind {schema.kind[:50]}, and the format of the stream is {form}")
