"""docs/DERIVING.md: its streams are declared, its tests and commands run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from gateway.commands.cli import main
from gateway.derive.row import LONGEST_KEY

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "DERIVING.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
STREAMS = [block for block in BLOCKS if not block.startswith("base:")]
COMMANDS = re.findall(r"^    \.venv/bin/gateway (.*)$", GUIDE, re.MULTILINE)

NAMES = [name for block in STREAMS for name, stream in yaml.safe_load(block).items() if "schema_title" in stream]


def indented(block: str) -> str:
    return "".join(f"  {line}\n" if line else "\n" for line in block.splitlines())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new user's, with all that the guide declares."""
    shutil.copytree(ROOT / "config" / "schemas", tmp_path / "config" / "schemas")
    config = tmp_path / "config" / "gateway.yaml"
    config.write_text((ROOT / "config" / "gateway.yaml").read_text() + "".join(map(indented, STREAMS)))
    (config.parent / "guide.test.yaml").write_text(next(block for block in BLOCKS if block.startswith("base:")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.long
def test_every_stream_and_test_of_the_guide_works(folder: Path) -> None:
    assert len(NAMES) == 5
    for name in NAMES:
        assert "written" in run("derive", "schema", name)
    assert "no mistakes" in run("check")
    assert "3 tests, no mistakes" in run("derive", "test")


@pytest.mark.long
def test_every_command_of_the_guide_works(folder: Path) -> None:
    assert len(COMMANDS) == 4
    for name in NAMES:
        if f"derive schema {name}" not in COMMANDS:
            run("derive", "schema", name)
    for command in COMMANDS:
        run(*command.split())


def test_the_figures_of_the_guide_are_those_of_the_code() -> None:
    assert f"A key has at most {LONGEST_KEY:,} bytes." in GUIDE
