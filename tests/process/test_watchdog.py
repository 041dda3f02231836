"""The watchdog: it sees a loop that stands, and nothing else."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gateway.observability.telemetry.bad_records import REASONS, SUMMARY_SECONDS, BadRecords
from gateway.observability.throttle import Quota
from gateway.process.restarts import FIRST_PAUSE, LONGEST_PAUSE, MOST_EARLY_ENDS, SETTLED_SECONDS, Restarts, cause
from gateway.process.watchdog import STALLED_STATUS, StallMeter, watched
from tests.kit.waiting import PATIENCE


def test_a_meter_counts_the_time_since_the_last_beat() -> None:
    meter = StallMeter(1.0)
    assert [meter.look(beats, 1.0) for beats in (0, 0, 0, 1, 1)] == [0, 1, 2, 0, 1]


def test_a_meter_does_not_count_time_in_which_it_did_not_look() -> None:
    meter = StallMeter(1.0)
    meter.look(0, 1.0)
    assert meter.look(0, 3600.0) == 2.0


@pytest.mark.long
async def test_a_loop_that_stands_is_told_with_where_it_stands() -> None:
    told: list[tuple[str, str]] = []
    seen = threading.Event()

    def end(message: str, where: str) -> None:
        told.append((message, where))
        seen.set()

    # So long that a busy machine alone does not keep the loop from its beats.
    with watched(1.0, end):
        await asyncio.sleep(1.5)
        assert not told
        stand_here(seen)
    ((message, where),) = told
    assert "has been blocked" in message
    first = where.split("\nthread ")[0]
    assert first.startswith("the thread of the event loop:")
    assert "stand_here" in first


def stand_here(until: threading.Event) -> None:
    assert until.wait(PATIENCE)


async def test_a_limit_of_zero_is_no_watchdog() -> None:
    with watched(0, lambda *_: pytest.fail("it is off")):
        assert watchdogs() == 0
    with watched(60, lambda *_: pytest.fail("it has not stood")):
        assert watchdogs() == 1
    assert watchdogs() == 0


def watchdogs() -> int:
    """How many there are; threads of earlier tests may end at any time."""
    return [thread.name for thread in threading.enumerate()].count("watchdog")


@pytest.mark.long
async def test_a_beat_costs_next_to_nothing() -> None:
    with watched(30, lambda *_: None):
        began = time.process_time()
        await asyncio.sleep(1.1)
        assert time.process_time() - began < 0.05


def test_pauses_grow_to_a_maximum_and_end() -> None:
    restarts = Restarts()
    pauses = [restarts.pause(0.5) for _ in range(MOST_EARLY_ENDS)]
    assert pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
    assert pauses[-2:] == [LONGEST_PAUSE, None]


def test_a_worker_that_had_settled_begins_anew() -> None:
    restarts = Restarts()
    for _ in range(MOST_EARLY_ENDS - 1):
        restarts.pause(0.5)
    assert restarts.pause(SETTLED_SECONDS) == FIRST_PAUSE
    assert restarts.pause(0.5) == 2 * FIRST_PAUSE


@pytest.mark.parametrize(
    ("status", "silent", "kind", "part"),
    [
        (-7, False, "signal", "SIGBUS"),
        (-9, False, "signal", "memory"),
        (-9, True, "stalled", "did not answer"),
        (STALLED_STATUS, True, "stalled", "watchdog"),
        (0, False, "status", "in order"),
        (3, False, "status", "status 3"),
        (-200, False, "signal", "signal 200"),
        (None, False, "status", "nobody knows how"),
    ],
)
def test_a_cause_in_words(status: int | None, silent: bool, kind: str, part: str) -> None:
    word, words = cause(status, silent)
    assert word == kind
    assert part in words


def test_bad_records_are_summed_up_a_topic_and_minute() -> None:
    bad = BadRecords()
    assert bad.due(0) == []
    bad.note("a", 0, 5, "no object")
    bad.note("b", 1, 7, "no object")
    assert bad.due(1) == [
        "skipped a record that is not an event: a/0 offset 5: no object (1)",
        "skipped a record that is not an event: b/1 offset 7: no object (1)",
    ]
    for offset in range(1000):
        bad.note("a", 0, offset, "no object" if offset % 10 else f"odd {offset}")
    assert bad.due(SUMMARY_SECONDS) == []
    (line,) = bad.due(SUMMARY_SECONDS + 1)
    assert line.startswith("skipped 1000 records that are not events: a/0 offset 0 to 0 offset 999: no object (900); ")
    assert bad.due(SUMMARY_SECONDS * 9) == []


def test_reasons_are_bounded() -> None:
    bad = BadRecords()
    for offset in range(100 * REASONS):
        bad.note("a", 0, offset, f"{offset} " + "x" * 10_000)
    assert len(bad._topics["a"].reasons) == REASONS
    assert len(bad.due(0)[0]) < 1000


def test_a_quota_lets_so_many_through_and_counts_the_others() -> None:
    quota = Quota(3, 10.0)
    assert [quota.take(float(now)) for now in range(5)] == [True, True, True, False, False]
    assert quota.take(10.0)
    assert not quota.is_used_up
    assert quota.settle() == 2
    assert quota.settle() == 0
