"""When the trouble of a partition is told, and when no broker answers for any."""

from __future__ import annotations

import time

import pytest

from gateway.errors import LogUnavailable
from gateway.eventlog.kafka.troubles import Troubles
from gateway.eventlog.port import SICK_SECONDS
from gateway.eventlog.trouble import Kind, Trouble, absent
from gateway.model.record import TopicPartition

FIRST, SECOND = TopicPartition("a", 0), TopicPartition("a", 1)
LEADERLESS = Trouble(Kind.NO_LEADER, "it has no leader")


def test_a_lasting_trouble_is_told_at_once_and_another_after_a_while() -> None:
    troubles, now = Troubles(), time.monotonic()
    troubles.note(FIRST, absent("a"))
    troubles.note(SECOND, LEADERLESS)
    assert troubles.lasting(FIRST) == troubles.due(FIRST, now) == absent("a")
    assert troubles.lasting(SECOND) is None
    assert troubles.due(SECOND, now) is None
    assert troubles.due(SECOND, now + SICK_SECONDS + 1) == LEADERLESS
    troubles.heal(SECOND)
    assert troubles.due(SECOND, now + SICK_SECONDS + 1) is None
    troubles.drop(FIRST)
    assert troubles.due(FIRST, now) is None
    assert not troubles.is_failing(FIRST)


def test_where_no_broker_answers_nothing_is_told_of_one_partition() -> None:
    troubles, late = Troubles(), time.monotonic() + SICK_SECONDS + 1
    troubles.note(FIRST, LEADERLESS)
    troubles.silent(LogUnavailable("nobody answers"))
    assert troubles.due(FIRST, late) is None
    # Something may still be learnt of the second, and of none nothing is asked.
    troubles.raise_unreachable([FIRST, SECOND])
    troubles.raise_unreachable([])
    with pytest.raises(LogUnavailable, match="nobody answers"):
        troubles.raise_unreachable([FIRST])
    troubles.answered()
    troubles.raise_unreachable([FIRST])
    assert not troubles.is_failing(FIRST)
    # From now on it counts again.
    troubles.note(FIRST, LEADERLESS)
    troubles.answered()
    assert troubles.due(FIRST, late + 1) == LEADERLESS
