"""Reads from a server's answer what became of the events of one request. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway import json_text
from gateway.client.answer import PASSING
from gateway.client.errors import ClientError, EventFailed, EventInvalid, Refused
from gateway.text import printable

STORED = range(200, 300)
SOME_STORED = 207
BAD_REQUEST = 400
TOO_LARGE = 413

Faults = dict[int, ClientError]
"""The faults of some events of a request, by their index."""


class Delivery(NamedTuple):
    """The meaning of an answer. `again` says why unsettled events must be sent again unchanged, in `wait` seconds or
    more; empty if all are settled. `smaller`: nothing is stored, and fewer events at a time may be."""

    faults: Faults
    again: str = ""
    wait: float = 0.0
    smaller: bool = False


def read_delivery(url: str, status: int, body: bytes, count: int, said: str, wait: float | None) -> Delivery:
    """The meaning of an answer to `count` events. `said` is the detail of a problem document, `wait` the Retry-After
    (seconds), if there is one."""
    if status in PASSING:
        return Delivery({}, f"the server answered {status}: {said}", wait or 0.0)
    if status in STORED and status != SOME_STORED:
        return Delivery({})
    if status == TOO_LARGE and count > 1:
        return Delivery({}, smaller=True)
    refused = Refused(url, status, said)
    if status in (SOME_STORED, BAD_REQUEST):
        invalid, failed = _entries(body)
        faults: Faults = {index: EventInvalid(detail) for index, detail in invalid if 0 <= index < count}
        if status == SOME_STORED and wait is not None:
            return Delivery(faults, f"the server answered {status}: not all is stored", wait)
        faults |= {index: EventFailed(detail) for index, detail in failed if 0 <= index < count}
        if status == SOME_STORED and faults:
            return Delivery(faults)
        if faults:
            return Delivery({index: faults.get(index, refused) for index in range(count)})
    return Delivery(dict.fromkeys(range(count), refused))


def _entries(body: bytes) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The indices and details in `invalid` and in `error`; empty where the body is of another form."""
    try:
        document = json_text.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return [], []
    return _list(document.get("invalid")), _list(document.get("error"))


def _list(entries: Any) -> list[tuple[int, str]]:
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [
        (entry["index"], printable(str(entry.get("detail", "")))) for entry in found if type(entry.get("index")) is int
    ]
