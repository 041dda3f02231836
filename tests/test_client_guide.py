"""The programs in docs/CLIENTS.md and docs/PYTHON.md are those that are tested with real clients."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDE = "".join((ROOT / name).read_text() for name in ("docs/CLIENTS.md", "docs/PYTHON.md"))
CLIENTS = ROOT / "tests" / "clients"
PROGRAMS = sorted([*CLIENTS.glob("*/[Ff]ollow*"), *CLIENTS.glob("*/send*")])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_guide_shows_the_program(program: Path) -> None:
    assert f"\n{program.read_text()}```\n" in GUIDE


def test_the_guide_shows_no_other_program() -> None:
    shown = re.findall(r"^```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert sorted(shown) == sorted(program.read_text() for program in PROGRAMS)
