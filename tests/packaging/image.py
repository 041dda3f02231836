"""The Dockerfile, read; and its build stage, done without a container engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.conftest import absent
from tests.end_to_end.process import ROOT


class Instruction(NamedTuple):
    """A line of a Dockerfile, those that it goes on in included."""

    name: str
    value: str


class Stage(NamedTuple):
    """What follows a FROM."""

    base: str
    instructions: list[Instruction]

    def values(self, name: str) -> list[str]:
        """Those of all instructions of this name."""
        return [instruction.value for instruction in self.instructions if instruction.name == name]

    def value(self, name: str) -> str:
        """That of the only one of this name."""
        (value,) = self.values(name)
        return value


def stages() -> list[Stage]:
    """The stages of the image; variables before the first are put in."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: list[Stage] = []
    variables: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "ARG" and not found:
            variable, _, default = value.partition("=")
            variables[variable] = default
        elif name == "FROM":
            base = value.split()[0]
            found.append(Stage(re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], base), []))
        elif name:
            found[-1].instructions.append(Instruction(name, value.strip()))
    return found


def health_check() -> list[str]:
    """The command that tells whether a container is well."""
    command: list[str] = json.loads(stages()[-1].value("HEALTHCHECK").partition("CMD ")[2])
    return command


def copied(stage: Stage) -> list[tuple[list[str], str]]:
    """What is copied from the repository, and to where."""
    words = [value.split() for value in stage.values("COPY") if not value.startswith("--from")]
    return [(sources, target) for *sources, target in words]


def context(directory: Path) -> None:
    """What .dockerignore lets through: everything is left out that no line with `!` lets in again."""
    patterns = (ROOT / ".dockerignore").read_text().split()
    assert patterns[0] == "*"
    again = [pattern.removeprefix("**/") for pattern in patterns[1:] if not pattern.startswith("!")]
    for pattern in patterns:
        if pattern.startswith("!"):
            source = ROOT / pattern[1:]
            if source.is_dir():
                shutil.copytree(source, directory / source.name, ignore=shutil.ignore_patterns(*again))
            else:
                shutil.copy(source, directory)
    assert not [path for path in directory.rglob("*") if any(fnmatch.fnmatch(path.name, pattern) for pattern in again)]


def build(directory: Path) -> Path:
    """Do what the build stage says; returns the environment that it makes, with its programs in `bin`."""
    (directory / "context").mkdir()
    (directory / "build").mkdir()
    context(directory / "context")
    target = directory / "opt"
    given = dict(value.split("=") for value in stages()[0].values("ARG"))
    for name, value in stages()[0].instructions:
        if name == "COPY":
            *sources, place = value.split()
            for source in sources:
                _copy(directory / "context" / source, directory / "build" / place)
        elif name == "RUN":
            command = value.replace("/opt/gateway", str(target)).replace(
                "python ", f"{shlex.quote(sys.executable)} ", 1
            )
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=directory / "build",
                env={**os.environ, **given},
                capture_output=True,
                text=True,
                check=False,
            )
            if "Connection" in done.stderr and "Retrying" in done.stderr:
                absent("the package index cannot be reached")
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return target


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
