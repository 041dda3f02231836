"""The documents that explain the code name files that are there, and the index of the internals names them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INTERNALS = ROOT / "docs" / "internals"
DOCUMENTS = [
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "README.md",
    *sorted(INTERNALS.glob("*.md")),
]
FILES = [path.relative_to(ROOT).as_posix() for room in ("gateway", "tests") for path in (ROOT / room).rglob("*.*")]
_NAMED = re.compile(r"`([\w./*-]+(?:\.(?:py|js|json|md|toml)|/))`")
"""A file, perhaps with the end of its path, or with a `*` for several; or a folder, which ends in a slash."""


def exists(name: str) -> bool:
    """Whether a name is the end of the path of a file, or a folder of the project or of the gateway."""
    if name.endswith("/"):
        return (ROOT / name).is_dir() or (ROOT / "gateway" / name).is_dir()
    end = re.compile(r"(?:.*/)?" + re.escape(name).replace(r"\*", "[^/]*"))
    return (ROOT / name).is_file() or any(map(end.fullmatch, FILES))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_files_that_a_document_names_are_there(document: Path) -> None:
    assert [name for name in _NAMED.findall(document.read_text()) if not exists(name)] == []


def test_the_tests_of_the_guarantees_are_there() -> None:
    text = (ROOT / "tests" / "README.md").read_text()
    folders = [name for name in re.findall(r"`(tests/[\w/]+)`", text) if not (ROOT / name).is_dir()]
    assert folders == []


def test_the_index_names_every_document() -> None:
    index = (INTERNALS / "README.md").read_text()
    assert sorted(re.findall(r"\]\((\w[\w-]*\.md)\)", index)) == sorted(
        path.name for path in INTERNALS.glob("*.md") if path.name != "README.md"
    )
