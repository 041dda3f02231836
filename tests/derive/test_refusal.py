"""What a derived stream could make nothing of, as events of its error stream."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.derive.refusal import error_record
from gateway.derive.row import Refused
from gateway.intake.validate import InvalidEvent
from gateway.model.record import NO_TIMESTAMP, Record
from gateway.schemas.repository import SchemaRepository

SCHEMAS = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])
ERRORS = Stream("errors", ("errors",), schema_title="gateway/error", timestamp_field="meta.dt")
DERIVATION = Derivation(("wiki.change",))
NOW = 1_767_225_600_000


def told(refused: Refused) -> dict[str, object]:
    schema = SCHEMAS.taken_by(ERRORS)
    assert schema is not None
    record = error_record(refused, "made", DERIVATION, ERRORS, schema, NOW)
    event: dict[str, object] = orjson.loads(record.value or b"")
    assert schema.faults(event) == []
    return event


def test_it_names_the_place_the_kind_and_the_reason() -> None:
    record = Record("wiki.change", 2, 7, NOW - 1_000, b"k", b'{"$schema":"/wiki/change/1.0.0","n":1}')
    event = told(Refused("late", "it is 3 ms older than what is waited for", record.value or b"", record))
    meta = event.pop("meta")
    assert isinstance(meta, dict)
    assert (meta["dt"], meta["stream"]) == ("2025-12-31T23:59:59.000Z", "errors")
    assert event == {
        "$schema": "/gateway/error/1.1.0",
        "emitter_id": "event-gateway",
        "error_type": "late",
        "message": "it is 3 ms older than what is waited for (wiki.change, partition 2, offset 7)",
        "raw_event": '{"$schema":"/wiki/change/1.0.0","n":1}',
        "errored_stream_name": "made",
        "errored_schema_uri": "/wiki/change/1.0.0",
    }


def test_the_same_refusal_has_the_same_id() -> None:
    def identity(kind: str, offset: int | None, value: bytes = b"{}") -> object:
        record = None if offset is None else Record("a", 0, offset, NOW, None, value)
        meta = told(Refused(kind, str(offset), value, record))["meta"]  # type: ignore[arg-type]
        assert isinstance(meta, dict)
        return meta["id"]

    assert identity("late", 1) == identity("late", 1)
    assert len({identity("late", 1), identity("late", 2), identity("invalid", 1), identity("invalid", None)}) == 4
    assert identity("invalid", None) != identity("invalid", None, b'{"a":1}')


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"[1]", b'{"a":"\\ud800"}', b'"' + b"x" * 100_000, b"{" * 100_000])
def test_whatever_the_record_held_it_can_be_told(value: bytes) -> None:
    event = told(Refused("invalid", "r" * 100_000, value, Record("a", 0, 1, NO_TIMESTAMP, None, value)))
    assert event["error_type"] == "invalid"


def test_an_error_stream_of_another_schema_takes_none() -> None:
    schema = SCHEMAS.get("wiki/change")
    assert schema is not None
    with pytest.raises(InvalidEvent):
        error_record(Refused("late", "x", b"{}", None), "made", DERIVATION, ERRORS, schema, NOW)
