"""What follows from an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.attempt import LONGEST_PAUSE, Answer, Policy, judge, wished_delay

NOW = 1_767_225_600_000
"""2026-01-01T00:00:00Z"""
POLICY = Policy(ignored=frozenset({404}), delays=(1_000, 60_000, 3_600_000))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "done"), (204, "done"), (299, "done"), (404, "ignored"), (500, "retry"), (503, "retry"), (429, "retry"),
     (301, "dead"), (302, "dead"), (304, "dead"), (400, "dead"), (199, "dead"), (600, "dead"), (None, "retry")],
)  # fmt: skip
def test_a_status_says_what_follows(status: int | None, kind: str) -> None:
    assert judge(Answer(status), 1, NOW, NOW, POLICY).kind == kind


def test_each_delay_is_one_more_try() -> None:
    kinds = [judge(Answer(503), tries, NOW, NOW, POLICY) for tries in (1, 2, 3, 4)]
    assert [(one.kind, one.delay) for one in kinds] == [("retry", 0), ("retry", 1), ("retry", 2), ("dead", 0)]
    assert kinds[3].reason == "it answers 503, at try 4 of 4"
    assert judge(Answer(None, "reset"), 1, NOW, NOW, Policy(delays=())).kind == "dead"


def test_it_is_given_up_after_a_time() -> None:
    policy = Policy(delays=(1_000, 60_000), give_up_after=30_000)
    assert judge(Answer(503), 1, NOW, NOW, policy).kind == "retry"
    assert judge(Answer(503), 1, NOW - 29_001, NOW, policy).kind == "dead"
    assert judge(Answer(503), 2, NOW, NOW, policy).kind == "dead"


@pytest.mark.parametrize(
    ("header", "wait"),
    [("120", 120_000), (" 5 ", 5_000), ("0", 0), ("Thu, 01 Jan 2026 00:01:00 GMT", 60_000), (None, 0), ("", 0),
     ("Wed, 31 Dec 2025 23:00:00 GMT", 0), ("-5", 0), ("1.5", 0), ("9" * 11, 0), ("9" * 5000, 0), ("soon", 0), ("١", 0),
     ("Thu, 99 Jan 99999 00:00:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_read(header: str | None, wait: int) -> None:
    assert wished_delay(header, NOW) == wait


def test_retry_after_is_heeded_within_bounds() -> None:
    verdict = judge(Answer(429, retry_after="30"), 1, NOW, NOW, POLICY)
    assert (verdict.delay, verdict.pause) == (1, 30_000)
    verdict = judge(Answer(429, retry_after="999999"), 1, NOW, NOW, POLICY)
    assert (verdict.kind, verdict.delay, verdict.pause) == ("retry", 2, LONGEST_PAUSE)
    assert judge(Answer(204, retry_after="30"), 1, NOW, NOW, POLICY).pause == 0


@given(st.text(max_size=60))
def test_no_header_makes_it_fail(text: str) -> None:
    assert wished_delay(text, NOW) >= 0
