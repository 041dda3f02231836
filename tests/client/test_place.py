"""What the ids of a stream say of its events."""

from __future__ import annotations

import json

from gateway.client.place import Place, Places


def identifier(*entries: tuple[str, int, int | None, int]) -> str:
    named = [
        {"topic": topic, "partition": partition, "timestamp": time} | ({} if offset is None else {"offset": offset})
        for topic, partition, offset, time in entries
    ]
    return json.dumps(named)


def test_the_entry_that_changed_is_the_event() -> None:
    places = Places(identifier(("a", 0, 5, 100), ("b", 0, 9, 90)))
    assert places.read(identifier(("a", 0, 5, 100), ("b", 0, 10, 101))) == Place("b", 0, 10, 101)
    assert places.read(identifier(("a", 0, 6, 102), ("b", 0, 10, 101))) == Place("a", 0, 6, 102)


def test_the_newest_of_several_changes_is_the_event() -> None:
    places = Places(identifier(("a", 0, 5, 100), ("b", 0, 9, 90)))
    assert places.read(identifier(("a", 0, 7, 300), ("b", 0, 20, 200))) == Place("a", 0, 7, 300)


def test_positions_by_time() -> None:
    places = Places()
    assert places.read(identifier(("a", 0, None, 100), ("b", 0, None, 50))) == Place("a", 0, None, 100)
    assert places.read('[{"topic":"a","partition":0,"timestamp":100},{"topic":"b","partition":0,"offset":-1}]') is None


def test_an_id_that_is_no_position_says_nothing() -> None:
    places = Places("17")
    for unreadable in ("", "18", "{}", "[]", '[{"topic":1}]'):
        assert places.read(unreadable) is None
