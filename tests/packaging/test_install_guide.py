"""The commands that docs/OPERATING.md and docs/PYTHON.md install with."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.end_to_end.process import ROOT, WAIT, environment
from tests.services.programs import ENVIRONMENT
from tests.test_documents import section

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]

OPERATING = section((ROOT / "docs/OPERATING.md").read_text(), "Install").partition("### ")[0]
PYTHON = section((ROOT / "docs/PYTHON.md").read_text(), "Install")


def commands(text: str, *programs: str) -> list[str]:
    """The indented lines that begin with one of these, without what is said behind them."""
    lines = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    return [re.sub(r"\s+# .*$", "", line) for line in lines if line.startswith(programs)]


def run(home: Path, *lines: str) -> str:
    """What the commands say, one after the other in the repository."""
    kept = {name: value for name, value in environment().items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    path = f"{ENVIRONMENT / 'bin'}:{kept['PATH']}"
    own = {"PATH": path, "HOME": str(home), "PIPX_HOME": str(home / "pipx"), "PIPX_BIN_DIR": str(home / "bin")}
    ended = subprocess.run(
        ["sh", "-ec", "\n".join(lines)],
        cwd=ROOT,
        env=kept | own,
        capture_output=True,
        text=True,
        check=False,
        timeout=8 * WAIT,
    )
    if "Retrying" in ended.stderr and "onnection" in ended.stderr:
        absent("the package index cannot be reached")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return ended.stdout


def test_into_an_environment_of_its_own(tmp_path: Path) -> None:
    lines = commands(OPERATING, "python3 -m venv", "~/gateway/bin/pip install .", "~/gateway/bin/gateway")
    assert len(lines) == 3
    assert run(tmp_path, *lines).endswith("gateway, version 0.1.0\n")


def test_the_client_alone(tmp_path: Path) -> None:
    (line,) = commands(PYTHON, "python3 -m venv")
    where = '~/reader/bin/python -c "import gateway.client as found; print(found.__file__)"'
    assert run(tmp_path, line, "cd /", where).splitlines()[-1].startswith(f"{tmp_path}/reader/lib")


@pytest.mark.parametrize("program", ["pipx run", "uvx"])
def test_with_programs_that_make_the_environment(program: str, tmp_path: Path) -> None:
    name = program.split(maxsplit=1)[0]
    if not (ENVIRONMENT / "bin" / name).exists():
        absent(f"there is no {name} in {ENVIRONMENT}")
    (line,) = commands(OPERATING, program)
    assert run(tmp_path, line).endswith("gateway, version 0.1.0\n")
