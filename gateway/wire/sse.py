"""Server-sent events (WHATWG HTML, section 9.2.6, "Interpreting an event stream")."""

from __future__ import annotations


class ServerSentEvents:
    """Frames of an event stream; a frame with an `id:` and no `data:` moves the client's last event id without an
    event."""

    content_type = "text/event-stream; charset=utf-8"
    tells = True

    def opening(self, identifier: bytes, retry: int) -> bytes:
        return b": welcome\nretry: %d\nid: %b\n\n" % (retry, identifier)

    def message(self, identifier: bytes, data: bytes) -> bytes:
        return b"event: message\nid: %b\ndata: %b\n\n" % (identifier, data)

    def heartbeat(self, identifier: bytes, comment: bytes | None = None) -> bytes:
        if comment is not None:
            return b": %b\nid: %b\n\n" % (comment, identifier)
        return b"id: %b\n\n" % identifier

    def farewell(self, identifier: bytes, retry: int) -> bytes:
        return b"retry: %d\nid: %b\n\n" % (retry, identifier)

    def notice(self, kind: bytes, identifier: bytes, document: bytes) -> bytes:
        return b"event: %b\nid: %b\ndata: %b\n\n" % (kind, identifier, document)

    def end(self, identifier: bytes, document: bytes) -> bytes:
        return self.notice(b"end", identifier, document)


SSE = ServerSentEvents()
