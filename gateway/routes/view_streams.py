"""Views that are followed: a snapshot, then each change, as server-sent events or lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from gateway.access.grant import Grant
from gateway.catalog.view import View
from gateway.errors import InvalidPosition
from gateway.routes.admission import Admission, Lease
from gateway.routes.lasting import end_at, end_the_old
from gateway.routes.negotiate import accepts_gzip
from gateway.routes.overview import visitor
from gateway.routes.parameters import RequestBounds, position_text, read_ids
from gateway.routes.sink import CONNECTION, HALF_CLOSED, SendSink
from gateway.routes.streams import HEARTBEAT_HEADER, NO_STORE
from gateway.routes.view_request import bad, check_position
from gateway.state.frames import Range, Resumed, parse_id
from gateway.state.session import Following, ViewServices, ViewSession
from gateway.wire import gzip
from gateway.wire.format import NOTHING, Format

logger = logging.getLogger("gateway")


class _Entry(NamedTuple):
    grant: Grant
    timer: asyncio.TimerHandle | None
    lease: Lease | None


class ViewStreams:
    """Those that are open. They end as streams do: by a token's expiry, a reload, their age, or a drain."""

    def __init__(self, services: ViewServices, bounds: RequestBounds, admission: Admission | None = None) -> None:
        self._services = services
        self._bounds = bounds
        self._admission = admission
        self.sessions: dict[ViewSession, _Entry] = {}
        self.draining = False

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        view: View,
        form: Format,
        values: Mapping[str, str],
        headers: Mapping[str, str],
        keys: Range,
        grant: Grant,
        find: Callable[[], View | None],
    ) -> None:
        """Answer one request, until its client leaves. `find` gives the view as it is declared later, where the client
        may still read it. Raises Problem before anything is sent."""
        lease = None if self._admission is None else await self._admission.enter(scope)
        try:
            resumed = self._resumed(view, values, headers)
            packed = accepts_gzip(headers.get("accept-encoding"))
            ids = read_ids(values, self._bounds)
            following = Following(view, form, keys, resumed, packed, ids)
            pace = None if lease is None else lease.pace
            address = None if self._admission is None else self._admission.address(scope)
            session = ViewSession(self._services, following, find, pace, visitor(scope, address))
            timer = end_at(grant.expires, self._services.clock, session) if grant.by_token else None
        except BaseException:
            if lease is not None:
                lease.release()
            raise
        self.sessions[session] = _Entry(grant, timer, lease)
        try:
            if self.draining:
                session.stop()
            await send({"type": "http.response.start", "status": 200, "headers": self._headers(following)})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            known = scope.get("extensions", {})
            probe = gzip.NOTHING if packed else NOTHING
            sink = SendSink(receive, send, probe, known.get(HALF_CLOSED), known.get(CONNECTION))
            await self._carry(session, sink)
        finally:
            self._close(session)

    def stop(self, hidden: Callable[[Grant], Set[str]]) -> int:
        """End those soon with a topic that is hidden from their client; how many."""
        ending = [session for session, entry in self.sessions.items() if self._topics(session) & hidden(entry.grant)]
        for session in ending:
            session.stop()
        return len(ending)

    def _topics(self, session: ViewSession) -> set[str]:
        """What a client is told of, and what it is told of next: a reload may give a view another stream."""
        declared = self._services.views.view(session.view.name)
        return {view.topic for view in (session.view, declared) if view is not None}

    async def end_the_old(self, step: float) -> None:
        """End those that have lasted for long enough, for ever; looks every `step` seconds."""
        await end_the_old(self.sessions, self._services.clock, step)

    async def close(self) -> None:
        """The server breaks off what still runs."""

    async def _carry(self, session: ViewSession, sink: SendSink) -> None:
        try:
            await session.run(sink)
            await sink.finish()
        except Exception:
            logger.exception("a view that was followed broke off")
            await sink.abort()
        except asyncio.CancelledError:
            await sink.abort()
            raise

    def _close(self, session: ViewSession) -> None:
        entry = self.sessions.pop(session, None)
        if entry is None:
            return
        if entry.timer is not None:
            entry.timer.cancel()
        if entry.lease is not None:
            entry.lease.release()

    def _resumed(self, view: View, values: Mapping[str, str], headers: Mapping[str, str]) -> Resumed | None:
        if "last_event_id" in values and "lastEventId" in values:
            raise bad("lastEventId", "it is `last_event_id` in another spelling; send only one of them")
        name, text = position_text(values, headers.get("last-event-id", ""))
        if not text.strip():
            return None
        if len(text) > self._bounds.last_event_id_max:
            most = self._bounds.last_event_id_max
            raise bad(name, f"it is longer than `last_event_id_max` allows ({most} bytes)")
        try:
            resumed = parse_id(text, view)
        except (InvalidPosition, UnicodeEncodeError) as error:
            raise bad(name, str(error)) from None
        check_position(resumed, view, self._services.hub, name)
        return resumed

    def _headers(self, following: Following) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", following.form.content_type.encode()),
            *NO_STORE,
            (b"x-accel-buffering", b"no"),
            (b"vary", b"accept, accept-encoding"),
            (HEARTBEAT_HEADER, b"%g" % self._services.heartbeat),
        ]
        if following.gzip:
            headers.append((b"content-encoding", b"gzip"))
        return headers
