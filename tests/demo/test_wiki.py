"""The sample: valid, repeatable, and continuous."""

from __future__ import annotations

from pathlib import Path

from gateway.demo.wiki import Event, WikiSample
from gateway.schemas.repository import SchemaRepository

BEGIN = 1_772_357_213_007
SCHEMAS = SchemaRepository([Path(__file__).parents[2] / "config" / "schemas"])


def sample(count: int, seed: int = 7, begin: int = BEGIN) -> list[tuple[Event, Event | None]]:
    generator = WikiSample(seed, begin)
    return [generator.next(begin + 50 * number) for number in range(count)]


EVENTS = sample(8000)
CHANGES = [change for change, _ in EVENTS]


def test_all_events_are_valid() -> None:
    change, creation = SCHEMAS.get("wiki/change"), SCHEMAS.get("wiki/page-create")
    assert change is not None
    assert creation is not None
    for event, created in EVENTS:
        assert change.faults(event) == []
        assert created is None or creation.faults(created) == []


def test_the_same_seed_gives_the_same_events() -> None:
    assert sample(300) == EVENTS[:300]
    assert sample(300, seed=8) != EVENTS[:300]


def test_there_is_something_of_everything() -> None:
    assert {event["type"] for event in CHANGES} == {"edit", "new", "log"}
    assert {event["log_type"] for event in CHANGES if event["type"] == "log"} == {"move", "protect", "patrol"}
    assert len({event["wiki"] for event in CHANGES}) == 7
    assert {event["bot"] for event in CHANGES} == {True, False}
    assert {event["namespace"] for event in CHANGES} == {0, 1, 2, 4, 6, 7}
    assert len({event["user"] for event in CHANGES}) > 500
    assert any(event["user"].startswith("198.51.100.") for event in CHANGES)
    assert "{" not in "".join(event["title"] + event["comment"] for event in CHANGES)


def test_pages_live_on() -> None:
    pages: dict[tuple[str, str], tuple[int, int]] = {}
    revisions: dict[str, int] = {}
    seen_again = 0
    for event in CHANGES:
        wiki, title = event["wiki"], event["title"]
        if event["type"] == "log":
            if event["log_type"] == "move" and (wiki, title) in pages:
                pages[wiki, event["log_params"]["target"]] = pages.pop((wiki, title))
            continue
        length, revision = event["length"], event["revision"]
        if event["type"] == "new":
            assert (wiki, title) not in pages
            assert length["old"] is None
            assert revision["old"] is None
        elif (wiki, title) in pages:
            seen_again += 1
            assert (length["old"], revision["old"]) == pages[wiki, title]
        assert revision["new"] > revisions.get(wiki, 0)
        assert revision["new"] > (revision["old"] or 0)
        revisions[wiki] = revision["new"]
        pages[wiki, title] = (length["new"], revision["new"])
    assert seen_again > 3000


def test_a_new_page_is_created_in_both_streams() -> None:
    for event, created in EVENTS:
        assert (created is not None) == (event["type"] == "new")
        if created is not None:
            assert created["page"]["title"] == event["title"]
            assert created["revision"]["id"] == event["revision"]["new"]
            assert created["meta"]["id"] != event["meta"]["id"]


def test_ids_are_unique_and_times_are_those_given() -> None:
    assert len({event["meta"]["id"] for event in CHANGES}) == len(CHANGES)
    assert CHANGES[0]["meta"]["dt"] == "2026-03-01T09:26:53.007Z"
    assert CHANGES[0]["timestamp"] == 1_772_357_213
    assert CHANGES[1]["meta"]["dt"] == "2026-03-01T09:26:53.057Z"


def test_the_numbers_of_a_later_run_are_higher() -> None:
    last = {event["wiki"]: event["revision"]["new"] for event in CHANGES if "revision" in event}
    for event, _ in sample(500, seed=1, begin=BEGIN + 50 * len(EVENTS)):
        if "revision" in event:
            assert event["revision"]["new"] > last[event["wiki"]]
