"""`GET /v2/streams/{names}/counts` over a real connection."""

from __future__ import annotations

import asyncio
import re
from typing import Any, NoReturn

import pytest

from gateway.catalog.stream import Stream
from gateway.counts import counting as module
from gateway.errors import LogUnavailable
from gateway.eventlog.trouble import Kind, Trouble
from gateway.limits.port import FILTERS, Client, LimitReached
from gateway.model.record import NewRecord, TopicPartition
from tests.kit.waiting import becomes
from tests.routes.kit import START, Site, lines, running, stored

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPAN = {"since": str(START), "until": str(START + 10_000), "step": "1s"}
ALL = {"since": str(START), "until": str(START + 10_000_000), "step": "1h"}


async def counts(site: Site, names: str, **parameters: str) -> dict[str, Any]:
    """The answer to a request for counts."""
    response = await site.get(f"/v2/streams/{names}/counts", params=SPAN | parameters)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, Any] = response.json()
    return found


async def test_events_are_counted_by_time(site: Site, name: str) -> None:
    site.put(name, *(stored(number) for number in range(25)))
    assert await counts(site, name) == {
        "step": "1s",
        "from": "2023-11-14T22:13:20.000Z",
        "to": "2023-11-14T22:13:30.000Z",
        "scanned": 25,
        "exact": True,
        "counts": [10, 10, 5, 0, 0, 0, 0, 0, 0, 0],
    }


async def test_the_commonest_values_of_a_member(site: Site, name: str) -> None:
    site.put(name, *(stored(number, user="ab"[number % 3 == 0], bot=number < 2) for number in range(9)))
    found = await counts(site, name, by="user")
    assert found["values"] == [{"value": "a", "count": 6}, {"value": "b", "count": 3}]
    assert (await counts(site, name, by="user", values="1"))["values"] == [{"value": "a", "count": 6}]
    assert (await counts(site, name, by="bot"))["values"] == [
        {"value": False, "count": 7},
        {"value": True, "count": 2},
    ]
    assert (await counts(site, name, by="meta.domain"))["values"] == [{"value": "example.org", "count": 9}]
    assert (await counts(site, name, by="nothing"))["values"] == []


async def test_a_filter_counts_what_matches(site: Site, name: str) -> None:
    site.put(name, *(stored(number, user="ab"[number % 2]) for number in range(20)))
    found = await counts(site, name, filter='event.user == "a" && event.number > 3', by="user")
    assert (found["counts"][:2], found["scanned"], found["exact"]) == ([3, 5], 20, True)
    assert found["values"] == [{"value": "a", "count": 8}]


async def test_what_is_no_event_and_canaries_are_not_counted(site: Site, name: str) -> None:
    site.put(name, NewRecord(b"{", timestamp=START), NewRecord(None, timestamp=START), stored(0, START))
    site.put(name, NewRecord(b'{"meta":{"domain":"canary"}}', timestamp=START))
    found = await counts(site, name, by="meta.domain")
    assert (found["counts"][0], found["scanned"], found["exact"]) == (1, 4, True)
    assert found["values"] == [{"value": "example.org", "count": 1}]


async def test_all_partitions_and_streams_are_counted_and_topics_once(site: Site) -> None:
    site.put("wide", *(stored(number)._replace(partition=number % 3) for number in range(30)))
    site.put("one.page.edit", *(stored(number) for number in range(3)))
    site.put("two.page.edit", stored(0))
    assert sum((await counts(site, "wide"))["counts"]) == 30
    assert sum((await counts(site, "wide,edits"))["counts"]) == 34
    assert sum((await counts(site, "w*,wide,page.edit,edits"))["counts"]) == 34


async def test_the_counts_are_of_the_events_that_a_range_gives(site: Site, name: str) -> None:
    times = [START + 7 * number for number in range(700)]
    site.put(name, *(stored(number, time) for number, time in enumerate(times)))
    span = {"since": str(START + 1_000), "until": str(START + 3_003)}
    response = await site.get(f"/v2/stream/{name}", params=span, headers={"accept": "application/x-ndjson"})
    events = [one for one in lines(response) if "number" in one]
    found = await counts(site, name, **span)
    assert sum(found["counts"]) == len(events) > 0
    assert found["to"] == "2023-11-14T22:13:23.003Z"
    assert len(found["counts"]) == 3


async def test_without_a_span_the_last_hour_is_counted(site: Site, name: str) -> None:
    site.put(name, *(stored(number, site.gateway.clock.now() - 1_000) for number in range(3)))
    response = await site.get(f"/v2/streams/{name}/counts")
    found = response.json()
    assert (found["step"], sum(found["counts"])) == ("1m", 3)
    assert len(found["counts"]) in (60, 61)
    assert re.search(r":00\.000Z", found["from"])


async def test_a_late_event_counts_at_its_own_time(site: Site, name: str) -> None:
    site.put(name, stored(0, START), stored(1, START + 5_000), stored(2, START + 1_000), stored(3, START + 6_000))
    assert (await counts(site, name))["counts"] == [1, 1, 0, 0, 0, 1, 1, 0, 0, 0]


BAD = {
    "since": ("soon", "not a time"),
    "until": (str(START), "after `since`"),
    "step": ("often", "30s, 1m or 1h"),
    "buckets": ("5", "only one of the two"),
    "by": ("a..b", "empty name"),
    "values": ("101", "from 1 to 100"),
    "filter": ("event.", "column"),
    "stpe": ("1m", "did you mean step"),
}


@pytest.mark.parametrize("parameter", BAD)
async def test_a_bad_parameter_is_told(site: Site, name: str, parameter: str) -> None:
    value, detail = BAD[parameter]
    response = await site.get(f"/v2/streams/{name}/counts", params=SPAN | {parameter: value})
    assert (response.status_code, response.json()["parameter"]) == (400, parameter)
    assert detail in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("buckets=0", "buckets"),
        ("buckets=1001", "buckets"),
        ("step=1ms", "step"),
        ("step=0s", "step"),
        ("by=a,b", "by"),
        ("by=", "by"),
        ("since=2999-01-01", "since"),
        ("step=1m&step=1m", "step"),
    ],
)
async def test_more_that_is_bad(site: Site, name: str, query: str, parameter: str) -> None:
    response = await site.get(f"/v2/streams/{name}/counts?{query}")
    assert (response.status_code, response.json()["parameter"]) == (400, parameter)


async def test_an_unknown_stream_and_method(site: Site) -> None:
    assert (await site.get("/v2/streams/nobody/counts")).status_code == 404
    assert (await site.client.post("/v2/streams/wide/counts")).status_code == 405
    assert (await site.client.head("/v2/streams/wide/counts")).status_code == 200


async def test_a_topic_that_is_not_there_has_no_events(site: Site) -> None:
    assert sum((await counts(site, "later"))["counts"]) == 0


async def test_what_cannot_be_meant_is_told(site: Site) -> None:
    async with running(streams=[Stream("changes", ("changes",), schema_title="wiki/change")]) as other:
        response = await other.get("/v2/streams/changes/counts", params={"filter": "event.wikki", "by": "usr"})
    assert response.headers.get_list("gateway-warning") == [
        "filter: line 1, column 7: no schema of these streams has event.wikki; did you mean event.wiki?",
        "by: line 1, column 1: no schema of these streams has usr; did you mean user?",
    ]


# Bounds.


async def test_of_more_records_than_are_looked_at_the_rest_is_estimated() -> None:
    async with running(counts_records=2_560) as site:
        site.put("empty", *(stored(number, START + number, user="ab"[number % 4 == 0]) for number in range(20_000)))
        found = await counts(site, "empty", by="user", until=str(START + 20_000))
        assert found["exact"] is False
        assert 0 < found["scanned"] <= 2_816
        assert sum(found["counts"]) == pytest.approx(20_000, rel=0.03)
        assert all(count == pytest.approx(1_000, rel=0.2) for count in found["counts"])
        assert [one["count"] for one in found["values"]] == pytest.approx([15_000, 5_000], rel=0.05)


async def test_where_the_time_is_over_the_rest_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(counts_seconds=1.0) as site:
        site.put("empty", *(stored(number, START + number) for number in range(20_000)))
        clock, looks = site.gateway.clock, 0

        def monotonic() -> float:
            nonlocal looks
            looks += 1
            return looks / 50

        monkeypatch.setattr(site.gateway.counting, "clock", type("Clock", (), {"monotonic": staticmethod(monotonic)}))
        found = await counts(site, "empty", until=str(START + 20_000))
        assert clock is site.gateway.clock
        assert found["exact"] is False
        assert 0 < found["scanned"] < 20_000
        assert sum(found["counts"]) == pytest.approx(20_000, rel=0.05)


async def test_what_was_looked_at_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as site:
        site.put("empty", *(stored(number) for number in range(512)))
        first = await counts(site, "empty", **ALL, filter="event.number % 2 == 0", by="number")

        async def refused(*_: object) -> NoReturn:
            raise AssertionError

        monkeypatch.setattr(site.log, "reader", refused)
        assert await counts(site, "empty", **ALL, filter="event.number%2==0", by="number") == first
        assert sum(first["counts"]) == 256


async def test_another_question_is_not_answered_from_memory() -> None:
    async with running() as site:
        site.put("empty", *(stored(number, user="a") for number in range(256)))
        assert (await counts(site, "empty", **ALL, by="user"))["values"] == [{"value": "a", "count": 256}]
        assert (await counts(site, "empty", **ALL, by="number", values="1"))["values"][0]["count"] == 1
        assert sum((await counts(site, "empty", **ALL, filter="event.number < 7"))["counts"]) == 7
        assert sum((await counts(site, "empty", **SPAN))["counts"]) == 100
        assert sum((await counts(site, "empty", since=SPAN["since"], until=str(START + 500)))["counts"]) == 5


async def test_what_the_log_has_deleted_is_not_counted() -> None:
    async with running() as site:
        site.put("empty", *(stored(number) for number in range(512)))
        assert sum((await counts(site, "empty", **ALL))["counts"]) == 512
        site.log.truncate("empty", 0, 300)
        assert sum((await counts(site, "empty", **ALL))["counts"]) == 212
        site.log.cut("empty", 0, 400)
        await becomes(lambda: not list(site.gateway.counting._kept.entries()))
        assert sum((await counts(site, "empty", **ALL))["counts"]) == 100


async def test_what_was_compacted_away_is_not_counted() -> None:
    async with running() as site:
        site.put("empty", *(stored(number) for number in range(600)))
        site.log.compact("empty", 0, range(100, 580))
        site.log.mark("empty", 0, 3)
        found = await counts(site, "empty", **ALL)
        assert (sum(found["counts"]), found["scanned"], found["exact"]) == (120, 120, True)


async def test_a_sick_partition_is_left_out_and_said() -> None:
    async with running() as site:
        site.put("wide", *(stored(number)._replace(partition=number % 3) for number in range(30)))
        site.log.refuse(TopicPartition("wide", 1), Trouble(Kind.NO_LEADER, "none"))
        found = await counts(site, "wide")
        assert (sum(found["counts"]), found["exact"]) == (20, False)
        site.log.hide("wide", Trouble(Kind.NO_RIGHT, "none"))
        found = await counts(site, "wide,empty")
        assert (sum(found["counts"]), found["exact"]) == (0, False)


async def test_a_log_that_is_away_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as site:

        async def away(*_: object) -> NoReturn:
            raise LogUnavailable("broker1 refuses")

        monkeypatch.setattr(site.log, "find", away)
        site.put("empty", stored(0))
        response = await site.get("/v2/streams/empty/counts")
        assert response.status_code == 503
        assert "retry-after" in response.headers
        assert "broker1" not in response.text


async def test_a_filter_that_takes_too_long_is_told() -> None:
    async with running(filter_max_steps=10) as site:
        site.put("empty", *(stored(number, tags=list(range(100))) for number in range(200)))
        response = await site.get("/v2/streams/empty/counts", params=SPAN | {"filter": "event.tags.exists(t, t == 99)"})
        assert (response.status_code, response.json()["parameter"]) == (400, "filter")


async def test_so_many_are_answered_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as site:
        site.put("empty", stored(0))
        release = asyncio.Event()
        find = site.log.find

        async def held(*given: Any) -> Any:
            await release.wait()
            return await find(*given)

        monkeypatch.setattr(site.log, "find", held)
        asked = [asyncio.create_task(site.get("/v2/streams/empty/counts")) for _ in range(module.MOST_OF_ONE)]
        await becomes(lambda: site.gateway.counting._asking.total() == module.MOST_OF_ONE)
        refused = await site.get("/v2/streams/empty/counts")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, str(module.RETRY_SECONDS))
        release.set()
        assert {response.status_code for response in await asyncio.gather(*asked)} == {200}
        assert not site.gateway.counting._asking


async def test_the_work_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"x-forwarded-for": "198.51.100.1"}
    async with running(trusted_proxies=("127.0.0.1",), exempt_networks=()) as site:
        site.put("empty", *(stored(number) for number in range(600)))
        spent: list[int] = []

        def charge(_: Client, steps: int) -> float:
            spent.append(steps)
            return 0.0

        monkeypatch.setattr(site.gateway.limiter, "charge", charge)
        assert (await site.get("/v2/streams/empty/counts", params=ALL, headers=headers)).status_code == 200
        assert sum(spent) > 600  # A record takes more than a step.
        # So is the reading of a filter, whatever comes of it.
        spent.clear()
        long = " || ".join(f'event.a{number} == "x"' for number in range(150))
        for text, status in ((f"{long} ||", 400), (long, 200)):
            found = await site.get("/v2/streams/empty/counts", params={**ALL, "filter": text}, headers=headers)
            assert (found.status_code, spent[0] > 100) == (status, True)
            spent.clear()
        monkeypatch.setattr(site.gateway.limiter, "indebted", lambda _: LimitReached(FILTERS, 3))
        refused = await site.get("/v2/streams/empty/counts", params=ALL, headers=headers)
        assert (refused.status_code, refused.json()["limit"]) == (429, FILTERS)
