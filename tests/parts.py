"""The quick loop's tests, in processes that have files of their own, beside the static checks:

python -m tests.parts PROCESSES [--quick] [PYTEST ARGUMENT]...

The workers of pytest-xdist collect all files each, which takes as long as the quick tests themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent
QUICK = ("--hypothesis-profile=quick", "-m", "not kafka and not redis and not end_to_end and not long")
"""Of a property a tenth of the examples, and no test that needs a service or much time."""
REPORT = ("--quiet", "--no-header", "--durations=3", "--durations-min=0.5")
SLOW_ROOMS = (
    "attacks", "claims", "client", "clients", "commands", "conformance", "demo", "derive", "description", "end_to_end",
    "eventlog", "explorer", "fuzz", "intake", "loadtests", "mirror", "observability", "outbound", "packaging",
    "process", "programs", "prose", "routes", "rules", "schemas", "server", "simulation",
)  # fmt: skip
"""Rooms whose tests serve, start processes, read a log or compile schemas; the ten seconds are without them."""


def files_to_try(leave_out: Iterable[str] = ()) -> list[Path]:
    """All test files but those of some rooms, the largest first."""
    rooms = {"node_modules", *leave_out}
    found = [path for path in ROOT.rglob("test_*.py") if rooms.isdisjoint(path.relative_to(ROOT).parts)]
    return sorted(found, key=lambda path: (-path.stat().st_size, path))


def deal(files: Sequence[Path], parts: int) -> list[list[Path]]:
    """About equal parts: to and fro, so that no part has the larger one each time."""
    dealt: list[list[Path]] = [[] for _ in range(parts)]
    for number, path in enumerate(files):
        step = number % (2 * parts)
        dealt[min(step, 2 * parts - 1 - step)].append(path)
    return dealt


def run(commands: Iterable[Sequence[str]]) -> int:
    """Run all beside each other, and show what each said when it has ended. 1 where one failed, else 0. Each has a
    folder of its own for files: where two runs of pytest clean up those of earlier ones at once, one of them fails."""
    failed = 0
    with ExitStack() as stack:
        running = []
        for command in commands:
            said = stack.enter_context(tempfile.TemporaryFile())
            environment = os.environ | {"PYTEST_DEBUG_TEMPROOT": stack.enter_context(tempfile.TemporaryDirectory())}
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)
            running.append((process, said))
        for process, said in running:
            failed |= process.wait() != 0
            said.seek(0)
            sys.stdout.buffer.write(said.read())
            sys.stdout.flush()
    return failed


def main(arguments: list[str]) -> int:
    """See above."""
    processes, *more = arguments
    quick = more[:1] == ["--quick"]
    files = files_to_try(SLOW_ROOMS if quick else ())
    commands = [] if quick else [["bash", "scripts/check", "--static"]]
    for part in deal(files, int(processes)):
        names = [os.path.relpath(path) for path in part]
        commands.append([sys.executable, "-m", "pytest", *REPORT, *QUICK, *more[quick:], *names])
    return run(commands)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
