"""What the gateway and its peers are measured with: loads that each peer named in them carries."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from loadtests.measurement import Figure
from loadtests.scenario import FLOOR, Scenario, Side

GATEWAY = Side("gateway", log="kafka")
AT_ONCE = Side("gateway, 0 ms", log="kafka", settings=("--flush-interval", "0"))
"""The gateway that never holds an event back to share a write, as no peer does."""
KAFKA_SSE = Side("kafka-sse", "kafka-sse", log="kafka")
FEW_KAFKA_SSE = Side("kafka-sse, 100", "kafka-sse", log="kafka", clients=100)
"""As many as it carries at that rate."""
STARLETTE = Side("starlette", "starlette", log="kafka")
FEW_STARLETTE = Side("starlette, 100", "starlette", log="kafka", clients=100)
NCHAN = Side("nchan", "nchan")
MERCURE_BOLT = Side("mercure bolt", "mercure")
"""With its history on disk, the default."""
MERCURE_LOCAL = Side("mercure local", "mercure")
"""Without history: its fastest."""

CPU = {"kafka-sse": 1 / 20, "starlette": 1 / 5}
"""The most CPU a delivered event that the gateway may take, as a part of the peer's. 1 for the others."""
MEMORY = {"nchan": 1.5}
"""The same for memory a connection."""


def _cpu(*peers: Side) -> tuple[Figure, ...]:
    return tuple(
        Figure(f"CPU, × {peer.name}", "cpu_us_per_delivery", over=peer.name, limit=CPU.get(peer.server, 1.0))
        for peer in peers
    )


def _pace(peer: Side) -> Figure:
    return Figure(f"pace held by {peer.name}, %", "pace_percent", peer.name)


def _delay(peer: Side) -> tuple[Figure, ...]:
    """Of a peer, and the gateway's in it."""
    names = {"p50_ms": "delay p50", "p99_ms": "delay p99"}
    own = [Figure(f"{name} of {peer.name}, ms", value, peer.name) for value, name in names.items()]
    return (*own, *(Figure(f"{name}, × {peer.name}", value, over=peer.name) for value, name in names.items()))


def _delays(*peers: Side) -> tuple[Figure, ...]:
    """Of the gateway by default, and of each peer: CPU says nothing without them."""
    own = (
        Figure("delay p50 after the log, ms", "after_log_p50_ms", limit=3),
        Figure("delay p99 after the log, ms", "after_log_p99_ms", limit=15),
    )
    return (*own, *(figure for peer in peers for figure in _delay(peer)))


def _cpu_at_once(*peers: Side) -> tuple[Figure, ...]:
    return tuple(
        Figure(f"CPU at 0 ms, × {peer.name}", "cpu_us_per_delivery", AT_ONCE.name, peer.name) for peer in peers
    )


def _memory(*peers: Side) -> tuple[Figure, ...]:
    return tuple(
        Figure(f"memory, × {peer.name}", "kb_per_connection", over=peer.name, limit=MEMORY.get(peer.server, 1.0))
        for peer in peers
    )


_HTTP = (NCHAN, MERCURE_LOCAL)
_ALL = (KAFKA_SSE, STARLETTE, *_HTTP, MERCURE_BOLT)

SCENARIOS = (
    Scenario(
        "small",
        "100 clients × 10 events/s",
        sides=(FLOOR, GATEWAY, *_ALL),
        clients=100,
        rate=10,
        seconds=10,
        figures=(*_cpu(*_ALL), *_delays(*_ALL)),
        profiled="gateway",
        limited_by="What an event costs before the first client has it: with few clients, much of each delivery.",
    ),
    Scenario(
        "held",
        "100 clients × 60 events/s, near the most that KafkaSSE holds",
        sides=(FLOOR, GATEWAY, AT_ONCE, KAFKA_SSE, STARLETTE, *_HTTP),
        clients=100,
        rate=60,
        seconds=6,
        figures=(
            _pace(KAFKA_SSE),
            _pace(STARLETTE),
            *_cpu(KAFKA_SSE, STARLETTE, *_HTTP),
            *_cpu_at_once(KAFKA_SSE, STARLETTE, *_HTTP),
            *_delays(KAFKA_SSE, STARLETTE, *_HTTP),
        ),
        profiled="gateway",
        limited_by="A write a client and event; of KafkaSSE its consumers, one a client.",
    ),
    Scenario(
        "few",
        "10 clients × 300 events/s",
        sides=(FLOOR, GATEWAY, AT_ONCE, KAFKA_SSE, STARLETTE, *_HTTP),
        clients=10,
        rate=300,
        seconds=6,
        figures=(
            *_cpu(KAFKA_SSE, STARLETTE, *_HTTP),
            *_cpu_at_once(KAFKA_SSE, STARLETTE, *_HTTP),
            *_delays(KAFKA_SSE, STARLETTE, *_HTTP),
        ),
        limited_by="KafkaSSE's best case: its consumers never wait.",
    ),
    Scenario(
        "calm",
        "1,000 clients × 10 events/s",
        sides=(FLOOR, GATEWAY, *_HTTP, MERCURE_BOLT),
        rate=10,
        seconds=8,
        figures=(*_cpu(*_HTTP, MERCURE_BOLT), *_delays(*_HTTP, MERCURE_BOLT)),
        limited_by="A write a client and event, for all.",
    ),
    Scenario(
        "busy",
        "1,000 clients (of KafkaSSE 100) × 40 events/s",
        sides=(FLOOR, GATEWAY, AT_ONCE, FEW_KAFKA_SSE, *_HTTP),
        rate=40,
        seconds=6,
        figures=(
            *_cpu(FEW_KAFKA_SSE, *_HTTP),
            *_cpu_at_once(FEW_KAFKA_SSE, *_HTTP),
            *_delays(FEW_KAFKA_SSE, *_HTTP),
        ),
        limited_by="Each near what one core carries of it, but the gateway: a write a client and event.",
    ),
    Scenario(
        "idle",
        "1,000 idle connections (of KafkaSSE and Starlette 100)",
        kind="idle",
        sides=(GATEWAY, FEW_KAFKA_SSE, FEW_STARLETTE, *_HTTP, MERCURE_BOLT),
        rate=1,
        seconds=16,
        once=True,
        figures=_memory(FEW_KAFKA_SSE, FEW_STARLETTE, *_HTTP, MERCURE_BOLT),
        limited_by="Memory of the processes alone: the sockets' buffers in the kernel are the same for all. A thousand "
        "clients of KafkaSSE would be four thousand threads.",
    ),
)


def among(scenario: Scenario, peers: Collection[str]) -> Scenario | None:
    """The scenario with these peers alone; None where it has none of them."""
    absent = {side.name for side in scenario.sides if side.server not in {"floor", "gateway", *peers}}
    sides = tuple(side for side in scenario.sides if side.name not in absent)
    if all(side.server in {"floor", "gateway"} for side in sides):
        return None
    return replace(
        scenario, sides=sides, figures=tuple(one for one in scenario.figures if not {one.side, one.over} & absent)
    )
