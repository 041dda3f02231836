"""`/healthz` and `/readyz`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

from gateway.eventlog.trouble import Kind, Trouble
from gateway.hub.hub import Hub
from gateway.hub.watch import LagWatch
from gateway.model.record import TopicPartition
from gateway.routes.answers import json_answer

Workers = Callable[[], tuple[Sequence[str], Sequence[str]]]
"""The workers that do not answer though the system sends clients to them, and those that are not there."""


async def healthz(_: Request) -> Response:
    """The process lives."""
    return json_answer({"status": "ok"})


class Readiness:
    """Whether the process can serve: the log answers, the catalogue is loaded, and it is not draining.

    A worker that does not answer is missing: who is sent to it waits. One that is started again is named, and its share
    goes to the others. Partitions that are stuck are named, and it serves the others: no other process could read them
    either. So are topics whose events are not stored (`failing`), with the kind of trouble. `inside`: all is told of
    why, which may name the operator's hosts. Outside, `public` topics alone are named.
    `ailing`: the parts of the process that a mistake of our own has broken off lately. `absent`: topics that are not
    there, with what to say of each; told inside alone.
    """

    def __init__(
        self,
        hub: Hub,
        watch: LagWatch,
        draining: Callable[[], bool],
        workers: Workers,
        inside: bool,
        public: Callable[[], Collection[str]],
        ailing: Mapping[str, str] = MappingProxyType({}),
        failing: Mapping[str, Trouble] = MappingProxyType({}),
        absent: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._absent = absent
        self._workers = workers
        self._inside = inside
        self._public = public
        self._ailing = ailing
        self._failing = failing
        self._hub = hub
        self._watch = watch
        self._draining = draining

    async def readyz(self, _: Request) -> Response:
        missing = []
        if not self._hub.available:
            missing.append(f"the log does not answer{self._why()}")
        elif not self._hub.filled.is_set():
            missing.append("the newest part of the log is still being read")
        if self._draining():
            missing.append("the server is draining")
        silent, down = self._workers()
        missing += [f"{name} does not answer, and is replaced" for name in silent]
        if missing:
            return json_answer({"status": "not ready", "missing": missing}, 503)
        told: dict[str, object] = {"status": "ready"}
        if stuck := self._stuck():
            told["stuck"] = stuck
        if down:
            told["restarting"] = list(down)
        if self._ailing:
            told["ailing"] = sorted(self._ailing)
        if appends := self._appends():
            told["appends"] = appends
        if self._inside and (absent := self._absent()):
            told["absent"] = dict(absent)
        return json_answer(told)

    def _why(self) -> str:
        """Why the log does not answer."""
        if self._inside:
            return f": {self._hub.why_unavailable}"
        kind = self._hub.kind_unavailable
        return f" ({kind})" if kind not in ("", Kind.UNAVAILABLE) else ""

    def _appends(self) -> dict[str, str]:
        """The topics whose last append failed, and why."""
        if self._inside:
            return {topic: str(trouble) for topic, trouble in self._failing.items()}
        public = self._public()
        return {topic: str(trouble.kind) for topic, trouble in self._failing.items() if topic in public}

    def _stuck(self) -> dict[str, str] | list[str]:
        silent = dict.fromkeys(self._watch.stuck, "no records arrive")
        told = {partition: str(trouble) for partition, trouble in self._hub.sick.items()}
        stuck = dict(sorted((silent | told).items()))
        if self._inside:
            return {_name(partition): why for partition, why in stuck.items()}
        public = self._public()
        return [_name(partition) for partition in stuck if partition.topic in public]


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
