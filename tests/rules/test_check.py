"""Rules beside the schemas of their streams."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.definitions import Definitions
from gateway.rules.check import check_rules, open_dead
from tests.rules.kit import CATALOG, DEAD, SCHEMAS, STREAM, rule_of

DEFINITIONS = Definitions(CATALOG, SCHEMAS)
RULE = """
purge:
  on: [wiki.page-create]
  where: event.page.namespace == 0
  do:
    - request:
        url: "http://cache.example/{event.page.title}"
        headers: {x-id: "{event.meta.request_id}"}
        json: {user: event.user, list: [event.wiki]}
    - produce: {stream: wiki.made, select: {wiki: event.wiki}}
  key: event.page.id
  dead_stream: wiki.purge-dead
"""


def mistakes(text: str) -> list[str]:
    """Of a rule."""
    return check_rules([rule_of(text)], DEFINITIONS, 0, "file")


def test_a_rule_that_fits_its_streams_has_no_mistakes() -> None:
    assert mistakes(RULE) == []


@pytest.mark.parametrize(
    ("was", "instead", "place"),
    [
        ("event.page.namespace == 0", "event.page.namespce == 0", 4),
        ("event.page.namespace == 0", 'event.page.namespace == "0"', 4),
        ("{event.page.title}", "{event.titel}", 7),
        ("{event.meta.request_id}", "{event.meta.requestid}", 8),
        ("user: event.user", "user: event.usr", 9),
        ("[event.wiki]", "[event.wikis]", 9),
        ("{wiki: event.wiki}", "{wiki: event.wikis}", 10),
        ("key: event.page.id", "key: event.page.key", 11),
    ],
)
def test_a_member_that_no_schema_has_is_told(was: str, instead: str, place: int) -> None:
    assert was in RULE
    text = RULE.replace(was, instead)
    (mistake,) = mistakes(text)
    assert mistake.startswith(f"file:{place}: purge: ")
    if '"0"' not in instead:
        assert mistakes(text + "  allow_unknown: true\n") == []


def test_dead_events_of_a_private_stream_are_not_shown_to_everybody() -> None:
    private = [replace(one, public=one.name != STREAM) for one in CATALOG.streams.values()]
    (warning,) = open_dead([rule_of(RULE)], Definitions(Catalog(private), SCHEMAS), "file")
    assert warning.startswith("file:2: purge: the stream wiki.page-create is private, and dead events go to")
    assert open_dead([rule_of(RULE)], DEFINITIONS, "file") == []
    private = [replace(one, public=False) for one in private]
    assert open_dead([rule_of(RULE)], Definitions(Catalog(private), SCHEMAS), "file") == []


def test_a_stream_that_takes_no_dead_events_is_told() -> None:
    assert check_rules([rule_of(RULE)], DEFINITIONS, 0, "file") == []
    streams = dict(CATALOG.streams) | {DEAD: Stream(DEAD, (DEAD,), schema_title="wiki/change")}
    (mistake,) = check_rules([rule_of(RULE)], Definitions(Catalog(streams.values()), SCHEMAS), 0, "file")
    assert mistake.startswith(f"file:2: purge: {DEAD} takes no dead events: ")
