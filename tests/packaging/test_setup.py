"""What the scripts install: the locks, and what is missing of the system."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.process import ROOT


def locked(name: str) -> dict[str, str]:
    """The packages of a lock and their versions."""
    return dict(re.findall(r"^([a-zA-Z0-9._-]+)(?:\[.*\])?==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_demo_needs_no_tool_of_development() -> None:
    run = locked("requirements.lock")
    assert not run.keys() & {"pytest", "mypy", "ruff", "duckdb", "playwright", "locust", "hypothesis", "hatchling"}
    assert locked("requirements-build.lock").keys() >= {"hatchling", "editables"}


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-archive.lock", "requirements-msk.lock", "requirements-build.lock"]
)
def test_what_develops_also_runs(name: str) -> None:
    """The development lock has all of the others, in the same versions: it is installed alone, or on top."""
    assert locked(name).items() <= locked("requirements-dev.lock").items()


def test_an_image_for_archives_has_all_of_the_other() -> None:
    archives = locked("requirements-archive.lock")
    assert locked("requirements.lock").items() <= archives.items()
    assert {"pyarrow", "deltalake"} <= archives.keys() - locked("requirements.lock").keys()
    assert "ARG LOCK=requirements.lock\n" in (ROOT / "Dockerfile").read_text()


def shell(directory: Path, candidate: str, command: str, *programs: str) -> list[str]:
    """What a command says where only these programs are, and apt has this version of each package."""
    for needed in ("sed", "cat", "dirname"):
        (directory / needed).symlink_to(shutil.which(needed) or needed)
    for program in programs:
        (directory / program).write_text("#!/bin/sh\necho v18.20.4\n")
        (directory / program).chmod(0o755)
    apt = directory / "apt-cache"
    apt.write_text(f"#!/bin/sh\nprintf '%s:\\n  Installed: (none)\\n  Candidate: {candidate}\\n' \"$2\"\n")
    apt.chmod(0o755)
    script = f". scripts/lib.sh; . scripts/system.sh; {command}"
    done = subprocess.run(
        ["/bin/bash", "-c", script], cwd=ROOT, env={"PATH": str(directory)}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("candidate", "programs", "wanted"),
    [
        ("18.20.4+dfsg-1~deb12u2", (), ["npm"]),
        ("18.20.4+dfsg-1~deb12u2", ("node", "npm"), []),
        ("20.19.2+dfsg-1+deb13u3", (), ["nodejs", "npm"]),
        ("2:20.19.2", ("node", "npm"), ["nodejs"]),
        ("(none)", (), ["nodejs", "npm"]),
    ],
)
def test_node_is_debian_s_where_that_is_new_enough(
    tmp_path: Path, candidate: str, programs: tuple[str, ...], wanted: list[str]
) -> None:
    assert shell(tmp_path, candidate, "node_packages || true", *programs) == wanted


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    wanted = shell(tmp_path, "20.1", "wanted_packages || true")
    assert {"python3", "python3-venv", "git", "curl", "openssl", "maven", "nodejs", "npm", "golang-go"} <= set(wanted)
    assert {"default-jdk-headless", "chromium", "firefox-esr", "redis-server", "gcc"} <= set(wanted)
