"""A small server that speaks the REST API of Confluent's schema registry, as its documentation describes it. It is no
registry: it checks no schema, and forgets everything at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

AVRO, PROTOBUF, JSON = "AVRO", "PROTOBUF", "JSON"


class SmallRegistry:
    """Its schemas. `away`: every request is answered with 503."""

    def __init__(self, first_id: int = 1) -> None:
        self.subjects: dict[str, list[int]] = {}
        self.schemas: dict[int, dict[str, Any]] = {}
        self.away = False
        self.asked: list[str] = []
        self.url = ""
        self._next = first_id

    def add(self, subject: str, schema: Any, kind: str = AVRO) -> int:
        """Add a version of a subject; returns the id of its schema."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        number, self._next = self._next, self._next + 1
        # A registry leaves the kind out where it is Avro.
        self.schemas[number] = {"schema": text} | ({} if kind == AVRO else {"schemaType": kind})
        self.subjects.setdefault(subject, []).append(number)
        return number

    def answer(self, path: str) -> tuple[int, Any]:
        """The status and the document for a path."""
        self.asked.append(path)
        if self.away:
            return 503, {"error_code": 50301, "message": "the registry is away"}
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["schemas", "ids", number] if int(number) in self.schemas:
                return 200, self.schemas[int(number)]
            case ["schemas", "ids", number, "versions"] if int(number) in self.schemas:
                return 200, [
                    {"subject": subject, "version": numbers.index(int(number)) + 1}
                    for subject, numbers in self.subjects.items()
                    if int(number) in numbers
                ]
            case ["schemas", *_]:
                return 404, {"error_code": 40403, "message": "Schema not found"}
            case ["subjects", subject, "versions"] if subject in self.subjects:
                return 200, list(range(1, len(self.subjects[subject]) + 1))
            case ["subjects", subject, "versions", version] if subject in self.subjects:
                numbers = self.subjects[subject]
                place = len(numbers) if version == "latest" else int(version)
                if not 1 <= place <= len(numbers):
                    return 404, {"error_code": 40402, "message": f"Version {version} not found."}
                found = numbers[place - 1]
                return 200, {"subject": subject, "version": place, "id": found, **self.schemas[found]}
            case ["subjects"]:
                return 200, sorted(self.subjects)
        return 404, {"error_code": 40401, "message": "Subject not found."}


@contextmanager
def small_registry(first_id: int = 1) -> Iterator[SmallRegistry]:
    """A registry on a free port, until the end of the block."""
    registry = SmallRegistry(first_id)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, document = registry.answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
