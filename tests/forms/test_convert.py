"""A record of any bytes is read, or is a bad record with its reason: no error of a library stops a partition."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.forms.convert import Forms, converted
from gateway.forms.schema import Schema, Source
from gateway.model.record import Record

NODE = '{"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", "N"]}]}'
KINDS: Any = {"avro": Source("AVRO", NODE), "json-schema": Source("JSON", "{}")}


class One:
    """The only schema that there is."""

    def __init__(self, source: Source) -> None:
        self._schema = Schema(source)

    def known(self, number: int) -> Schema:
        return self._schema

    def note(self, topic: str, number: int) -> None:
        """Nothing is kept."""


def nodes(depth: int) -> bytes:
    """A framed value of this many levels."""
    return b"\0\0\0\0\1" + b"\2" * (depth - 1) + b"\0"


def read(value: bytes | None, key: bytes | None, forms: Forms) -> Record:
    record = Record("topic", 0, 0, 0, key, value)
    return converted(record, forms, One(KINDS.get(forms.value) or KINDS.get(forms.key) or KINDS["avro"]))


@pytest.mark.parametrize("depth", [255, 256, 300, 1000])
def test_a_value_that_is_too_deep_for_json_is_a_bad_record(depth: int) -> None:
    record = read(nodes(depth), None, Forms("avro", "string"))
    assert record.value == b""
    assert "nested" in (record.fault or "")
    assert orjson.loads(read(nodes(200), None, Forms("avro", "string")).value or b"")["n"]


@pytest.mark.parametrize("depth", [256, 300, 1000, 2000])
def test_a_key_that_is_too_deep_is_a_bad_record(depth: int) -> None:
    record = read(b"{}", b"[" * depth + b"]" * depth, Forms("json", "json"))
    assert (record.fault or "").startswith("its key is n")
    record = read(b"{}", nodes(depth), Forms("json", "avro"))
    assert (record.fault or "").startswith("its key: nested")


def test_a_mistake_in_a_conversion_is_the_trouble_of_that_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(_: Schema, value: bytes) -> bytes:
        raise TypeError("'str' object is not callable")

    monkeypatch.setattr(Schema, "convert", convert)
    record = read(nodes(1), None, Forms("avro", "string"))
    assert (record.value, record.fault) == (b"", "an internal error (TypeError)")
