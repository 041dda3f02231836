"""How far a subscription is behind."""

from __future__ import annotations

import pytest

from gateway.tail.progress import CatchUp
from tests.kit.clock import HandClock


@pytest.mark.parametrize("odd", [-1, -(2**63), None])
def test_an_event_without_a_time_is_as_old_as_the_one_before_it(odd: int | None) -> None:
    progress = CatchUp(HandClock())
    progress.note(1, odd)
    assert progress.behind == 0
    progress.note(1, 999_000)
    progress.note(1, odd)
    assert progress.behind == 1_000
    progress.note(1, 2**63 - 1)
    assert progress.behind == 0
