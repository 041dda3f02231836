"""Views whose stream changes, or the rights to it: nobody is told what they may not read, before, while and after."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.view import View
from gateway.routes.admission import Admission
from gateway.state.files import path_of, served, stand_ins, state_of
from gateway.state.place import Place
from gateway.state.serving import Serving
from gateway.state.store import Store
from tests.kit.waiting import becomes
from tests.routes.kit import Reading, position
from tests.routes.viewing import PAGES, START, TOPIC, VIEW, Viewing, page, shown, viewing

SSE = {"accept": "text/event-stream"}
VIEW_PATH = "/v2/views/pages"
SECRET = dataclasses.replace(PAGES, name="secret", topics=("secret",), public=False)
OF_SECRET = dataclasses.replace(VIEW, stream="secret", topic="secret")
BOTH = (PAGES, SECRET)


async def ready(reading: Reading) -> dict[str, Any]:
    """The frame that says that all rows have come."""
    while (frame := await reading.message())["event"] != "ready":
        pass
    return frame


async def both_built(views: Viewing) -> None:
    """Build a file of the present view beside those that are there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.state.builder.remove", lambda path: None)
        views.build()
        await becomes(lambda: (state := state_of(path_of(views.directory, views.view))) is not None and state.ready)
        await views.rest()


@pytest.mark.long
async def test_a_view_that_leaves_a_private_stream_shows_nothing_of_it(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("Hidden"), view=OF_SECRET, streams=BOTH, admin=True) as views:
        site = views.site
        site.put(TOPIC, page("Open"))
        assert (await site.admin.get(f"{VIEW_PATH}/enwiki/Hidden")).json() == shown("Hidden")
        assert (await site.get(f"{VIEW_PATH}/enwiki/Hidden")).status_code == 404
        await views.take(VIEW)
        # The new one is not built yet.
        for path in (
            f"{VIEW_PATH}/enwiki/Hidden",
            f"{VIEW_PATH}/enwiki/Hidden/history",
            VIEW_PATH,
            f"{VIEW_PATH}?at={START + 1}",
            f"{VIEW_PATH}?at={position((TOPIC, 0, 0, START))}",
        ):
            answer = await site.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), path
            assert "Hidden" not in answer.json()["detail"]
        (told,) = (await site.get("/v2/views")).json()
        assert (told["stream"], told["building"], told["keys"], told["position"]) == ("pages", True, 0, None)
        async with site.stream(VIEW_PATH, headers=SSE) as one:
            assert await one.frame() == {"": "the view is being built"}
            views.build()
            assert (await one.message())["event"] == "snapshot"
            assert (await one.message())["data"]["value"] == shown("Open")
        assert (await site.get(f"{VIEW_PATH}/enwiki/Hidden")).status_code == 404
        await becomes(lambda: len(list(tmp_path.glob("*.db"))) == 1)


@pytest.mark.long
@pytest.mark.parametrize("built", [False, True])
async def test_a_follower_is_not_taken_along_into_a_private_stream(tmp_path: Path, built: bool) -> None:
    async with viewing(tmp_path, page("Open"), streams=BOTH, admin=True) as views:
        views.site.put("secret", page("Hidden"))
        async with (
            views.site.stream(VIEW_PATH, headers=SSE) as one,
            views.site.stream(VIEW_PATH, client=views.site.admin, headers=SSE) as operator,
        ):
            await ready(one)
            await ready(operator)
            if built:
                await views.rest()
                views.view = OF_SECRET
                await both_built(views)
            await views.take(OF_SECRET)
            views.build()
            assert "event" not in (await one.rest()).decode()
            # Who may read it is.
            assert (await operator.message())["event"] == "reset"
            assert (await operator.message())["data"]["value"] == shown("Hidden")
            await ready(operator)
            (session,) = views.site.gateway.all_views.streams.sessions
            await becomes(lambda: session.is_live)
            (row,) = (await views.site.admin.get("/-/connections")).json()["connections"]
            assert (row["streams"], row["live"], row["lag"]) == (["secret"], True, 0)
        assert (await views.site.get(VIEW_PATH, headers=SSE)).status_code == 404
        assert (await views.site.get("/v2/views")).json() == []


async def test_a_request_that_a_reload_overtakes_is_shown_nothing_that_it_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rights were looked up before, and among those who follow it is found only after the reload."""
    async with viewing(tmp_path, page("Open"), streams=BOTH) as views:
        views.site.put("secret", page("Hidden"))
        await views.rest()
        views.view = OF_SECRET
        await both_built(views)
        enter = Admission.enter

        async def overtaken(self: Admission, scope: Any) -> Any:
            await views.take(OF_SECRET)
            return await enter(self, scope)

        monkeypatch.setattr(Admission, "enter", overtaken)
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            assert await one.rest() == b""


async def test_a_follower_ends_with_the_rights_to_the_stream_also_where_the_topic_stays_public(tmp_path: Path) -> None:
    other = dataclasses.replace(PAGES, name="other")
    async with viewing(tmp_path, page("A"), streams=(PAGES, other)) as views:
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            await ready(one)
            await views.take(VIEW, dataclasses.replace(PAGES, public=False), other)
            await one.rest()
        assert (await views.site.get(VIEW_PATH)).status_code == 404


async def test_a_snapshot_ends_with_the_rights_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where all that the client may not read any more is the name of the stream."""
    monkeypatch.setattr("gateway.state.session.ROWS", 1)
    walk, other = Serving.walk, dataclasses.replace(PAGES, name="other")
    async with viewing(tmp_path, *[page(f"P{n}", n) for n in range(9)], streams=(PAGES, other)) as views:

        async def overtaken(self: Serving, *given: Any) -> Any:
            found = await walk(self, *given)
            if views.site.gateway.current.catalog.streams["pages"].public:
                await views.take(VIEW, dataclasses.replace(PAGES, public=False), other)
            return found

        monkeypatch.setattr(Serving, "walk", overtaken)
        async with views.site.stream(VIEW_PATH, headers=SSE) as one:
            assert (await one.rest()).count(b"event: row\n") == 1


@pytest.mark.long
async def test_a_stream_that_gets_another_topic_shows_nothing_of_the_one_before(tmp_path: Path) -> None:
    private = dataclasses.replace(PAGES, topics=("secret",), public=False)
    async with viewing(
        tmp_path, page("Hidden"), view=dataclasses.replace(VIEW, topic="secret"), streams=(private,)
    ) as views:
        views.site.log.create_topic(TOPIC, 2)
        await views.take(VIEW, PAGES)
        assert (await views.site.get(f"{VIEW_PATH}/enwiki/Hidden")).status_code == 503
        views.build()
        views.site.put(TOPIC, page("Open"))
        await views.has(0)
        assert (await views.site.get(f"{VIEW_PATH}/enwiki/Hidden")).status_code == 404
        assert (await views.site.get(f"{VIEW_PATH}/enwiki/Open")).json() == shown("Open")


async def test_an_id_of_a_later_version_of_the_stream_is_not_taken_for_one_of_the_file_that_answers(
    tmp_path: Path,
) -> None:
    """Another gateway may have moved to the new version before this one."""
    later = dataclasses.replace(PAGES, topics=("pages.v2",))
    async with viewing(tmp_path, page("A"), page("B", 10), streams=(PAGES,)) as views:
        views.site.log.create_topic("pages.v2", 2)
        await views.take(dataclasses.replace(VIEW, topic="pages.v2"), later)
        assert (await views.site.get(f"{VIEW_PATH}/enwiki/A")).json() == shown("A")
        identifier = position(("pages.v2", 0, 0, START + 5))
        async with views.site.stream(VIEW_PATH, headers={**SSE, "last-event-id": identifier}) as one:
            assert (await one.message())["event"] == "reset"


STAND_INS = [
    ("secret", "secret", False),
    ("secret", TOPIC, False),
    ("pages", "secret", False),
    ("pages", "pages.v", False),
    ("pages", "pages.v2x", False),
    ("pages", "pagesxv2", False),
    ("pages", TOPIC, True),
    ("pages", "pages.v2", True),
    ("pages", "pages.v13", True),
]


@pytest.mark.parametrize(("stream", "topic", "may"), STAND_INS)
def test_a_file_stands_in_for_another_definition_of_one_stream_alone(
    tmp_path: Path, stream: str, topic: str, may: bool
) -> None:
    before = View("pages", stream, topic, ("title",))
    store = Store(path_of(tmp_path, before), before)
    store.begin({0: Place(0)}, "identity", 1)
    store.say(ready=True)
    store.close()
    assert served(tmp_path, VIEW) == (path_of(tmp_path, before) if may else None)
    assert len(stand_ins(tmp_path, VIEW)) == may
    assert served(tmp_path, before) == path_of(tmp_path, before)
