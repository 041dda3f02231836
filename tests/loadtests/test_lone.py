"""The bench of a lone event: it serves what it says, and tells where the way leads."""

from __future__ import annotations

import re

import pytest

from loadtests import lone


def test_every_stage_is_there() -> None:
    for stage, owner, name in lone.STAGES:
        assert callable(getattr(owner, name)), stage


@pytest.mark.long
def test_it_counts_the_steps_of_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    assert lone.main(["--rate", "100", "--clients", "2", "--seconds", "0.5", "--steps"]) == 0
    told = capsys.readouterr().out
    assert "2 clients × 100 events/s" in told
    steps = re.search(r"([\d.]+) steps in [\d.]+ calls: all", told)
    assert steps is not None
    assert 1000 < float(steps[1]) < 50_000
    assert "Hub._read" in told
