"""The page's logic without a page: tests in JavaScript, run by Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import absent

UNITS = sorted((Path(__file__).parent / "units").glob("*.test.mjs"))


@pytest.mark.long
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name.removesuffix(".test.mjs"))
def test_unit(unit: Path) -> None:
    node = shutil.which("node") or absent("there is no node")
    result = subprocess.run([node, "--test", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
