"""What the tests of the documents share: the document of a gateway, and a record of what it really answers."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import unquote

import httpx

from gateway.description.parts import Json

OF_THE_CONNECTION = {"content-type", "content-length", "date", "transfer-encoding", "allow", "x-request-id"}
"""Headers that no response of a document names: OpenAPI leaves out the first, HTTP itself has the others."""


def operations(document: Json) -> list[tuple[str, str, Json]]:
    """Path, method and operation of each."""
    return [(path, method, one) for path, item in document["paths"].items() for method, one in item.items()]


def response(document: Json, operation: Json, status: int) -> Json | None:
    """What the document says of a status, references followed."""
    found: Json | None = operation["responses"].get(str(status))
    if found is not None and "$ref" in found:
        return dict(document["components"]["responses"][found["$ref"].rpartition("/")[2]])
    return found


class Record:
    """The answers that were seen of each operation, held against the document as they come."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.seen: defaultdict[tuple[str, str], set[int]] = defaultdict(set)

    def path_of(self, path: str) -> str:
        """The documented path of a request: the most specific one."""
        steps = path.split("/")

        def fits(pattern: str) -> bool:
            parts = pattern.split("/")
            return len(parts) == len(steps) and all(
                part == step or (part.startswith("{") and step) for part, step in zip(parts, steps, strict=True)
            )

        paths: list[str] = [one for one in self.document["paths"] if fits(one)]
        return min(paths, key=lambda one: one.count("{"))

    def add(self, answer: httpx.Response) -> httpx.Response:
        """Hold an answer against the document; what is not in it fails."""
        path = self.path_of(answer.request.url.raw_path.decode().partition("?")[0])
        method = answer.request.method.lower()
        place = f"{method} {unquote(path)}: {answer.status_code}"
        told = response(self.document, self.document["paths"][path][method], answer.status_code)
        assert told is not None, f"{place} is not documented"
        names = {name.lower() for name in told.get("headers", ())} | OF_THE_CONNECTION
        assert set(answer.headers) <= names, f"{place}: undocumented headers {set(answer.headers) - names}"
        kind = answer.headers.get("content-type", "").partition(";")[0]
        kinds: Any = told.get("content", {})
        ranges = {kind, f"{kind.partition('/')[0]}/*"}
        assert ranges & set(kinds) or (not kind and not kinds), f"{place}: undocumented media type {kind!r}"
        self.seen[path, method].add(answer.status_code)
        return answer
