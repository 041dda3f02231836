"""The state that the operators' page shows, from the metrics of all processes, the catalogue, and the process's log."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.catalog.catalog import Catalog
from gateway.clock import Clock
from gateway.cooperative import Yielder
from gateway.hub.hub import Hub
from gateway.routes.health import Workers
from gateway.routes.survey import Surveyor

KEPT_SECONDS = 5.0
"""For which the metrics are kept: they are those of all processes, and cost each of them something."""
MOST_STREAMS = 1_000
"""Streams that are told."""
_SAMPLE = re.compile(
    r"^(gateway_(?:log_up|limits_alone|draining|streams|stuck_partitions|connections|lag_records|bad_records_total))"
    r'(?:\{(?:stream|topic)="((?:[^"\\]|\\.)*)"\})? (\S+)$',
    re.MULTILINE,
)
_NONE: Mapping[str, float] = {}
Figures = Mapping[str, Mapping[str, float]]
"""Figures by the metric, then by the stream or topic; "" where it has none."""


def figures(exposition: str) -> Figures:
    """Those samples of the metrics that the page shows."""
    found: dict[str, dict[str, float]] = {}
    for name, label, value in _SAMPLE.findall(exposition):
        found.setdefault(name, {})[label] = float(value)
    return found


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while the process runs. `registry` tells why the registry did not answer last, or "" where
    it did; it is None where there is none."""

    workers: int
    shares_limits: bool
    registry: Callable[[], str] | None


class GatewayState:
    """Tells the state; `exposition` gives the metrics of all processes."""

    def __init__(
        self,
        facts: Facts,
        hub: Hub,
        surveyor: Surveyor,
        catalog: Callable[[], tuple[Catalog, Catalog]],
        workers: Workers,
        exposition: Callable[[], Awaitable[bytes]],
        clock: Clock,
    ) -> None:
        """`catalog` gives that of all streams, and that of the public ones."""
        self._facts = facts
        self._hub = hub
        self._surveyor = surveyor
        self._catalog = catalog
        self._workers = workers
        self._exposition = exposition
        self._clock = clock
        self._figures: Figures = {}
        self._until = float("-inf")

    async def document(self) -> dict[str, object]:
        """As JSON has it."""
        if self._clock.monotonic() >= self._until:
            self._figures = figures((await self._exposition()).decode())
            self._until = self._clock.monotonic() + KEPT_SECONDS
        await self._surveyor.look()
        every, public = self._catalog()
        work = Yielder()
        rows = []
        for name in list(every.streams)[:MOST_STREAMS]:
            rows.append(self._stream(every, name, name not in public.streams))
            await work.give_way()
        more = len(every.streams) - len(rows)
        return {"now": self._clock.now(), "state": self._state(), "streams": rows, "more_streams": more}

    def _figure(self, name: str, label: str = "") -> float:
        return self._figures.get(name, _NONE).get(label, 0.0)

    def _stream(self, catalog: Catalog, name: str, private: bool) -> dict[str, object]:
        stream = catalog.streams[name]
        return {
            "name": name,
            "private": private,
            "derived": stream.derive is not None,
            "rate": self._surveyor.rate(stream.topics),
            "newest": self._surveyor.newest(stream.topics),
            "clients": int(self._figure("gateway_connections", name)),
            "lag": int(self._figure("gateway_lag_records", name)),
            "bad": int(sum(self._figure("gateway_bad_records_total", topic) for topic in stream.topics)),
        }

    def _state(self) -> list[dict[str, object]]:
        hub = self._hub
        log = "answers" if hub.available else f"does not answer: {hub.why_unavailable}"
        if hub.available and not hub.filled.is_set():
            log = "answers; the newest part is still being read"
        parts = [_part("Log", hub.available, log)]
        if self._facts.registry is not None:
            failure = self._facts.registry()
            parts.append(_part("Schema registry", not failure, failure or "answers"))
        alone = self._figure("gateway_limits_alone") > 0
        if self._facts.shares_limits:
            words = "away: each process counts limits alone" if alone else "answers: limits hold for all processes"
            parts.append(_part("Redis", not alone, words))
        else:
            parts.append(_part("Redis", True, "not used: each process counts limits by itself"))
        parts.append(self._processes())
        stuck = int(self._figure("gateway_stuck_partitions"))
        parts.append(_part("Partitions", not stuck, f"{stuck} cannot be read" if stuck else "all can be read"))
        open_streams = int(self._figure("gateway_streams"))
        parts.append(_part("Clients", True, f"{open_streams} open stream{'' if open_streams == 1 else 's'}"))
        return parts

    def _processes(self) -> dict[str, object]:
        silent, down = self._workers()
        draining = int(self._figure("gateway_draining"))
        words = f"{self._facts.workers} at work"
        if silent or down:
            words = "; ".join(
                [*(f"{name} does not answer" for name in silent), *(f"{name} starts again" for name in down)]
            )
        elif draining:
            words = f"{draining} draining"
        return _part("Workers", not (silent or down or draining), words)


def _part(name: str, fine: bool, words: str) -> dict[str, object]:
    return {"name": name, "ok": fine, "words": words}
