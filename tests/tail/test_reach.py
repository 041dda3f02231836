"""How many events a subscription has read."""

from __future__ import annotations

import json

from gateway.tail.reach import Reach


def ids(**offsets: int) -> str:
    """An id of these topics."""
    return json.dumps([{"topic": name, "partition": 0, "offset": offset} for name, offset in offsets.items()])


def test_offsets_count_what_was_read() -> None:
    assert Reach().read is None
    reach = Reach()
    reach.note(ids(a=10, b=-1))
    assert reach.read == 0
    reach.note(ids(a=15, b=4))
    assert reach.read == 10


def test_a_new_partition_is_read_from_its_start() -> None:
    reach = Reach()
    reach.note(ids(a=10))
    reach.note(ids(a=10, b=2))
    assert reach.read == 3


def test_what_has_no_offsets_counts_nothing() -> None:
    reach = Reach()
    for position in ("", "x", '[{"topic":"a","partition":0,"timestamp":5}]'):
        reach.note(position)
    assert reach.read is None


def test_a_log_that_goes_back_counts_nothing() -> None:
    reach = Reach()
    reach.note(ids(a=10))
    reach.note(ids(a=2))
    assert reach.read == 0
