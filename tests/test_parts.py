"""Each test file is in one part of the quick loop, and what fails in one is a failure of all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.parts import ROOT, SLOW_ROOMS, deal, files_to_try, run


def test_each_file_is_in_one_part() -> None:
    files = files_to_try()
    assert Path(__file__) in files
    assert sorted(path for part in deal(files, 4) for path in part) == sorted(ROOT.rglob("test_*.py"))


def test_the_ten_seconds_are_without_the_slow_rooms() -> None:
    rooms = {path.relative_to(ROOT).parts[0] for path in files_to_try(SLOW_ROOMS)}
    assert "hub" in rooms
    assert not rooms.intersection(SLOW_ROOMS)
    assert all((ROOT / room).is_dir() for room in SLOW_ROOMS)


@pytest.mark.parametrize(("codes", "failed"), [((0, 0), 0), ((0, 2), 1), ((5, 0), 1)])
def test_one_that_fails_is_a_failure(codes: tuple[int, int], failed: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([sys.executable, "-c", f"print('said'); raise SystemExit({code})"] for code in codes) == failed
    assert capfd.readouterr().out == "said\nsaid\n"


def test_each_has_a_folder_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import os; print(os.environ['PYTEST_DEBUG_TEMPROOT'])"
    assert run([[sys.executable, "-c", program]] * 2) == 0
    one, other = map(Path, capfd.readouterr().out.split())
    assert one != other
    assert not one.exists()
