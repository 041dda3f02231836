"""The page, the schema and the stream of "Your own event in five minutes", as docs/INTAKE.md has them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.end_to_end.process import ROOT

_GUIDE = (ROOT / "docs" / "INTAKE.md").read_text()
_PART = _GUIDE.split("## Your own event in five minutes\n")[1].split("\n## ")[0]
_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", _PART, re.MULTILINE | re.DOTALL)
PAGE, SCHEMA, STREAM, COMMANDS = (text for _, text in _BLOCKS)
SCHEMA_PATH, STREAM_PATH = re.findall(r"`(config/[^`]+)`", _PART)
_ADDRESS = "http://127.0.0.1:8080"


def page_file(folder: Path, address: str) -> str:
    """The address of the saved page, which uses the gateway at this address."""
    assert PAGE.count(_ADDRESS) == 1
    path = folder / "guestbook.html"
    path.write_text(PAGE.replace(_ADDRESS, address))
    return path.as_uri()
