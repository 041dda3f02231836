"""`/v2/views`: what there is of views, values now and then, history, and pages as of one position."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.catalog.derivation import Expression
from gateway.routes.view_request import Token, read_token, write_token
from gateway.state.files import path_of
from gateway.state.place import Place, written
from gateway.state.store import Store
from gateway.times import iso_time
from tests.kit.waiting import becomes
from tests.routes.kit import position
from tests.routes.viewing import START, TOPIC, VIEW, page, shown, viewing

JSON_LINES = {"accept": "application/x-ndjson"}
HISTORY_OF_A = "/v2/views/pages/enwiki/A/history"


async def test_a_view_tells_what_it_is(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:
        (told,) = (await views.site.get("/v2/views")).json()
        assert json.loads(told.pop("position"))[0] == {
            "topic": TOPIC,
            "partition": 0,
            "offset": 1,
            "timestamp": START + 10,
        }
        assert told == {
            "name": "pages",
            "stream": "pages",
            "key": ["wiki", "title"],
            "reduce": "latest",
            "keys": 2,
            "earliest": iso_time(START),
            "building": False,
            "halted": None,
        }


async def test_a_value_is_the_newest_event_of_its_key_and_has_a_validator(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("A", 10, n=2), page("B", 20)) as views:
        answer = await views.site.get("/v2/views/pages/enwiki/A")
        assert answer.json() == shown("A", n=2)
        assert answer.headers["cache-control"] == "no-cache"
        assert json.loads(answer.headers["gateway-position"])[0]["offset"] == 2
        again = await views.site.get("/v2/views/pages/enwiki/A", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = await views.site.client.head("/v2/views/pages/enwiki/A")
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", answer.headers["etag"])


async def test_a_value_as_of_a_time_or_an_id(tmp_path: Path) -> None:
    records = [page("A", n=1), page("A", 10, n=2), page("A", 20, kind="delete"), page("A", 30, n=3), page("B", 40)]
    async with viewing(tmp_path, *records) as views:

        async def at(text: object) -> object:
            answer = await views.site.get("/v2/views/pages/enwiki/A", params={"at": str(text)})
            return answer.json().get("n", answer.status_code)

        times = [START + 1, START + 10, START + 11, START + 21, START + 31]
        assert [await at(time) for time in times] == [1, 1, 2, 404, 3]
        ids = [position((TOPIC, 0, offset, START + 10 * offset)) for offset in range(4)]
        assert [await at(one) for one in ids] == [1, 2, 404, 3]
        gone = (await views.site.get("/v2/views/pages/enwiki/A", params={"at": START + 21})).json()
        assert gone["deleted"] == iso_time(START + 20)
        assert "deleted" not in (await views.site.get("/v2/views/pages/enwiki/never")).json()


async def test_a_time_that_is_not_known_is_told_with_what_is(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:
        before = await views.site.get("/v2/views/pages/enwiki/A", params={"at": START - 1})
        assert (before.status_code, before.json()["earliest"]) == (410, iso_time(START))
        future = await views.site.get("/v2/views/pages", params={"at": "2999-01-01"})
        assert (future.status_code, future.json()["parameter"]) == (400, "at")
        other = await views.site.get("/v2/views/pages", params={"at": position(("other", 0, 3, 5))})
        assert other.status_code == 404


async def test_a_time_from_which_the_log_has_nothing_any_more_is_looked_for_in_the_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [page("A", 10 * n, n=n) for n in range(5)] + [page("B", 10 * n, partition=1, n=n) for n in range(3)]
    async with viewing(tmp_path, *records, view=dataclasses.replace(VIEW, history=10**12)) as views:
        await views.has(2, 1)
        views.site.log.truncate(TOPIC, 0, 4)
        views.site.log.truncate(TOPIC, 1, 2)

        async def at(time: int) -> list[int]:
            rows = (await views.site.get("/v2/views/pages", params={"at": START + time})).json()["rows"]
            return [row["value"]["n"] for row in rows]

        assert [await at(time) for time in (1, 15, 25, 35, 45)] == [[0, 0], [1, 1], [2, 2], [3, 2], [4, 2]]
        # A part of what was to be looked through is no answer.
        monkeypatch.setattr("gateway.state.lookup.LOOKED_THROUGH", 0)
        gone = await views.site.get("/v2/views/pages", params={"at": START + 15})
        assert (gone.status_code, gone.json()["parameter"]) == (410, "at")
        assert "takes too long; name an id" in gone.json()["detail"]
        identifier = position((TOPIC, 0, 1, START + 10), (TOPIC, 1, 1, START + 10))
        rows = (await views.site.get("/v2/views/pages", params={"at": identifier})).json()["rows"]
        assert [row["value"]["n"] for row in rows] == [1, 1]


async def test_what_is_past_may_be_cached_and_what_moves_may_not(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:

        async def cached(at: str) -> str:
            return (await views.site.get("/v2/views/pages", params={"at": at})).headers["cache-control"]

        assert await cached(position((TOPIC, 0, 0, START), (TOPIC, 1, None, 0))) == "public, max-age=86400"
        assert await cached(str(START + 5)) == "no-cache"  # the other partition has no record after it
        views.site.put(TOPIC, page("C", 50, partition=1))
        await views.has(0, 1)
        assert await cached(str(START + 5)) == "public, max-age=86400"
        assert await cached(str(START + 40)) == "no-cache"
        assert await cached("100d") in ("no-cache",)


async def test_history_is_told_newest_first_and_page_by_page(tmp_path: Path) -> None:
    records = [page("A", 10 * n, n=n) for n in range(5)] + [page("A", 50, kind="delete")]
    async with viewing(tmp_path, *records) as views:
        first = (await views.site.get("/v2/views/pages/enwiki/A/history", params={"limit": 4})).json()
        assert first["versions"][0] == {
            "timestamp": iso_time(START + 50),
            "id": position((TOPIC, 0, 5, START + 50)).replace(" ", ""),
            "deleted": True,
        }
        assert [one["value"]["n"] for one in first["versions"][1:]] == [4, 3, 2]
        rest = (
            await views.site.get("/v2/views/pages/enwiki/A/history", params={"limit": 4, "before": first["next"]})
        ).json()
        assert ([one["value"]["n"] for one in rest["versions"]], rest["next"]) == ([1, 0], None)
        for version in rest["versions"]:
            then = await views.site.get("/v2/views/pages/enwiki/A", params={"at": version["id"]})
            assert then.json() == version["value"]


async def test_pages_are_all_as_of_one_position(tmp_path: Path) -> None:
    async with viewing(tmp_path, *[page(f"P{n}", n) for n in range(7)]) as views:
        first = (await views.site.get("/v2/views/pages", params={"limit": 3})).json()
        views.site.put(TOPIC, page("P4", 100, n=100), page("P5", 101, kind="delete"), page("P9", 102))
        await views.has(9)
        titles, answer = [row["key"]["title"] for row in first["rows"]], first
        while answer["next"]:
            answer = (await views.site.get("/v2/views/pages", params={"limit": 3, "after": answer["next"]})).json()
            titles += [row["key"]["title"] for row in answer["rows"]]
            assert answer["id"] == first["id"]
            assert all("n" not in row["value"] for row in answer["rows"])
        assert titles == [f"P{n}" for n in range(7)]


async def test_a_prefix_is_of_the_first_member(tmp_path: Path) -> None:
    records = [page("A"), page("A", wiki="dewiki"), page("B", wiki="enwiki2"), page("C", wiki="fr")]
    async with viewing(tmp_path, *records) as views:
        rows = (await views.site.get("/v2/views/pages?prefix=enwiki")).json()["rows"]
        assert [list(row["key"].values()) for row in rows] == [["enwiki", "A"], ["enwiki2", "B"]]


TITLES = ["A/B", "%2F", "a\x00b", "ä ö", ".", "..", "", "history", "x" * 1000, "\U0001f600", "a?b#c&d=e", "\x00", "a"]


async def test_keys_may_be_hostile(tmp_path: Path) -> None:
    async with viewing(tmp_path, *[page(title, n) for n, title in enumerate(TITLES)]) as views:
        for title in TITLES:
            key = json.dumps(["enwiki", title])
            named = await views.site.get("/v2/views/pages", params={"key": key})
            assert named.json() == shown(title)
            history = await views.site.get("/v2/views/pages", params={"key": key, "history": "true"})
            assert history.json()["versions"][0]["value"] == shown(title)
            if title not in (".", ".."):  # which clients and proxies take out of a path
                path = f"/v2/views/pages/enwiki/{quote(title, safe='')}"
                request = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
                received = await views.site.raw(request.encode())
                assert json.loads(received.partition(b"\r\n\r\n")[2]) == shown(title)
        async with views.site.stream("/v2/views/pages", headers=JSON_LINES) as reading:
            lines = [json.loads(await reading.line() or "null") for _ in range(len(TITLES) + 3)]
        rows = [line["$row"] for line in lines if line and "$row" in line]
        assert sorted(row["key"]["title"] for row in rows) == sorted(TITLES)


async def test_keys_that_are_too_long_or_of_other_kinds(tmp_path: Path) -> None:
    records = [page("x" * 1019), page("x" * 1018), page("y")._replace(value=b'{"wiki":1,"title":"y","type":"edit"}')]
    records.append(page("z")._replace(value=b'{"wiki":1.5,"title":"z","type":"edit"}'))
    async with viewing(tmp_path, *records, page("last")) as views:
        assert (await views.site.get("/v2/views")).json()[0]["keys"] == 3
        assert (await views.site.get("/v2/views/pages/enwiki/" + "x" * 1018)).status_code == 200
        assert (await views.site.get("/v2/views/pages/enwiki/" + "x" * 1019)).status_code == 400
        assert (await views.site.get("/v2/views/pages/1/y")).json()["wiki"] == 1
        assert (await views.site.get("/v2/views/pages", params={"key": '["1","y"]'})).status_code == 404
        assert (await views.site.get("/v2/views/pages", params={"key": '[1,"y"]'})).status_code == 200


VALUES = [
    b'{"wiki":"enwiki","title":"P","type":"edit","pad":"%b"}' % (b"x" * 1_000_000),
    b'{"wiki":"enwiki","title":"P","type":"edit","deep":%b}' % (b"[" * 255 + b"]" * 255),
    page("P", many={f"m{n}": n for n in range(10_000)}).value or b"",
    rb'{"wiki":"enwiki","title":"P","type":"edit","half":"\ud800","nul":"\u0000","name":1,"name":2}',
    b'{"wiki":"enwiki","title":"P","type":"edit","large":1e400,"exact":0.10,"whole":123456789012345678901234567890}',
    '{"wiki":"enwiki","title":"P","type":"edit","line":"\u2028\u2029\x85</script>data: x"}'.encode(),
]


async def test_values_may_be_hostile_and_are_told_as_they_are(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("first")) as views:
        for offset, value in enumerate(VALUES, 1):
            views.site.put(TOPIC, page("P", offset)._replace(value=value))
            await views.has(offset)
            assert (await views.site.get("/v2/views/pages/enwiki/P")).content == value + b"\n"
            rows = (await views.site.get("/v2/views/pages?prefix=en")).content
            assert b'{"key":{"wiki":"enwiki","title":"P"},"value":%b}' % value in rows
            for form in ("text/event-stream", "application/x-ndjson"):
                async with views.site.stream("/v2/views/pages", headers={"accept": form}) as reading:
                    while value not in (line := (await reading.line()).encode()):
                        assert b"ready" not in line
        history = await views.site.get("/v2/views/pages/enwiki/P/history")
        assert [value for value in VALUES if value not in history.content] == []


MISTAKES = [
    ("/v2/views/nothing", 404, "view"),
    ("/v2/views/pages/enwiki", 404, "key"),
    ("/v2/views/pages/enwiki/A/B/C", 404, "key"),
    ("/v2/views/pages/%ff/A", 400, "key"),
    ("/v2/views/pages?limit=0", 400, "limit"),
    ("/v2/views/pages?limit=1001", 400, "limit"),
    ("/v2/views/pages?lmit=1", 400, "lmit"),
    ("/v2/views/pages?limit=1&limit=2", 400, "limit"),
    ("/v2/views/pages?after=nonsense", 400, "after"),
    ("/v2/views/pages?after=" + "A" * 60000, 400, "after"),
    ("/v2/views/pages?at=yesterday", 400, "at"),
    ("/v2/views/pages?at=%5B%5D", 400, "at"),
    ("/v2/views/pages?key=5", 400, "key"),
    ("/v2/views/pages?key=[[],1]", 400, "key"),
    ('/v2/views/pages?key=["enwiki"]', 400, "key"),
    ('/v2/views/pages?key=["enwiki",null]', 400, "key"),
    ('/v2/views/pages?key=["enwiki",1e400]', 400, "key"),
    ('/v2/views/pages?key=["enwiki",1.0]', 400, "key"),
    ('/v2/views/pages?key=["enwiki",9223372036854775808]', 400, "key"),
    ('/v2/views/pages?key=["enwiki",-9223372036854775809]', 400, "key"),
    (f'/v2/views/pages?key=["enwiki",{"9" * 5000}]', 400, "key"),
    (r'/v2/views/pages?key=["enwiki","\ud800"]', 400, "key"),
    ('/v2/views/pages?key=["enwiki","%ED%A0%80"]', 400, None),
    ('/v2/views/pages?key=["enwiki","%FF"]', 400, None),
    ("/v2/views/pages/enwiki/%ED%A0%80", 400, "key"),
    (f"/v2/views/pages?key={'%5B' * 5000}", 400, "key"),
    (f'/v2/views/pages?key=["enwiki","{"x" * 1019}"]', 400, "key"),
    ("/v2/views/pages?prefix=%FF", 400, None),
    ("/v2/views/pages?prefix=" + "x" * 1025, 400, "prefix"),
    ("/v2/views/pages?before=x", 400, "before"),
    ("/v2/views/pages/enwiki/A/history?before=x", 400, "before"),
    ("/v2/views?limit=1", 400, "limit"),
]


async def test_mistakes_are_named(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views:
        for path, status, parameter in MISTAKES:
            answer = await views.site.get(path)
            assert (answer.status_code, answer.json().get("parameter")) == (status, parameter), path


async def test_a_view_that_is_being_built_says_so(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views:
        views.declare(dataclasses.replace(VIEW, name="unbuilt"))
        answer = await views.site.get("/v2/views/unbuilt")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert (await views.site.get("/v2/views")).json()[0]["building"] is True


async def test_tokens_that_were_made_up_are_refused(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views:
        for places in ({0: Place(2**63)}, {0: Place(1, -1, 2**64 - 1)}):
            answer = await views.site.get("/v2/views/pages", params={"after": write_token(Token(1, places, b""))})
            assert answer.status_code == 400
        other = write_token(Token(1, {0: Place(1)}, b"\xff"))
        assert (await views.site.get("/v2/views/pages", params={"after": other})).status_code == 410
        assert (await views.site.get(HISTORY_OF_A, params={"before": other})).status_code == 410
        long = write_token(Token(1, {}, b"\xff" * 9))
        assert (await views.site.get("/v2/views/pages/enwiki/A/history", params={"before": long})).status_code == 400


async def test_a_next_of_another_building_is_refused_and_says_why(tmp_path: Path) -> None:
    """The numbers of changes are those of one file: another one would lose versions and tell nothing of it."""
    records = [record for n in range(6) for record in (page("A", 10 * n, n=n), page(f"B{n}", 10 * n + 1, kind="odd"))]
    view = dataclasses.replace(VIEW, delete=Expression("event.type == 'odd'"))
    async with viewing(tmp_path, *records, view=view) as views:
        history = (await views.site.get(HISTORY_OF_A, params={"limit": 2})).json()
        rows = (await views.site.get("/v2/views/pages", params={"limit": 1})).json()
        await views.take(VIEW)
        views.build()
        await views.has(len(records) - 1)
        await becomes(lambda: len(list(tmp_path.glob("*.db"))) == 1)
        for path, parameter, token in (
            (HISTORY_OF_A, "before", history["next"]),
            ("/v2/views/pages", "after", rows["next"]),
        ):
            for _ in range(500):
                answer = await views.site.get(path, params={parameter: token})
                if answer.status_code == 410:
                    break
                # The file that was taken away may answer for another second.
                await asyncio.sleep(0.02)
            problem = answer.json()
            assert (answer.status_code, problem["parameter"]) == (410, parameter)
            assert "earliest" not in problem
            assert problem["detail"] == (
                f"`{parameter}`: the view was built again, or this is another gateway; begin again at the first page"
            )
        again = (await views.site.get(HISTORY_OF_A)).json()["versions"]
        assert [version["value"]["n"] for version in again] == [5, 4, 3, 2, 1, 0]


async def test_a_page_of_a_history_that_is_gone_says_so(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B"), page("A", 10)) as views:
        first = (await views.site.get("/v2/views/pages", params={"limit": 1})).json()
        old = read_token(first["next"], "after")._replace(places={})
        await views.rest()
        with closing(Store(path_of(tmp_path, VIEW), VIEW)) as store:
            store._file.execute("UPDATE state SET horizon_places = ?", (written({0: Place(2)}),))
        gone = await views.site.get("/v2/views/pages", params={"after": write_token(old)})
        assert (gone.status_code, gone.json()["parameter"]) == (410, "after")
        assert gone.json()["detail"].startswith("`after`: the history that these pages are of is gone")


@pytest.mark.long
async def test_reading_history_is_paced_and_streams_are_counted(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "limit_replay": 1000, "limit_streams_per_address": 1}
    async with viewing(tmp_path, *[page(f"P{n}", pad="x" * 100) for n in range(100)], **limits) as views:
        headers = {"x-forwarded-for": "198.51.100.1"}
        begun = time.monotonic()
        for _ in range(2):
            await views.site.get("/v2/views/pages?limit=10", headers=headers)
        assert time.monotonic() - begun > 0.5
        stream = {**headers, "accept": "text/event-stream"}
        async with views.site.stream("/v2/views/pages", headers=stream):
            refused = await views.site.get("/v2/views/pages", headers=stream)
            assert (refused.status_code, refused.json()["limit"]) == (429, "limit_streams_per_address")
