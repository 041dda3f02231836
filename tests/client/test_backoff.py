"""The waits between tries."""

from __future__ import annotations

import random

import pytest

from gateway.client.backoff import LEAST, LONGEST, LONGEST_ASKED, Backoff


def test_waits_double_up_to_a_bound_and_begin_again_after_success() -> None:
    backoff = Backoff(random.Random(1))
    waits = [backoff.wait() for _ in range(40)]
    for number, wait in enumerate(waits):
        whole = min(LONGEST, 2.0 * 2**number)
        assert whole / 2 <= wait <= whole
    backoff.succeeded()
    assert backoff.wait() <= 2.0


def test_clients_that_lost_their_server_together_come_back_apart() -> None:
    waits = {round(Backoff().wait(), 6) for _ in range(100)}
    assert len(waits) > 90


def test_the_server_says_where_to_begin() -> None:
    backoff = Backoff(random.Random(1))
    backoff.ask(1000)
    assert 0.5 <= backoff.wait() <= 1.0
    assert backoff.wait(at_least=30) == 30
    assert backoff.wait(at_least=1e9) == LONGEST_ASKED


@pytest.mark.parametrize("asked", [0, 10**9])
def test_what_a_server_asks_for_is_bounded(asked: int) -> None:
    backoff = Backoff()
    backoff.ask(asked)
    assert LEAST / 2 <= backoff.wait() <= LONGEST_ASKED
