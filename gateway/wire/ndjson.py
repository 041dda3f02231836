"""Newline-delimited JSON: one event a line, no positions."""

from __future__ import annotations


class NewlineDelimited:
    """An event is its own line, an empty line is a heartbeat, and what else is said is an object with one reserved
    key: `{"$gap":{...}}`. The end of a range is the end of the response."""

    tells = True

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type

    def opening(self, identifier: bytes, retry: int) -> bytes:
        return b"\n"

    def message(self, identifier: bytes, data: bytes) -> bytes:
        return data + b"\n"

    def heartbeat(self, identifier: bytes, comment: bytes | None = None) -> bytes:
        return b"\n"

    def farewell(self, identifier: bytes, retry: int) -> bytes:
        return b""

    def end(self, identifier: bytes, document: bytes) -> bytes:
        return b""

    def notice(self, kind: bytes, identifier: bytes, document: bytes) -> bytes:
        return b'{"$%b":%b}\n' % (kind, document)


NDJSON = NewlineDelimited("application/x-ndjson")
JSON_LINES = NewlineDelimited("application/json")
