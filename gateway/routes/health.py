"""`/healthz` and `/readyz`."""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.requests import Request
from starlette.responses import Response

from gateway.event import TopicPartition
from gateway.hub.hub import Hub
from gateway.hub.watch import Watch
from gateway.routes.answers import json_answer


async def healthz(_: Request) -> Response:
    """The process lives."""
    return json_answer({"status": "ok"})


class Readiness:
    """Whether the process can serve: the log answers, the catalogue is loaded, and it is not draining.

    Partitions that are stuck are named, and it serves the others: no other process could read them either. `inside`:
    why the log, or a partition, does not answer, which may name the operator's hosts, is told too. Outside, partitions
    are named of `public` topics alone.
    """

    def __init__(
        self,
        hub: Hub,
        watch: Watch,
        draining: Callable[[], bool],
        inside: bool,
        public: Callable[[], Collection[str]],
    ) -> None:
        self._inside = inside
        self._public = public
        self._hub = hub
        self._watch = watch
        self._draining = draining

    async def readyz(self, _: Request) -> Response:
        missing = []
        if not self._hub.available:
            why = f": {self._hub.why_unavailable}" if self._inside else ""
            missing.append(f"the log does not answer{why}")
        elif not self._hub.filled.is_set():
            missing.append("the newest part of the log is still being read")
        if self._draining():
            missing.append("the server is draining")
        if missing:
            return json_answer({"status": "not ready", "missing": missing}, 503)
        if stuck := self._stuck():
            return json_answer({"status": "ready", "stuck": stuck})
        return json_answer({"status": "ready"})

    def _stuck(self) -> dict[str, str] | list[str]:
        silent = dict.fromkeys(self._watch.stuck, "its records do not come")
        told = {place: str(trouble) for place, trouble in self._hub.sick.items()}
        stuck = dict(sorted((silent | told).items()))
        if self._inside:
            return {_name(place): why for place, why in stuck.items()}
        public = self._public()
        return [_name(place) for place in stuck if place.topic in public]


def _name(place: TopicPartition) -> str:
    return f"{place.topic}/{place.partition}"
