"""The C programs beside these files, compiled when they are first asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from loadtests.machine import MeasurementError

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache" / "loadtests"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror=implicit-function-declaration")


def compiled(name: str, *flags: str) -> Path:
    """The program, or with `-shared` the library, of NAME.c. Raises MeasurementError without a C compiler."""
    source = HERE / f"{name}.c"
    content = source.read_bytes() + " ".join(flags).encode()
    program = CACHE / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MeasurementError("the measurement needs a C compiler")
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_suffix(f".{os.getpid()}")
    subprocess.run([compiler, *FLAGS, *flags, "-o", unfinished, source], check=True)
    return unfinished.rename(program)
