"""What is remembered of the words of a request, and what is not."""

from __future__ import annotations

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.errors import Problem
from gateway.model.position import RequestedPosition
from gateway.model.record import TopicPartition
from gateway.routes.parameters import REMEMBERED_LENGTH, RequestBounds, read_request

CATALOG = Catalog([Stream("one", ("one",))])
FILTER = b"filter=event.wiki%20%3D%3D%20%22dewiki%22"


def test_the_same_words_are_read_once() -> None:
    first, _ = read_request("one", FILTER, {}, CATALOG, RequestBounds(), 0)
    second, _ = read_request("one", FILTER, {}, CATALOG, RequestBounds(), 0)
    assert first.selection is second.selection


def test_positions_are_read_each_time() -> None:
    for offset in (3, 4):
        identifier = f'[{{"topic":"one","partition":0,"offset":{offset}}}]'
        request, named_in = read_request("one", b"", {"last-event-id": identifier}, CATALOG, RequestBounds(), 0)
        assert named_in == "Last-Event-ID"
        assert request.origin.requested == {TopicPartition("one", 0): RequestedPosition(offset, None)}


def test_times_are_those_of_the_moment() -> None:
    ends = [
        read_request("one", b"since=1h&until=1m", {}, CATALOG, RequestBounds(), now)[0]
        for now in (4_000_000, 5_000_000)
    ]
    assert [(one.origin.since, one.until) for one in ends] == [(400_000, 3_940_000), (1_400_000, 4_940_000)]


def test_another_catalogue_means_something_else() -> None:
    assert read_request("one", b"", {}, CATALOG, RequestBounds(), 0)[0].selection.topics == {"one"}
    other = Catalog([Stream("one", ("two",))])
    assert read_request("one", b"", {}, other, RequestBounds(), 0)[0].selection.topics == {"two"}
    with pytest.raises(Problem):
        read_request("one", b"", {}, Catalog([]), RequestBounds(), 0)


def test_how_it_is_to_be_sent_is_part_of_the_words() -> None:
    coded = [
        read_request("one", b"", {"accept-encoding": coding}, CATALOG, RequestBounds(), 0)[0].gzip
        for coding in ("gzip", "")
    ]
    assert coded == [True, False]
    form = read_request("one", b"", {"accept": "application/x-ndjson"}, CATALOG, RequestBounds(), 0)[0].format
    assert form.content_type == "application/x-ndjson"


def test_what_is_long_is_not_remembered() -> None:
    query = FILTER + b"&fields=" + b"a" * REMEMBERED_LENGTH
    first, _ = read_request("one", query, {}, CATALOG, RequestBounds(), 0)
    second, _ = read_request("one", query, {}, CATALOG, RequestBounds(), 0)
    assert first.selection is not second.selection
    assert first.selection.key == second.selection.key


def test_who_asks_from_the_same_position_on_asks_for_the_same() -> None:
    position = {"last-event-id": '[{"topic":"one","partition":0,"offset":7,"timestamp":9}]'}
    first, _ = read_request("one", b"", position, CATALOG, RequestBounds(), 1)
    second, _ = read_request("one", b"", dict(position), CATALOG, RequestBounds(), 2)
    assert first is second
    other, _ = read_request("one", b"", {"last-event-id": position["last-event-id"] + " "}, CATALOG, RequestBounds(), 2)
    assert other is not first
    assert other == first
    in_time = [read_request("one", b"since=1h", position, CATALOG, RequestBounds(), now)[0] for now in (4_000_000,) * 2]
    assert in_time[0] is not in_time[1]


def test_a_mistake_is_told_each_time() -> None:
    for _ in range(2):
        with pytest.raises(Problem, match="at least one entry"):
            read_request("one", b"", {"last-event-id": "[]"}, CATALOG, RequestBounds(), 0)
