"""The two passes of all tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.process import ROOT


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (0, 0, ""),
        (1, 0, "Not all tests passed that ran side by side (above).\n"),
        (0, 1, "Not all tests passed that ran one after the other.\n"),
        # No test was collected.
        (5, 0, "Not all tests passed that ran side by side (above).\n"),
        (0, 5, "Not all tests passed that ran one after the other.\n"),
        (1, 2, "Not all tests passed that ran side by side (above) and one after the other.\n"),
    ],
)
def test_both_passes_run_and_a_failure_of_either_is_one_of_all(
    tmp_path: Path, first: int, second: int, said: str
) -> None:
    program = tmp_path / "pytest"
    calls = tmp_path / "calls"
    program.write_text(
        f'''#!/bin/sh\necho "$*" >>"{calls}"\ncase $1 in --numprocesses*) exit {first} ;; *) exit {second} ;; esac\n'''
    )
    program.chmod(0o755)
    script = f". scripts/lib.sh; . scripts/passes.sh; passes '{program}'"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (first == second == 0)
    assert done.stderr.partition("\n")[2] == said
    one, other = calls.read_text().splitlines()
    # No test is in both, none in neither.
    assert other == f"-m not ({one.partition('-m ')[2]})"
