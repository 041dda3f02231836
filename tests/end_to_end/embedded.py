"""What tests of commands over the embedded log share."""

from __future__ import annotations

import json

from tests.end_to_end.process import ROOT, eventually, run

STREAM = "wiki.page-create"
CONFIGURATION = ["--config", str(ROOT / "config" / "gateway.yaml"), "--schemas", str(ROOT / "config" / "schemas")]
STREAMS = {"numbers": {"topics": ["numbers"]}}


def lines(first: int, last: int) -> bytes:
    """Valid events for `gateway produce`, numbered."""
    document = {
        "$schema": f"/{STREAM.replace('.', '/')}/1.0.0",
        "meta": {"stream": STREAM, "domain": "en.wiki.example"},
        "wiki": "enwiki",
        "revision": {"id": 1, "length": 1},
        "user": "192.0.2.17",
        "bot": False,
        "comment": "",
    }
    pages = ({"id": number + 1, "title": f"Page {number}", "namespace": 0} for number in range(first, last + 1))
    return b"".join(json.dumps({**document, "page": page}).encode() + b"\n" for page in pages)


def produce(log: str, given: bytes) -> tuple[int, str]:
    """Run `gateway produce`; returns its status and what it said."""
    result = run(["produce", STREAM, "--log", log, *CONFIGURATION], given)
    return result.returncode, result.stderr


async def eventually_printed(check: object) -> None:
    """Wait for what a program prints."""
    assert callable(check)

    async def checked() -> bool:
        return bool(check())

    await eventually(checked, "the output")
