"""The four passes of all tests."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import pytest

from tests.end_to_end.process import ROOT

NAMES = ("side by side", "with processes", "in pairs", "alone")


# 1: a test failed; 5: none was collected.
@pytest.mark.parametrize("statuses", list(product((0, 1), (0, 5), (0, 1), (0, 2))), ids=str)
def test_all_passes_run_and_a_failure_of_any_is_one_of_all(tmp_path: Path, statuses: tuple[int, ...]) -> None:
    program, calls = tmp_path / "pytest", tmp_path / "calls"
    program.write_text(
        f'''#!/bin/sh
echo "$*" >>"{calls}"
set -- {" ".join(map(str, statuses))}
shift $(($(wc -l <"{calls}") - 1))
exit $1
'''
    )
    program.chmod(0o755)
    script = f". scripts/lib.sh; . scripts/passes.sh; passes '{program}'"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not any(statuses))
    failed = " and ".join(name for name, status in zip(NAMES, statuses, strict=True) if status)
    expected = [f"The tests that run {name}:" for name in NAMES]
    assert done.stderr.splitlines() == expected + ([f"Not all tests passed that ran {failed}."] if failed else [])
    first, second, third, fourth = (call.partition("-m ")[2] for call in calls.read_text().splitlines())
    # No test is in two of them, none in none.
    assert first.endswith(" and not in_pairs and not alone")
    assert second == f"not ({first}) and not in_pairs and not alone"
    assert (third, fourth) == ("in_pairs and not alone", "alone")
