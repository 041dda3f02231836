"""CloudEvents in records of Kafka become one JSON object, in either mode."""

from __future__ import annotations

import pytest

from gateway.errors import BadRecord
from gateway.forms.cloudevents import record_event

HEADERS = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/a"), ("ce_type", b"t"))
HEAD = b'{"specversion":"1.0","id":"1","source":"/a","type":"t"'


@pytest.mark.parametrize(
    ("media_type", "data", "rest"),
    [
        (
            b"application/json; charset=utf-8",
            b'{"a": 1}',
            b',"datacontenttype":"application/json; charset=utf-8","data":{"a": 1}}',
        ),
        (b"application/x+json", b"null", b',"datacontenttype":"application/x+json","data":null}'),
        (b"text/plain", b"hi", b',"datacontenttype":"text/plain","data":"hi"}'),
        (b"image/png", b"\x00", b',"datacontenttype":"image/png","data_base64":"AA=="}'),
        (b"text/plain", b"\xff", b',"datacontenttype":"text/plain","data_base64":"/w=="}'),
        (b"application/json", None, b',"datacontenttype":"application/json"}'),
    ],
)
def test_binary_attributes_are_members_and_data_keeps_its_kind(
    media_type: bytes, data: bytes | None, rest: bytes
) -> None:
    assert record_event(data, (*HEADERS, ("content-type", media_type))) == HEAD + rest


def test_extensions_follow_in_their_order() -> None:
    assert record_event(None, (("ce_subject", b"s"), *HEADERS)) == HEAD + b',"subject":"s"}'


def test_a_structured_event_stays_as_it_stands() -> None:
    value = b'{ "specversion": "1.0", "id": "1", "source": "/a", "type": "t", "data": 1.0 }'
    assert record_event(value, (("content-type", b"application/cloudevents+json"),)) == value
    assert record_event(value, ()) == value


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{}", (), "without specversion"),
        (b'{"specversion":"0.3","id":"1","source":"a","type":"t"}', (), "version 0.3"),
        (b"", HEADERS[1:], "without specversion"),
        (b"", (*HEADERS, ("CE_ID", b"2")), "two headers"),
        (b"", (("ce_id", b"\xff"),), "not UTF-8"),
        (b"{", (*HEADERS, ("content-type", b"application/json")), "not JSON"),
        (b"[]", (("content-type", b"application/cloudevents-batch+json"),), "batch"),
        (b"", (("content-type", b"application/cloudevents+avro"),), "format"),
        (None, (), "tombstone"),
    ],
)
def test_what_is_no_cloudevent_is_a_bad_record(
    value: bytes | None, headers: tuple[tuple[str, bytes], ...], reason: str
) -> None:
    with pytest.raises(BadRecord, match=reason):
        record_event(value, headers)
