"""The four passes of all tests."""

from __future__ import annotations

import signal
import subprocess
from itertools import product
from pathlib import Path

import pytest

from tests.end_to_end.process import ROOT

NAMES = ("side by side", "with processes", "in pairs", "alone")
MARKS = ("not kafka", "not (not kafka", "in_pairs", "alone")
"""How each says which tests are its own."""


# 1: a test failed; 5: none was collected.
@pytest.mark.long
@pytest.mark.parametrize("statuses", list(product((0, 1), (0, 5), (0, 1), (0, 2))), ids=str)
def test_all_passes_run_and_a_failure_of_any_is_one_of_all(tmp_path: Path, statuses: tuple[int, ...]) -> None:
    program, calls = tmp_path / "pytest", tmp_path / "calls"
    program.write_text(
        f'''#!/bin/sh
echo "$*" >>"{calls}"
echo said
case "$*" in *"-m alone"*) echo "FAILED one" >>"$GATEWAY_TEST_FAILURES";; esac
case "$*" in
{"".join(f'*"-m {mark}"*) exit {status};;' for mark, status in zip(MARKS, statuses, strict=True))}
esac
'''
    )
    program.chmod(0o755)
    script = f". scripts/lib.sh; . scripts/passes.sh; passes '{program}'"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not any(statuses))
    failed = " and ".join(name for name, status in zip(NAMES, statuses, strict=True) if status)
    expected = [f"The tests that run {name}:" for name in NAMES]
    expected += ["FAILED one", *([f"Not all tests passed that ran {failed}."] if failed else [])]
    assert done.stderr.splitlines() == expected
    assert done.stdout == "said\n" * len(NAMES)
    own = {call.partition("-m ")[2] for call in calls.read_text().splitlines()}
    beside, processes, pairs, alone = (next(one for one in own if one.startswith(mark)) for mark in MARKS)
    # No test is in two of them, and none in none but those that are run by hand.
    assert beside.endswith(" and not in_pairs and not alone and not by_hand")
    assert processes == f"not ({beside}) and not in_pairs and not alone and not by_hand"
    assert (pairs, alone) == ("in_pairs and not alone", "alone")


@pytest.mark.long
def test_no_pass_ignores_an_interruption(tmp_path: Path) -> None:
    """As the tests of interruptions would."""
    program, ignored = tmp_path / "pytest", tmp_path / "ignored"
    program.write_text(f'#!/bin/sh\ngrep SigIgn /proc/self/status >>"{ignored}"\n')
    program.chmod(0o755)
    script = f". scripts/lib.sh; . scripts/passes.sh; passes '{program}'"
    subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, check=True)
    masks = [int(line.split()[1], 16) for line in ignored.read_text().splitlines()]
    assert [mask >> (signal.SIGINT - 1) & 1 for mask in masks] == [0] * len(NAMES)
