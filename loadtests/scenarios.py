"""The scenarios, and the targets that they are held against (on two cores, events of 1.2 KB, ratios within one run)."""

from __future__ import annotations

from loadtests.measurement import Figure
from loadtests.scenario import FLOOR, GATEWAY, Scenario, Side

_UNDER_THE_RING = ("--ring-fill", "0", "--ring-bytes", "65536")
"""No history in memory: a replay reads the log."""
_AT_ONCE = ("--flush-interval", "0")
"""No event is held back to share a write, which would hide what else delays it."""
_NOT_BESIDE = ("--processing", "off")
_DERIVED = """\
  edits:
    schema_title: row
    derive: {from: [load], where: 'event.type == "edit" && !event.bot', select: {title: event.title}}
  minutes:
    schema_title: row
    derive: {from: [load], by: {wiki: event.wiki}, window: {every: 1m}, select: {edits: count()}}
  busy:
    schema_title: row
    derive: {from: [load], by: {user: event.user}, window: {last: 10m}, select: {n: count()}, having: row.n > 20}
  once:
    derive: {from: [load], dedup: {by: event.title, within: 1h}}
"""


def _over_floor(limit: float) -> Figure:
    return Figure("CPU, × floor", "cpu_us_per_delivery", over="floor", limit=limit)


def _pace() -> Figure:
    """Whether deliveries keep up with the events; the last block's way is 1 or 2% of a run."""
    return Figure("pace held, %", "pace_percent", limit=97, least=True)


def _p99(limit: float) -> Figure:
    return Figure("p99, ms", "p99_ms", limit=limit)


SCENARIOS = (
    Scenario(
        "million",
        "1,000 clients × 1,000 events/s, one stream, 50 ms flush",
        rate=1000,
        flush_interval=0.05,
        sampled=20,
        profiled="gateway",
        figures=(
            _pace(),
            Figure("deliveries/s", "deliveries_per_second"),
            _over_floor(1.3),
            _p99(250),
        ),
        limited_by="Copying: every delivery is 1.3 KB through the kernel's send path, and the server does little else.",
    ),
    Scenario(
        "hundred",
        "1,000 clients × 100 events/s, 50 ms flush",
        flush_interval=0.05,
        profiled="gateway",
        figures=(_over_floor(2), _p99(100)),
        limited_by="System calls: one send a client and flush.",
    ),
    Scenario(
        "rare",
        "5,000 clients × 1 event/s",
        clients=5000,
        rate=1,
        seconds=8,
        profiled="gateway",
        figures=(_over_floor(2), _p99(250)),
        limited_by="System calls: no two events share a send.",
    ),
    Scenario(
        "tenthousand",
        "10,000 clients × 35 events/s, one core",
        clients=10_000,
        rate=35,
        profiled="gateway",
        figures=(_pace(), Figure("deliveries/s", "deliveries_per_second"), _over_floor(1.6), _p99(250)),
        limited_by="System calls, and what ten thousand sockets take of the processor's caches.",
    ),
    Scenario(
        "latency",
        "1 client, 10 events/s",
        sides=(Side("sqlite"), Side("kafka", log="kafka")),
        clients=1,
        rate=10,
        seconds=30,
        once=True,
        sampled=1,
        profiled="kafka",
        figures=(
            Figure("Kafka: p99 from the append's begin to the socket, ms", "p99_ms", side="kafka", limit=10),
            Figure("Kafka: p99 after the acknowledgement, ms", "after_log_p99_ms", side="kafka"),
            Figure("SQLite: p99 from the append's begin to the socket, ms", "p99_ms", side="sqlite", limit=10),
            Figure("SQLite: p99 after the acknowledgement, ms", "after_log_p99_ms", side="sqlite"),
        ),
        limited_by="The log: the way of one record through the broker, or to the disk.",
    ),
    Scenario(
        "idle",
        "10,000 idle connections, heartbeats every 15 s",
        kind="idle",
        clients=10_000,
        rate=1,
        seconds=32,
        once=True,
        profiled="gateway",
        figures=(
            Figure("KB a connection", "kb_per_connection", limit=10),
            Figure("CPU, % of a core", "server_percent", limit=5),
        ),
        limited_by="The objects of a connection: transport, protocol, request, task.",
    ),
    Scenario(
        "hundredthousand",
        "100,000 clients, idle with heartbeats every 15 s, and then 1 event/s",
        kind="crowded",
        sides=(Side("gateway", shared=True),),
        clients=100_000,
        rate=1,
        seconds=12,
        once=True,
        figures=(
            Figure("KB a connection", "kb_per_connection", limit=6),
            Figure("the same in the kernel, both ends", "kernel_kb_per_connection"),
            Figure("workers, of which each may open as many files as a process may", "workers"),
            Figure("idle: CPU, % of a core", "idle_percent", limit=30),
            Figure("live: CPU, % of a core", "server_percent"),
            Figure("live: p99, ms", "p99_ms", limit=1000),
        ),
        limited_by="The clients, which read 100,000 times a second on the same two cores. They have several addresses "
        "of 127.0.0.0/8, since one has 28,000 ports. There are as many workers, and processes of clients, as it takes "
        "until none needs more files than a process may open (`ulimit -Hn`).",
    ),
    Scenario(
        "gzip",
        "1,000 gzip clients × 100 events/s",
        sides=(Side("plain"), Side("gzip", gzip=True)),
        payload="wiki",
        profiled="gzip",
        figures=(
            Figure("CPU, × the same without", "cpu_us_per_delivery", side="gzip", over="plain", limit=1),
            Figure("bytes, × the same without", "bytes_per_delivery", side="gzip", over="plain", limit=0.2),
        ),
        limited_by="System calls, as without compression; deflate itself is done once for all.",
    ),
    Scenario(
        "filters",
        "10,000 different filters over 1,000 wikis × 100 events/s",
        sides=(Side("nothing", filters="nothing"), Side("filters", filters="indexed")),
        clients=10_000,
        payload="wiki",
        profiled="filters",
        figures=(
            Figure("CPU, % of a core above one filter that matches nothing", "load_percent", side="filters",
                   over="nothing", how="difference", limit=25),
            Figure("CPU, % of a core", "load_percent", side="filters"),
        ),
        limited_by="The evaluation of each event for each filter that no index rules out, and the turn of each feed.",
    ),
    Scenario(
        "unindexed",
        "1,000 filters that no index helps × 100 events/s",
        sides=(Side("nothing", filters="nothing"), Side("filters", filters="unindexed")),
        payload="wiki",
        profiled="filters",
        figures=(
            Figure("CPU, % of a core above one filter that matches nothing", "load_percent", side="filters",
                   over="nothing", how="difference", limit=50),
            Figure("CPU, % of a core", "load_percent", side="filters"),
        ),
        limited_by="A look at an event for each of 1,000 filters, and CEL for those that it does not refute.",
    ),
    Scenario(
        "replay",
        "history to one client, from the log",
        kind="replay",
        sides=(
            Side("sqlite", settings=_UNDER_THE_RING),
            Side("kafka", log="kafka", settings=_UNDER_THE_RING),
        ),
        clients=1,
        events=300_000,
        sampled=1,
        profiled="kafka",
        figures=(
            Figure("Kafka: events/s", "events_per_second", side="kafka", limit=100_000, least=True),
            Figure("SQLite: events/s", "events_per_second", side="sqlite", limit=100_000, least=True),
        ),
        limited_by="Reading and decoding: each record is parsed and checked once.",
    ),
    Scenario(
        "replays",
        "200 clients replay the same 60,000 events at once",
        kind="replay",
        sides=(
            FLOOR,
            Side("alone", clients=1, settings=_UNDER_THE_RING),
            Side("together", settings=_UNDER_THE_RING),
        ),
        clients=200,
        events=60_000,
        sampled=10,
        profiled="together",
        figures=(
            Figure("the log was read, times", "log_read_mb", side="together", over="alone", limit=2.2),
            Figure("slowest client, s: 3 × 12,000,000 deliveries at 1,000,000/s", "slowest_seconds", side="together",
                   limit=36),
            Figure("slowest client, × one alone", "slowest_seconds", side="together", over="alone"),
            Figure("CPU, × C writing the same from memory", "cpu_us_per_delivery", side="together", over="floor"),
            Figure("deliveries/s", "deliveries_per_second", side="together"),
        ),
        limited_by="What the core can write, when the log is read once for all.",
    ),
    Scenario(
        "fair",
        "200 clients × 50 events/s, while 100 others replay, each from a place of its own",
        kind="fair",
        sides=(
            Side("alone", settings=_UNDER_THE_RING),
            Side("replaying", replaying=100, settings=_UNDER_THE_RING),
            Side("alone, 0 ms", settings=(*_UNDER_THE_RING, *_AT_ONCE)),
            Side("replaying, 0 ms", replaying=100, settings=(*_UNDER_THE_RING, *_AT_ONCE)),
        ),
        clients=200,
        rate=50,
        seconds=10,
        events=300_000,
        profiled="replaying",
        figures=(
            Figure("p99, × without those that replay", "p99_ms", side="replaying", over="alone", limit=2),
            Figure("p99, ms", "p99_ms", side="replaying"),
            Figure("p99 without them, ms", "p99_ms", side="alone"),
            Figure("p99 where no event is held back, ms", "p99_ms", side="replaying, 0 ms"),
            Figure("p99 without them there, ms", "p99_ms", side="alone, 0 ms"),
            Figure("events replayed a second", "replayed_per_second", side="replaying"),
        ),
        limited_by="The loop, which all share: one who replays has it for a moment, then those who are live.",
    ),
    Scenario(
        "deriving",
        "200 clients × 200 events/s, while four streams are derived of them beside",
        sides=(
            Side("without", shared=True, streams=_DERIVED, settings=_NOT_BESIDE),
            Side("deriving", shared=True, streams=_DERIVED),
            Side("without, 0 ms", shared=True, streams=_DERIVED, settings=(*_NOT_BESIDE, *_AT_ONCE)),
            Side("deriving, 0 ms", shared=True, streams=_DERIVED, settings=_AT_ONCE),
        ),
        clients=200,
        rate=200,
        seconds=10,
        payload="wiki",
        figures=(
            Figure("p99, × without", "p99_ms", side="deriving", over="without", limit=1.05),
            Figure("p99, ms", "p99_ms", side="deriving"),
            Figure("p99, × without, where no event is held back", "p99_ms", side="deriving, 0 ms",
                   over="without, 0 ms"),
            Figure("p99 where no event is held back, ms", "p99_ms", side="deriving, 0 ms"),
        ),
        limited_by="The cores, which the processes share with the clients of the measurement.",
    ),
    Scenario(
        "storm",
        "10,000 clients dropped at once and back with their ids, 1 event/s",
        kind="storm",
        sides=(GATEWAY,),
        clients=10_000,
        rate=1,
        seconds=10,
        profiled="gateway",
        figures=(
            Figure("all live again, s", "live_seconds", limit=3),
            Figure("CPU, s", "storm_cpu_seconds"),
            Figure("the clients' part of their core meanwhile, %", "storm_client_percent"),
            Figure("log read for them, MB", "storm_log_read_mb", limit=1),
        ),
        limited_by="Accepting, parsing and answering a request, on both sides of the connection.",
    ),
    Scenario(
        "busystorm",
        "the same at 5 events/s",
        kind="storm",
        sides=(GATEWAY,),
        clients=10_000,
        rate=5,
        seconds=10,
        figures=(
            Figure("all live again, s", "live_seconds"),
            Figure("CPU, s", "storm_cpu_seconds"),
            Figure("log read for them, MB", "storm_log_read_mb", limit=1),
        ),
        limited_by="Writing each event to ten thousand clients takes half of the core by itself; the rest is as above.",
    ),
    Scenario(
        "workers",
        "one worker and two, 8,000 clients × 5 events/s",
        sides=(
            Side("1 worker"),
            Side("2 workers", workers=2),
            Side("2, all cores", workers=2, shared=True),
        ),
        clients=8000,
        rate=5,
        seconds=8,
        figures=(
            Figure("deliveries a CPU second of the busiest worker, × one worker", "busiest_deliveries_per_second",
                   side="2 workers", over="1 worker", limit=1.8, least=True),
            Figure("the same, on all cores beside the clients", "busiest_deliveries_per_second",
                   side="2, all cores", over="1 worker"),
        ),
        limited_by="What each worker does by itself, reading the log and starting a flush, and how evenly the kernel "
        "spreads connections over them. The figure is deliveries divided by the CPU seconds of the busier worker; both "
        "have the server's core between them, so that clients disturb neither. At so few events none share "
        "a write, so that one worker and two make the same system calls: under more, the coalescing would differ, "
        "since it follows from how long a worker's flush takes.",
    ),
    Scenario(
        "reading",
        "one worker, two and four, 400 clients × 1,000 events/s",
        sides=(
            Side("1 worker", log="kafka"),
            Side("2 workers", log="kafka", workers=2),
            Side("4 workers", log="kafka", workers=4),
        ),
        clients=400,
        rate=1000,
        figures=(
            Figure("CPU of two, × one", "cpu_us_per_delivery", side="2 workers", over="1 worker", limit=1.1),
            Figure("CPU of four, × one", "cpu_us_per_delivery", side="4 workers", over="1 worker"),
            Figure("CPU of one, % of a core", "server_percent", side="1 worker"),
            Figure("CPU of three more, % of a core", "server_percent", side="4 workers", over="1 worker",
                   how="difference"),
            Figure("p99 of one, ms", "p99_ms", side="1 worker"),
            Figure("p99 of four, ms", "p99_ms", side="4 workers"),
        ),
        limited_by="Each worker reads and decodes every event by itself, and writes what its clients get. All have the "
        "server's core between them.",
    ),
    Scenario(
        "locust",
        "the load client and Locust, 100 × 60 events/s",
        sides=(Side("own client"), Side("Locust", client="locust")),
        clients=100,
        rate=60,
        figures=(
            Figure("CPU of Locust, × the server's", "client_over_server", side="Locust"),
            Figure("CPU of the load client, × the server's", "client_over_server", side="own client"),
            Figure("deliveries/s that a core of Locust takes", "client_deliveries_per_second", side="Locust"),
        ),
        limited_by="Locust: Python code for each event, and a table of statistics.",
    ),
    Scenario(
        "slow",
        "1,000 clients × 100 events/s, 100 of them slow readers",
        sides=(FLOOR, GATEWAY),
        slow=100,
        figures=(_p99(250), Figure("memory, MB", "memory_mb")),
        limited_by="System calls; a slow reader is one more position in the ring.",
    ),
)  # fmt: skip
