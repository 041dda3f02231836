"""What becomes of an event's time when it is copied."""

from __future__ import annotations

import pytest

from gateway.catalog.stream import Stream
from gateway.client import StreamEvent
from gateway.mirror.record import Recorder

NOW = 1_764_000_000_000
HOUR = 3_600_000
DT = '"meta":{"dt":"2025-11-24T15:00:00Z"}'
DT_TIME = NOW - HOUR


@pytest.mark.parametrize(
    ("timestamp", "more", "time"),
    [
        (NOW - 5, DT, NOW - 5),
        (NOW + HOUR, DT, NOW + HOUR),
        # No log need take these.
        (-1, DT, DT_TIME),
        (0, DT, DT_TIME),
        (-(2**63), DT, DT_TIME),
        (NOW * 1000, DT, DT_TIME),
        (2**63 - 1, DT, DT_TIME),
        (-1, '"meta":{}', None),
        (-1, '"meta":{"dt":"2999-01-01T00:00:00Z"}', None),
    ],
)
def test_a_time_that_a_log_may_refuse_is_replaced(timestamp: int, more: str, time: int | None) -> None:
    identifier = f'[{{"topic":"t","partition":0,"offset":3,"timestamp":{timestamp}}}]'
    event = StreamEvent("message", f"{{{more}}}".encode(), identifier)
    record, told = Recorder(Stream("copy", ("copy",)), "").record(event, NOW)
    assert told == time
    assert record.timestamp == (NOW if time is None else time)
    assert record.value == event.data


@pytest.mark.parametrize(
    ("value", "fields"), [(b'"\\ud800"', ("a",)), (b'"\\ud800"', ("a", "b")), (b"[" * 254 + b"]" * 254, ("a", "b"))]
)
def test_an_event_whose_field_cannot_be_a_key_is_copied_without_one(value: bytes, fields: tuple[str, ...]) -> None:
    event = StreamEvent("message", b'{"a":%b,"b":1}' % value, "")
    record, _ = Recorder(Stream("copy", ("copy",), message_key_fields=fields), "").record(event, NOW)
    assert (record.key, record.value) == (None, event.data)
