"""Views that are followed: snapshot, ready, then each change; from any id, in either form, to any end."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.stream import Stream
from gateway.limits.memory import MemoryLimiter
from gateway.limits.port import REPLAY
from gateway.state.lookup import Lookup
from tests.kit.waiting import becomes
from tests.routes.kit import Reading, Site, position
from tests.routes.viewing import START, TOPIC, VIEW, Viewing, page, shown, viewing

SSE = {"accept": "text/event-stream"}
VIEW_PATH = "/v2/views/pages"


async def until(reading: Reading, kind: str) -> list[dict[str, Any]]:
    """The frames that tell something, up to the first of this kind."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["event"] != kind:
        found.append(await reading.message())
    return found


def resumed(identifier: object) -> dict[str, str]:
    """The headers of a client that comes back."""
    return {**SSE, "last-event-id": json.dumps(identifier)}


def titles(frames: list[dict[str, Any]], kind: str) -> list[str]:
    """Those of the rows, changes or deletes."""
    return [frame["data"]["key"]["title"] for frame in frames if frame["event"] == kind]


async def test_a_snapshot_is_followed_by_each_change(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views, views.site.stream(VIEW_PATH, headers=SSE) as one:
        assert (one.status, one.headers["cache-control"]) == (200, "no-store")
        opening = await one.frame()
        assert opening["id"][-1] == {"view": "pages", "after": None, "rows": 0}
        frames = await until(one, "ready")
        assert [frame["event"] for frame in frames] == ["snapshot", "row", "row", "ready"]
        assert frames[1]["data"] == {"key": {"wiki": "enwiki", "title": "A"}, "value": shown("A")}
        assert frames[1]["id"][-1] == {"view": "pages", "after": ["enwiki", "A"], "rows": 1}
        assert frames[-1]["data"] == {"keys": 2}
        assert {(entry["partition"], entry["offset"]) for entry in frames[-1]["id"]} == {(0, 1), (1, -1)}
        views.site.put(TOPIC, page("A", 20, n=1), page("C", 30), page("B", 40, kind="delete"))
        changes = await until(one, "delete")
        assert [(frame["event"], frame["data"]["key"]["title"]) for frame in changes] == [
            ("change", "A"),
            ("change", "C"),
            ("delete", "B"),
        ]
        assert [frame["id"][0]["offset"] for frame in changes] == [2, 3, 4]
        beat = await one.frame()
        assert set(beat) == {"id"}


async def test_lines_say_the_same(tmp_path: Path) -> None:
    headers = {"accept": "application/x-ndjson"}
    async with viewing(tmp_path, page("A")) as views, views.site.stream(VIEW_PATH, headers=headers) as one:

        async def line() -> Any:
            while not (text := await one.line()):
                pass
            return json.loads(text)

        assert list(await line()) == ["$snapshot"]
        assert await line() == {"$row": {"key": {"wiki": "enwiki", "title": "A"}, "value": shown("A")}}
        assert await line() == {"$ready": {"keys": 1}}
        views.site.put(TOPIC, page("A", 1, kind="delete"), page("B", 2))
        assert await line() == {"$delete": {"key": {"wiki": "enwiki", "title": "A"}}}
        assert await line() == {"$change": {"key": {"wiki": "enwiki", "title": "B"}, "value": shown("B")}}


async def test_an_id_resumes_anywhere_within_the_snapshot_and_after_it(tmp_path: Path) -> None:
    async with viewing(tmp_path, *[page(f"P{n}", n) for n in range(5)]) as views:
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            first = await until(one, "ready")
        views.site.put(TOPIC, page("P4", 10, n=1), page("P0", 11, kind="delete"))
        await views.has(6)
        for index, frame in enumerate(first[:-1]):
            async with views.site.stream(VIEW_PATH, headers=resumed(frame["id"])) as again:
                rest = await until(again, "delete")
            assert titles(rest, "row") == [f"P{n}" for n in range(index, 5)]
            assert [frame["data"] for frame in rest if frame["event"] == "ready"] == [{"keys": 5}]
            assert titles(rest, "change") == ["P4"]
        async with views.site.stream(VIEW_PATH, headers=resumed(first[-1]["id"])) as again:
            assert [frame["event"] for frame in await until(again, "delete")] == ["change", "delete"]


async def test_ids_are_the_streams_and_the_reverse(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10), page("C", 20)) as views:
        async with views.site.stream("/v2/stream/pages?since=2001-01-01") as stream:
            messages = [await stream.message() for _ in range(3)]
        async with views.site.stream(VIEW_PATH, headers=resumed(messages[0]["id"])) as view:
            assert titles([await view.message(), await view.message()], "change") == ["B", "C"]
        async with views.site.stream(VIEW_PATH, headers=SSE) as view:
            ready = (await until(view, "ready"))[-1]
        views.site.put(TOPIC, page("D", 30))
        headers = {"last-event-id": json.dumps(ready["id"])}
        async with views.site.stream("/v2/stream/pages", headers=headers) as stream:
            assert (await stream.message())["data"] == shown("D")


async def test_compact_ids_come_back_too(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:
        async with views.site.stream(f"{VIEW_PATH}?ids=compact", headers=SSE) as one:
            frames = await until(one, "ready")
        assert frames[1]["id"][0]["position"].startswith("p1.")
        async with views.site.stream(VIEW_PATH, headers=resumed(frames[1]["id"])) as again:
            assert titles(await until(again, "ready"), "row") == ["B"]
        views.site.put(TOPIC, page("C", 30))
        async with views.site.stream(VIEW_PATH, headers={**SSE, "last-event-id": frames[-1]["id"]}) as again:
            assert titles([await again.message()], "change") == ["C"]


async def test_an_id_that_leads_nowhere_is_told_and_answered_with_now(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:
        for lost in ((TOPIC, 0, 99, START + 5), (TOPIC, 0, 0, START + 777)):
            async with views.site.stream(VIEW_PATH, headers=resumed(json.loads(position(lost)))) as one:
                frames = await until(one, "ready")
                assert [frame["event"] for frame in frames] == ["reset", "row", "row", "ready"]


async def test_forgotten_history_resets_and_what_is_kept_does_not(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.state.store.MARK_CHANGES", 1)
    monkeypatch.setattr("gateway.state.builder.SURVEY_SECONDS", 0.05)
    monkeypatch.setattr("gateway.state.builder.WAIT", 0.05)
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            ready = (await until(one, "ready"))[-1]
        views.site.put(TOPIC, page("A", 20), page("B", 30))
        await views.has(3)
        views.site.log.truncate(TOPIC, 0, 3)
        path = f"{VIEW_PATH}/enwiki/A?at={START + 1}"

        for _ in range(500):
            if (await views.site.get(path)).status_code == 410:
                break
            await asyncio.sleep(0.02)
        async with views.site.stream(VIEW_PATH, headers=resumed(ready["id"])) as one:
            assert (await one.message())["event"] == "reset"
        assert (await views.site.get(f"{VIEW_PATH}/enwiki/A")).json() == shown("A")


@pytest.mark.parametrize("form", ["text/event-stream", "application/x-ndjson"])
async def test_a_failure_before_it_has_begun_has_no_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """So a client that comes back sends the id that it had, and no empty position, which nobody takes."""

    def fail(_: Lookup) -> None:
        raise ArithmeticError

    async with viewing(tmp_path, page("A")) as views:
        monkeypatch.setattr(Lookup, "state", fail)
        async with views.site.stream(VIEW_PATH, headers={"accept": form}) as one:
            if form.startswith("text"):
                frame = await one.message()
                assert (set(frame), frame["event"]) == ({"event", "data"}, "error")
                assert frame["data"]["status"] == 500
            else:
                assert json.loads(await one.line())["$error"]["status"] == 500
            assert await one.rest() == b""


async def test_prefixes_and_keys_are_followed_alone(tmp_path: Path) -> None:
    async with (
        viewing(tmp_path, page("A"), page("A", wiki="fr"), page("B", wiki="fr")) as views,
        views.site.stream(f"{VIEW_PATH}?prefix=fr", headers=SSE) as by_prefix,
        views.site.stream(VIEW_PATH, params={"key": '["fr","B"]'}, headers=SSE) as by_key,
    ):
        assert titles(await until(by_prefix, "ready"), "row") == ["A", "B"]
        assert titles(await until(by_key, "ready"), "row") == ["B"]
        views.site.put(TOPIC, page("A", 1), page("A", 2, wiki="fr"), page("B", 3, wiki="fr"))
        assert titles([await by_prefix.message(), await by_prefix.message()], "change") == ["A", "B"]
        assert titles([await by_key.message()], "change") == ["B"]


async def test_an_id_of_a_client_that_asked_for_other_keys_brings_none_but_those_that_are_asked_for(
    tmp_path: Path,
) -> None:
    async with viewing(tmp_path, page("A", wiki="a"), page("B", wiki="fr"), page("C", wiki="fr")) as views:
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            snapshot, row, *_ = await until(one, "ready")
        for identifier in (snapshot["id"], row["id"]):
            async with views.site.stream(f"{VIEW_PATH}?prefix=fr", headers=resumed(identifier)) as again:
                assert titles(await until(again, "ready"), "row") == ["B", "C"]


async def test_it_is_compressed_where_that_is_asked_for(tmp_path: Path) -> None:
    async with viewing(tmp_path, *[page(f"P{n}", n) for n in range(50)]) as views:
        reader, writer = await asyncio.open_connection("127.0.0.1", views.site.port)
        head = f"GET {VIEW_PATH} HTTP/1.0\r\naccept: text/event-stream\r\naccept-encoding: gzip\r\n\r\n"
        writer.write(head.encode())
        await reader.readuntil(b"\r\n\r\n")
        compressed, so_far, decoder = b"", b"", zlib.decompressobj(31)
        while b"event: ready\n" not in so_far:
            part = await reader.read(65536)
            assert part, so_far
            compressed += part
            so_far += decoder.decompress(part)
        for session in list(views.site.gateway.public_views.streams.sessions):
            session.stop()
        body = gzip.decompress(compressed + await reader.read())
        writer.close()
        assert body.count(b"event: row\n") == 50
        assert b"event: ready\n" in body
        assert body.rstrip().splitlines()[-2].startswith(b"retry: ")


async def test_a_drain_ends_it_with_the_last_id(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views, views.site.stream(VIEW_PATH, headers=SSE) as one:
        ready = (await until(one, "ready"))[-1]
        views.site.gateway.public_views.streams.draining = True
        for session in views.site.gateway.public_views.streams.sessions:
            session.stop()
        rest = (await one.rest()).decode()
        assert json.loads(rest.rpartition("id: ")[2]) == ready["id"]
        async with views.site.stream(VIEW_PATH, headers=resumed(ready["id"])) as late:
            assert await late.rest() == b""


async def test_private_streams_have_private_views(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), admin=True) as views:
        private = Stream("pages", (TOPIC,), message_key_fields=("wiki", "title"), partitions=2, public=False)
        gateway = views.site.gateway
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            await until(one, "ready")
            current = gateway.current.definitions
            catalog = type(current.catalog)([private])
            await gateway.take(dataclasses.replace(current, catalog=catalog))
            await one.rest()
        assert (await views.site.get(f"{VIEW_PATH}/enwiki/A")).status_code == 404
        assert (await views.site.get(VIEW_PATH, headers=SSE)).status_code == 404
        assert (await views.site.get("/v2/views")).json() == []
        assert (await views.site.admin.get(f"{VIEW_PATH}/enwiki/A")).json() == shown("A")


async def test_a_view_that_is_declared_no_more_ends_its_streams(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views, views.site.stream(VIEW_PATH, headers=SSE) as one:
        await until(one, "ready")
        views.declare()
        await one.rest()
        assert (await views.site.get(VIEW_PATH)).status_code == 404


@pytest.mark.long
async def test_a_changed_definition_takes_its_place_once_it_has_caught_up(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views, views.site.stream(VIEW_PATH, headers=SSE) as one:
        await until(one, "ready")
        await views.rest()
        views.view = dataclasses.replace(VIEW, delete=None, tombstone=())
        views.declare(views.view)
        # It is not built yet: the old one answers.
        assert (await views.site.get(f"{VIEW_PATH}/enwiki/A")).json() == shown("A")
        views.site.put(TOPIC, page("A", 20, kind="delete"))
        views.build()
        frames = await until(one, "reset")
        rows = await until(one, "ready")
        assert [row["data"]["value"]["type"] for row in rows if row["event"] == "row"] == ["delete", "edit"]
        assert {frame["event"] for frame in frames} <= {"change", "delete", "reset"}
        await becomes(lambda: len(list(tmp_path.glob("*.db"))) == 1)


@pytest.mark.long
async def test_a_topic_that_is_created_again_is_another_view(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.state.builder.SURVEY_SECONDS", 0.05)
    monkeypatch.setattr("gateway.state.builder.WAIT", 0.05)
    async with viewing(tmp_path, page("A"), page("B", 10)) as views, views.site.stream(VIEW_PATH, headers=SSE) as one:
        await until(one, "ready")
        views.site.log.delete_topic(TOPIC)
        views.site.log.create_topic(TOPIC, 2)
        views.site.put(TOPIC, page("C", 100))
        await until(one, "reset")
        assert titles(await until(one, "ready"), "row") == ["C"]


def replay_paid(site: Site) -> dict[tuple[str, str], float]:
    """When what each has read of history will be paid for."""
    assert isinstance(site.gateway.limiter, MemoryLimiter)
    return {key: due for key, due in site.gateway.limiter._ledger._due.items() if key[0] == REPLAY}


@pytest.mark.long
async def test_one_who_comes_back_reads_history_no_faster_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.state.session.CHANGES", 5)
    limits: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "limit_replay": 10_000}
    async with viewing(tmp_path, page("A"), **limits) as views:
        headers = {"x-forwarded-for": "198.51.100.1"}
        sessions = views.site.gateway.public_views.streams.sessions
        async with views.site.stream(VIEW_PATH, headers={**SSE, **headers}) as one:
            first = (await until(one, "ready"))[-1]["id"]
            await becomes(lambda: all(session._has_caught_up for session in sessions))
            paid = replay_paid(views.site)
            views.site.put(TOPIC, *[page(f"P{n}", 10 + n, pad="x" * 400) for n in range(60)])
            assert len([await one.message() for _ in range(60)]) == 60
            # Not by the time: the machine may stand still meanwhile.
            assert replay_paid(views.site).items() <= paid.items(), "what is live costs nothing"
        async with views.site.stream(VIEW_PATH, headers={**resumed(first), **headers}) as again:
            begun = time.monotonic()
            assert titles([await again.message() for _ in range(60)], "change") == [f"P{n}" for n in range(60)]
            assert time.monotonic() - begun > 1.0


async def test_operators_see_who_follows(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10), admin=True) as views:

        async def table(query: str = "") -> Any:
            return (await views.site.admin.get(f"/-/connections{query}")).json()

        async with (
            views.site.stream(VIEW_PATH, headers={**SSE, "user-agent": "follower/1"}) as one,
            views.site.stream("/v2/stream/pages", headers=SSE) as stream,
        ):
            frames = await until(one, "ready")
            await stream.frame()
            await becomes(lambda: all(session.is_live for session in views.site.gateway.public_views.streams.sessions))
            shown = await table()
            assert shown["total"] == 2
            (row,) = [row for row in shown["connections"] if row["view"] == "pages"]
            (other,) = [row for row in shown["connections"] if row["view"] is None]
            assert (other["streams"], row["streams"]) == (["pages"], ["pages"])
            assert (row["address"], row["user_agent"]) == ("127.0.0.1", "follower/1")
            assert row["format"].startswith("text/event-stream")
            assert (row["live"], row["lag"], json.loads(row["position"])) == (True, 0, frames[-1]["id"])
            assert row["bytes"] is None or row["bytes"] > 0
            for order in ("since", "lag", "bytes", "address"):
                assert len((await table(f"?sort={order}&limit=1"))["connections"]) == 1
            page_of_them = await views.site.admin.get("/-/connections", headers={"accept": "text/html"})
            assert page_of_them.status_code == 200
        await becomes(lambda: not views.site.gateway.public_views.streams.sessions)
        assert await table() == {"total": 0, "connections": []}


async def test_followers_at_one_place_share_their_frames(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views:
        readings: list[list[str]] = []
        following = [asyncio.create_task(_follow(views, readings)) for _ in range(20)]
        await becomes(lambda: len(readings) == 20)
        views.site.put(TOPIC, page("B", 10))
        await asyncio.gather(*following)
        assert readings == [["B"]] * 20


async def _follow(views: Viewing, readings: list[list[str]]) -> None:
    async with views.site.stream(VIEW_PATH, headers=SSE) as one:
        await until(one, "ready")
        own: list[str] = []
        readings.append(own)
        own += titles([await one.message()], "change")


@pytest.mark.long
async def test_a_view_that_is_being_built_is_waited_for(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views:
        await views.rest()
        views.view = dataclasses.replace(VIEW, name="new")
        views.declare(views.view)
        async with views.site.stream("/v2/views/new", headers=SSE) as one:
            assert await one.frame() == {"": "the view is being built"}
            views.build()
            assert titles(await until(one, "ready"), "row") == ["A"]


async def test_clients_that_read_nothing_hold_no_more_than_is_allowed(tmp_path: Path) -> None:
    records = [page(f"P{n:03}", n, pad="x" * 20_000) for n in range(300)]
    async with viewing(tmp_path, *records, session_bytes=1 << 20) as views:
        held = views.site.gateway.held
        idle = []
        for _ in range(8):
            reader, writer = await asyncio.open_connection("127.0.0.1", views.site.port, limit=1024)
            writer.write(f"GET {VIEW_PATH} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n".encode())
            idle.append((reader, writer))
        await becomes(lambda: held.waits > 0)
        assert held.size <= (1 << 20) + (1 << 19)
        for _, writer in idle:
            writer.close()
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            assert len(titles(await until(one, "ready"), "row")) == 300
