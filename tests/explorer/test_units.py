"""The page's logic without a page: tests in JavaScript, run by Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.end_to_end.clients import NODE_MODULES
from tests.end_to_end.process import ROOT

UNITS = sorted((Path(__file__).parent / "units").glob("*.test.mjs"))


@pytest.mark.long
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name.removesuffix(".test.mjs"))
def test_unit(unit: Path) -> None:
    node = shutil.which("node") or absent("there is no node")
    result = subprocess.run([node, "--test", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.long
def test_the_types_of_the_page_hold() -> None:
    """They stand in comments (JSDoc), so that the files are sent as they are written."""
    node = shutil.which("node") or absent("there is no node")
    compiler = NODE_MODULES / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        absent(f"there is no {compiler}")
    options = "--noEmit --allowJs --checkJs --strict --target esnext --module esnext --moduleResolution bundler"
    files = sorted(str(path) for path in (ROOT / "gateway" / "explorer").glob("*.js"))
    command = [node, str(compiler), *options.split(), "--lib", "esnext,dom,dom.iterable", *files]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout
