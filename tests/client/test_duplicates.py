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
        # The server may have begun the count of this time anew, or be another one.
        ([entry(timestamp=7, seen=2)], [entry(timestamp=7, seen=2)], False),
        ([entry(timestamp=7, seen=2)], [entry(timestamp=7, seen=3)], False),
        ([entry(timestamp=8, seen=1)], [entry(timestamp=7, seen=3)], False),  # Times go back.
        ([entry(timestamp=7, seen=2), B2], [entry(timestamp=7, seen=2), B1], False),
        ([entry(timestamp=70)], [entry(offset=7, timestamp=70)], False),  # It began at a time.
        ([entry(timestamp=80)], [entry(offset=7, timestamp=70)], False),
        ([A6], [entry(timestamp=50, seen=1)], False),
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


def identified(duplicates: Duplicates, meta_id: str) -> StreamEvent:
    """An event that was read."""
    return duplicates.identified([event(data=json.dumps({"meta": {"id": meta_id}}).encode())])[0]


def is_repeated(duplicates: Duplicates, meta_id: str) -> bool:
    """Whether it came before, when it is read."""
    return duplicates.is_repeated(identified(duplicates, meta_id))


def test_ids_of_events_are_remembered_once_they_are_processed_and_shared() -> None:
    recent = RecentIds()
    one, other = Duplicates(recent=recent), Duplicates(recent=recent)
    assert not is_repeated(one, "a")
    assert is_repeated(one, "a"), "this subscription has it already"
    assert not is_repeated(other, "a"), "nobody has processed it"
    assert one.hand_over("1", "a")
    assert not is_repeated(Duplicates(recent=recent), "a")
    one.settle()
    assert is_repeated(Duplicates(recent=recent), "a")
    assert not other.hand_over("1", "a"), "it was processed meanwhile"


def test_what_is_processed_up_to_a_position_is_remembered() -> None:
    recent = RecentIds()
    duplicates = Duplicates(recent=recent)
    for position, meta_id in (("1", "a"), ("2", ""), ("3", "c")):
        duplicates.hand_over(position, meta_id)
    duplicates.settle("2")
    assert ("a" in recent, "c" in recent) == (True, False)
    duplicates.settle("unknown")
    assert "c" not in recent
    duplicates.settle("3")
    assert "c" in recent


def test_ids_are_remembered_in_a_bounded_number() -> None:
    recent = RecentIds(2)
    duplicates = Duplicates(recent=recent)
    for meta_id in "abc":
        assert not is_repeated(duplicates, meta_id)
    assert [is_repeated(duplicates, meta_id) for meta_id in "bca"] == [True, True, False]
    for meta_id in "abc":
        duplicates.hand_over(meta_id, meta_id)
    duplicates.settle()
    assert [meta_id in recent for meta_id in "abc"] == [False, True, True]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"meta":1}', b'{"meta":{"id":1}}', b'{"meta":{}}'])
def test_events_without_an_id_are_never_repeated(data: bytes) -> None:
    duplicates = Duplicates(recent=RecentIds())
    for _ in range(2):
        (found,) = duplicates.identified([event(data=data)])
        assert not duplicates.is_repeated(found)
        assert duplicates.hand_over("", found.meta_id)
        duplicates.settle()


@pytest.mark.parametrize("more", [b"1e400", rb'"\ud800"'])
def test_an_id_is_read_whatever_json_stands_beside_it(more: bytes) -> None:
    (found,) = Duplicates(recent=RecentIds()).identified([event(data=b'{"meta":{"id":"a"},"more":%b}' % more)])
    assert found.meta_id == "a"
