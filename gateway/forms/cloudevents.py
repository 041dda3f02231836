"""CloudEvents in records of Kafka (CloudEvents 1.0, Kafka protocol binding): one JSON object each, in either mode.

Structured: the value is the event. Binary: attributes are headers that begin with `ce_`, and the value is the data.
JSON stays JSON, text stays text, and other data becomes `data_base64`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping

import orjson

from gateway.errors import BadRecord
from gateway.model.event import MAXIMUM_DEPTH, nested_beyond

REQUIRED = ("specversion", "id", "source", "type")
_PREFIX = "ce_"
_STRUCTURED = "application/cloudevents"
_BATCH = "application/cloudevents-batch"


def record_event(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> bytes:
    """The JSON of the event in a record. Raises BadRecord."""
    attributes: dict[str, str] = {}
    media_type = None
    for name, content in headers:
        folded = name.lower()
        if folded == "content-type":
            media_type = _header(name, content)
        elif folded.startswith(_PREFIX):
            attribute = folded[len(_PREFIX) :]
            if attribute in attributes:
                raise BadRecord(f"two headers {name[:100]}")
            attributes[attribute] = _header(name, content)
    kind = essence(media_type)
    if kind.startswith(_BATCH):
        raise BadRecord("a batch of CloudEvents, which a record of Kafka cannot be")
    if kind.startswith(_STRUCTURED) or not attributes:
        if kind.startswith(_STRUCTURED) and kind not in (_STRUCTURED, f"{_STRUCTURED}+json"):
            raise BadRecord(f"a CloudEvent in the format {kind[:100]}; JSON is read")
        return structured(value)
    return binary(attributes, media_type, value)


def structured(value: bytes | None) -> bytes:
    """An event in JSON, as it stands. Raises BadRecord where it is none."""
    if value is None:
        raise BadRecord("a tombstone: the record has no value")
    if nested_beyond(value, MAXIMUM_DEPTH):
        raise BadRecord(f"nested more than {MAXIMUM_DEPTH} deep")
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value  # Perhaps JSON all the same, which the decoder of events knows best.
    if isinstance(event, dict):
        check_attributes(event)
    return value


def check_attributes(event: Mapping[str, object]) -> None:
    """Raises BadRecord where an attribute is missing that each CloudEvent has."""
    for name in REQUIRED:
        text = event.get(name)
        if not isinstance(text, str) or not text:
            raise BadRecord(f"a CloudEvent without {name}")
    if not str(event["specversion"]).startswith("1."):
        raise BadRecord(f"a CloudEvent of the version {str(event['specversion'])[:50]}; 1.0 is read")


def binary(attributes: Mapping[str, str], media_type: str | None, data: bytes | None) -> bytes:
    """The event of attributes and data. Raises BadRecord. The attributes that each event has come first, the others in
    their order."""
    check_attributes(attributes)
    members = {name: attributes[name] for name in REQUIRED}
    members |= {name: text for name, text in attributes.items() if name not in ("data", "data_base64")}
    if media_type is not None:
        members["datacontenttype"] = media_type
    parts = [b"%b:%b" % (orjson.dumps(name), orjson.dumps(text)) for name, text in members.items()]
    if data is not None:
        parts.append(_data(essence(media_type), data))
    return b"{%b}" % b",".join(parts)


def _data(kind: str, data: bytes) -> bytes:
    if not kind or kind.endswith("+json") or kind in ("application/json", "text/json"):
        if is_json(data):
            return b'"data":%b' % data
        if kind:
            raise BadRecord(f"data of the type {kind[:100]} that is not JSON")
    if kind.startswith("text/") or kind in ("application/xml", "") or kind.endswith("+xml"):
        try:
            return b'"data":%b' % orjson.dumps(data.decode())
        except UnicodeDecodeError:
            pass
    return b'"data_base64":"%b"' % b64encode(data)


def is_json(data: bytes) -> bool:
    """Whether these bytes are one value of JSON, not nested too deep for an event."""
    if nested_beyond(data, MAXIMUM_DEPTH - 1):
        return False
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def essence(media_type: str | None) -> str:
    """A media type without its parameters."""
    return (media_type or "").partition(";")[0].strip().lower()


def _header(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BadRecord(f"the header {name[:100]} is not UTF-8") from None
