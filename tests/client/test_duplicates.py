"""What a server repeats, and what only looks so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.client import Duplicates, RecentIds, StreamEvent


def entry(topic: str = "t", partition: int = 0, **told: int) -> dict[str, Any]:
    return {"topic": topic, "partition": partition} | told


def event(*entries: dict[str, Any], data: bytes = b"{}") -> StreamEvent:
    return StreamEvent("message", data, json.dumps(entries) if entries else "")


A5, A6 = entry(offset=5, timestamp=50), entry(offset=6, timestamp=60)
B1, B2 = entry("u", offset=1), entry("u", offset=2)
EMPTY = entry("u", offset=-1, timestamp=0)


@pytest.mark.parametrize(
    ("before", "now", "repeated"),
    [
        ([A5], [A5], True),
        ([A6], [A5], True),
        ([A5], [A6], False),
        ([A5, B1], [A5, B2], False),
        ([A6, B1], [A5, B2], False),
        ([A6, B2], [A5, B1], True),
        ([A6, EMPTY], [A5, EMPTY], True),
        ([A5], [A5, B1], False),
        ([A6], [entry(offset=0, timestamp=99)], False),  # A topic that was created again.
        ([entry(timestamp=7)], [entry(timestamp=7)], False),  # Two events may share a time.
        ([entry(timestamp=7), B2], [entry(timestamp=7), B2], False),
        ([entry(timestamp=7, seen=2)], [entry(timestamp=7, seen=2)], True),
        ([entry(timestamp=7, seen=2)], [entry(timestamp=7, seen=3)], False),
        ([entry(timestamp=8, seen=1)], [entry(timestamp=7, seen=3)], True),
        ([EMPTY], [EMPTY], False),
        ([], [], False),
    ],
)
def test_a_position_that_was_there(before: list[dict[str, Any]], now: list[dict[str, Any]], repeated: bool) -> None:
    duplicates = Duplicates()
    assert not duplicates.is_repeated(event(*before))
    assert duplicates.is_repeated(event(*now)) is repeated


def test_ids_that_are_no_positions_are_never_repeated() -> None:
    duplicates = Duplicates("17")
    assert not any(duplicates.is_repeated(StreamEvent("message", b"{}", "17")) for _ in range(3))


def test_an_event_without_an_id_of_its_own_is_never_repeated() -> None:
    duplicates = Duplicates()
    duplicates.is_repeated(event(A5))
    assert not duplicates.is_repeated(event(A5)._replace(named=False))


def test_it_begins_at_a_position_and_after_a_gap_at_another() -> None:
    duplicates = Duplicates(json.dumps([A6]))
    assert duplicates.is_repeated(event(A5))
    duplicates.reset(json.dumps([entry(offset=2, timestamp=20)]))
    assert not duplicates.is_repeated(event(A5))


def test_ids_of_events_are_remembered_in_a_bounded_number_and_shared() -> None:
    recent = RecentIds(2)
    one, other = Duplicates(recent=recent), Duplicates(recent=recent)
    first, second, third = (event(data=b'{"meta":{"id":"%d"}}' % number) for number in range(3))
    assert not one.is_repeated(first)
    assert other.is_repeated(first)
    assert not any(one.is_repeated(each) for each in (second, third))
    assert other.is_repeated(third)
    assert not other.is_repeated(first)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"meta":1}', b'{"meta":{"id":1}}', b'{"meta":{}}'])
def test_events_without_an_id_are_never_repeated(data: bytes) -> None:
    recent = RecentIds()
    assert not recent.is_repeated(data)
    assert not recent.is_repeated(data)


@pytest.mark.parametrize("more", [b"1e400", rb'"\ud800"'])
def test_an_id_is_remembered_whatever_json_stands_beside_it(more: bytes) -> None:
    ids, data = RecentIds(), b'{"meta":{"id":"a"},"more":%b}' % more
    assert [ids.is_repeated(data) for _ in range(2)] == [False, True]
