"""`/v2/views`: the views, and the values, history and pages of one. `view_streams.py` follows one for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import orjson
from starlette.types import Receive, Scope, Send

from gateway.access.grant import Grant
from gateway.catalog.view import View
from gateway.errors import LogError, Problem
from gateway.model.position import PositionEncoder
from gateway.routes.access import Viewers
from gateway.routes.admission import Admission
from gateway.routes.negotiate import choose_view_format
from gateway.routes.problems import answer
from gateway.routes.settled import SettleOptions, etag_of, is_fixed, is_known
from gateway.routes.view_request import (
    FOLLOW,
    HISTORY,
    MOST_ROWS,
    MOST_VERSIONS,
    PAGE,
    ROWS,
    VALUE,
    VERSIONS,
    At,
    Named,
    Token,
    at_of,
    bad,
    check_position,
    key_of,
    limit_of,
    number_of,
    range_of,
    read_path,
    read_token,
    single_values,
    split_key,
    write_token,
)
from gateway.routes.view_streams import ViewStreams
from gateway.state.frames import document
from gateway.state.key import read
from gateway.state.lookup import Forgotten, Lookup, State, Version
from gateway.state.place import Places, consumed_of, covers, cut_of
from gateway.state.resolving import places_at, places_of
from gateway.state.serving import Serving
from gateway.state.session import ViewServices
from gateway.times import iso_time

METHODS = ("GET", "HEAD")
LOOKS = 10_000
"""Keys that one page looks at."""
CATCH_UP_SECONDS = 3.0
"""That an answer as of a moment ago waits for the view to come so far."""
LONGEST_WAIT = 10.0
"""Seconds that an answer waits for the client's share of history."""
BUILT_AGAIN = "the view was built again, or this is another gateway"
FORGOTTEN = "the history that these pages are of is gone"
READ_HEADERS = (b"accept", b"accept-encoding", b"last-event-id", b"if-none-match")
Headers = list[tuple[bytes, bytes]]


class Asked(NamedTuple):
    """A request for one view, and what answers for it."""

    view: View
    serving: Serving
    values: Mapping[str, str]
    headers: Mapping[str, str]
    grant: Grant


class ViewEndpoint:
    """Plain ASGI, one for all requests about views."""

    def __init__(
        self,
        services: ViewServices,
        viewers: Viewers,
        options: SettleOptions,
        streams: ViewStreams,
        admission: Admission | None = None,
    ) -> None:
        self._services = services
        self._viewers = viewers
        self._options = options
        self._admission = admission
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] not in METHODS:
                allowed = ", ".join(METHODS)
                detail = f"{scope['method'][:20]} is not allowed here; allowed: {allowed}"
                raise Problem(405, "Method not allowed", detail, headers={"allow": allowed})
            status, headers, body = await self._answer(scope, receive, send)
        except Problem as problem:
            await answer(problem)(scope, receive, send)
            return
        except (LogError, sqlite3.Error, OSError):
            detail = "the view cannot be read now; try again"
            await answer(Problem(503, "Unavailable", detail, headers={"retry-after": "2"}))(scope, receive, send)
            return
        if status == 0:
            return  # It has been sent.
        if self._admission is not None and (wait := await self._admission.read_history(scope, len(body))) > 0:
            await asyncio.sleep(min(wait, LONGEST_WAIT))
        length = [(b"content-length", b"%d" % len(body))] if status != 304 else []
        await send({"type": "http.response.start", "status": status, "headers": headers + length})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> tuple[int, Headers, bytes]:
        target = read_path(scope.get("raw_path") or scope["path"].encode())
        headers = _read_headers(scope)
        grant = await self._viewers.reader(scope, brief=True)
        if target.view is None:
            single_values(scope["query_string"], ())
            return await self._index(grant)
        view = self._view(target.view, grant)
        if target.key:
            named, history = split_key(view, target.key)
            values = single_values(scope["query_string"], HISTORY if history else VALUE)
            asked = await self._ask(view, values, headers, grant)
            return await (self._history(asked, named) if history else self._value(asked, named))
        form = choose_view_format(headers.get("accept"))
        values = single_values(
            scope["query_string"], (*FOLLOW, "key", "ids") if form else (*PAGE, "key", "history", "before")
        )
        key = key_of(view, values["key"]) if "key" in values else None
        if form is not None:
            find = partial(self._readable, view.name, grant)
            keys = range_of(values, key)
            await self.streams.serve(scope, receive, send, view, form, values, headers, keys, grant, find)
            return 0, [], b""
        asked = await self._ask(view, values, headers, grant)
        if key is None:
            for name in ("history", "before"):
                if name in values:
                    raise bad(name, "it belongs to a key")
            return await self._page(asked)
        if values.get("history", "false") not in ("true", "false"):
            raise bad("history", "it must be `true` or `false`")
        return await (self._history(asked, key) if values.get("history") == "true" else self._value(asked, key))

    # -- what exists ----------------------------------------------------------------------------------------------

    def _view(self, name: str, grant: Grant) -> View:
        view = self._readable(name, grant)
        if view is None:
            raise Problem(404, "Not found", f"there is no view {name[:100]!r}; /v2/views lists them", "view")
        return view

    def _readable(self, name: str, grant: Grant) -> View | None:
        """The view of this name, as it is declared now: one of a stream that the client may not read does not exist
        for it."""
        view = self._services.views.view(name)
        return view if view is not None and view.stream in self._viewers.readable(grant).streams else None

    async def _index(self, grant: Grant) -> tuple[int, Headers, bytes]:
        streams = self._viewers.readable(grant).streams
        described = [await self._describe(view) for view in self._services.views.all() if view.stream in streams]
        return 200, self._headers(grant), orjson.dumps(described) + b"\n"

    async def _describe(self, view: View) -> dict[str, Any]:
        serving = await self._services.views.serving(view)
        state = await (self._services.views.building(view) if serving is None else serving.run(Lookup.state))
        shown = view if state is None else state.view
        return {
            "name": view.name,
            "stream": view.stream,
            "key": list(shown.key),
            "reduce": shown.reduce,
            "keys": 0 if state is None else state.keys,
            "position": None if state is None else self._identifier(state.view, state.places).decode(),
            "earliest": None if state is None or state.earliest is None else iso_time(state.earliest),
            "building": serving is None,
            "halted": None if state is None else state.halted,
        }

    async def _ask(self, view: View, values: Mapping[str, str], headers: Mapping[str, str], grant: Grant) -> Asked:
        """Raises Problem while the first state of the view is being built."""
        serving = await self._services.views.serving(view)
        if serving is None:
            detail = f"the view {view.name} is being built; try again"
            raise Problem(503, "Unavailable", detail, headers={"retry-after": "5"})
        return Asked(view, serving, values, headers, grant)

    # -- answers --------------------------------------------------------------------------------------------------

    async def _value(self, asked: Asked, named: Named) -> tuple[int, Headers, bytes]:
        at = at_of(asked.values, asked.view, self._services.clock.now())
        places, settled = (None, False) if at is None else await self._when(asked, at)
        cut = None if places is None else cut_of(places)
        try:
            told, found = await asked.serving.run(Lookup.get, named.start, cut, named.whole)
        except Forgotten:
            raise self._gone(await self._state(asked)) from None
        if found is None or found.value is None:
            since = None if found is None else iso_time(found.timestamp)
            detail = "there is no such key" + ("" if since is None else f"; it was deleted at {since}")
            members = {} if since is None else {"deleted": since}
            raise Problem(404, "Not found", detail + (" (as of `at`)" if at else ""), "key", members=members)
        position = self._identifier(told.view, told.places if places is None else places)
        return self._cached(asked, found.value + b"\n", position, settled)

    async def _history(self, asked: Asked, named: Named) -> tuple[int, Headers, bytes]:
        limit = limit_of(asked.values, VERSIONS, MOST_VERSIONS)
        token = read_token(asked.values["before"], "before") if asked.values.get("before") else None
        before = None if token is None else number_of(token)
        try:
            state, versions, more = await asked.serving.run(Lookup.history, named.start, before, limit, named.whole)
        except Forgotten:
            raise _being_built() from None
        if token is not None and token.made != state.made:
            raise _first_page("before", BUILT_AGAIN)  # The numbers of changes mean others now.
        if not versions and before is None:
            raise Problem(404, "Not found", "there is no such key", "key")
        shown = []
        for version in versions:
            value = b'"deleted":true' if version.value is None else b'"value":' + version.value
            identifier = orjson.dumps(self._identifier_of(state.view, version).decode())
            time = orjson.dumps(iso_time(version.timestamp))
            shown.append(b'{"timestamp":%b,"id":%b,%b}' % (time, identifier, value))
        following = b"null"
        if more:
            after = versions[-1].seq.to_bytes(8)
            following = orjson.dumps(write_token(Token(state.made, {}, after)))
        body = b'{"versions":[%b],"next":%b}\n' % (b",".join(shown), following)
        return self._cached(asked, body, self._identifier(state.view, state.places), False)

    async def _page(self, asked: Asked) -> tuple[int, Headers, bytes]:
        limit, keys = limit_of(asked.values, ROWS, MOST_ROWS), range_of(asked.values, None)
        state, at = await self._state(asked), at_of(asked.values, asked.view, self._services.clock.now())
        places, start, behind, settled = state.places, keys.start, False, False
        if asked.values.get("after"):
            token = read_token(asked.values["after"], "after")
            if token.made != state.made:
                raise _first_page("after", BUILT_AGAIN)
            places, start, behind = token.places, max(token.after, keys.start), True
        elif at is not None:
            places, settled = await self._when(asked, at)
        try:
            found, last = await asked.serving.walk(Lookup.rows, cut_of(places), start, behind, keys.end, LOOKS, limit)
        except Forgotten:
            raise (_first_page("after", FORGOTTEN) if behind else self._gone(state)) from None
        view = state.view
        rows = [document(view, read(version.key, len(view.key)), version.value) for version in found]
        following = None if last is None else write_token(Token(state.made, places, last))
        position = self._identifier(view, places)
        body = b'{"rows":[%b],"next":%b,"id":%b}\n' % (
            b",".join(rows),
            orjson.dumps(following),
            orjson.dumps(position.decode()),
        )
        return self._cached(asked, body, position, settled)

    # -- when -----------------------------------------------------------------------------------------------------

    async def _state(self, asked: Asked) -> State:
        """Raises Problem."""
        state = await asked.serving.run(Lookup.state)
        if state is None:
            raise _being_built()
        return state

    async def _when(self, asked: Asked, at: At) -> tuple[Places, bool]:
        """The places of an `at`, and whether the state there will never change. Raises Problem."""
        state = await self._state(asked)
        if at.time is not None and (state.earliest is None or at.time < state.earliest):
            raise self._gone(state)
        try:
            if at.time is not None:
                places, settled = await places_at(
                    self._services.hub, self._services.counting, asked.serving, state, at.time
                )
                age = self._services.clock.now() - at.time
                settled = settled and is_fixed(at.text) and age >= self._options.settle_time * 1000
            else:
                assert at.resumed is not None
                check_position(at.resumed, state.view, self._services.hub, "at")
                found = await places_of(self._services.hub, self._services.counting, at.resumed, state)
                if found is None:
                    raise self._gone(state)
                places, settled = found, True
        except Forgotten as error:
            raise self._gone(state, str(error)) from None
        await self._catch_up(asked.serving, state, places)
        return places, settled

    async def _catch_up(self, serving: Serving, state: State, places: Places) -> None:
        """Wait for the view to have read up to these places. Raises Problem."""
        loop = asyncio.get_running_loop()
        deadline, cut = loop.time() + CATCH_UP_SECONDS, cut_of(places)
        while not covers(cut_of(state.places), cut):
            left = deadline - loop.time()
            if left <= 0:
                detail = "the view has not come so far yet; try again"
                raise Problem(503, "Unavailable", detail, headers={"retry-after": "2"})
            mark = serving.mark
            found = await serving.run(Lookup.state)
            state = state if found is None else found
            if not covers(cut_of(state.places), cut):
                await serving.wait(mark, left)

    def _gone(self, state: State, reason: str = "") -> Problem:
        """An `at` of which the state is not known."""
        earliest = None if state.earliest is None else iso_time(state.earliest)
        known = "nothing yet" if earliest is None else f"states from {earliest} on"
        return Problem(410, "Gone", reason or f"the view knows {known}", "at", members={"earliest": earliest})

    # -- parts of an answer ---------------------------------------------------------------------------------------

    def _identifier(self, view: View, places: Places) -> bytes:
        by_timestamp = self._services.hub.by_timestamp.get(view.topic, False)
        consumed = consumed_of(view.topic, places)
        return PositionEncoder(dict.fromkeys(consumed, by_timestamp)).identifier(consumed)

    def _identifier_of(self, view: View, version: Version) -> bytes:
        return self._identifier(view, {version.partition: version.place})

    def _headers(self, grant: Grant, cache: str = "no-cache") -> Headers:
        control = f"private, {cache}" if grant.by_token else cache
        return [
            (b"content-type", b"application/json"),
            (b"cache-control", control.encode()),
            (b"vary", b"accept, authorization" if grant.by_token else b"accept"),
        ]

    def _cached(self, asked: Asked, body: bytes, position: bytes, settled: bool) -> tuple[int, Headers, bytes]:
        """An answer with its validator; a settled one may be kept by caches."""
        age = self._options.settled_max_age
        cache = "no-cache"
        if settled and age:
            cache = f"max-age={age}" if asked.grant.by_token else f"public, max-age={age}"
        etag = etag_of(body)
        headers = [*self._headers(asked.grant, cache), (b"etag", etag.encode()), (b"gateway-position", position)]
        if is_known(etag, asked.headers.get("if-none-match")):
            return 304, headers[1:], b""
        return 200, headers, body


def _first_page(parameter: str, reason: str) -> Problem:
    """A `next` that leads nowhere any more."""
    return Problem(410, "Gone", f"`{parameter}`: {reason}; begin again at the first page", parameter)


def _being_built() -> Problem:
    return Problem(503, "Unavailable", "the view is built again; try again", headers={"retry-after": "5"})


def _read_headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in READ_HEADERS:
            key, text = name.decode(), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
