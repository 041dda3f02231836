"""Programs of others that come from PyPI, in an environment of their own: tests/programs/requirements.in."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import absent

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = ROOT / ".cache" / "programs"
PYTHON = ENVIRONMENT / "bin" / "python"
SECONDS = 120.0
"""For a program that ends by itself. One in Java takes a minute of a machine on which several others begin."""


def package(name: str) -> Path:
    """Where a package is installed."""
    found = next(ENVIRONMENT.glob(f"lib/python3.*/site-packages/{name}"), None)
    return found or absent(f"there is no {name} in {ENVIRONMENT}")


def run(command: Sequence[str | Path], directory: Path, given: str = "", errors: bool = False, **variables: str) -> str:
    """What a program writes that ends by itself, and well; with `errors`, what it writes there."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(directory), **variables}
    ended = subprocess.run(
        list(map(str, command)),
        input=given,
        capture_output=True,
        text=True,
        cwd=directory,
        env=environment,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"{command[:3]}: {ended.stdout[-2000:]}{ended.stderr[-4000:]}"
    return ended.stderr if errors else ended.stdout
