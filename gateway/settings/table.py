"""The settings: one table, the fields of `Settings`. Flag, variable and key of the file are derived from the key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "switch", "choice", "list", "mapping"]
MAXIMUM_BYTES = 1 << 40


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `minimum` and `maximum` are in `unit`, and allowed themselves."""

    key: str
    kind: Kind
    default: Any
    unit: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    # What flag and variable are called where they are not called as the key.
    short_name: str = ""
    file_only: bool = False
    in_file: bool = True

    @property
    def flag(self) -> str | None:
        """The option of the command line."""
        return None if self.file_only else "--" + (self.short_name or self.key).replace("_", "-")

    @property
    def variable(self) -> str | None:
        """The environment variable."""
        return None if self.file_only else "GATEWAY_" + (self.short_name or self.key).upper()

    @property
    def form(self) -> str:
        """The form of a value, for a message."""
        if self.kind == "choice":
            return " or ".join(self.choices)
        if self.kind in ("integer", "number"):
            number = "a whole number" if self.kind == "integer" else "a number"
            unit = f" of {self.unit}" if self.unit else ""
            return f"{number}{unit} from {_shown(self.minimum)} to {_shown(self.maximum)}"
        several = f"a list of at least one {self.unit}" if self.minimum else f"a list of strings ({self.unit})"
        forms = {"switch": "true or false", "list": several, "mapping": "a mapping"}
        return forms.get(self.kind, f"a string ({self.unit})" if self.unit else "a string")

    @property
    def bounds(self) -> str:
        """The least and the largest value, where there are such."""
        return f"{_shown(self.minimum)} to {_shown(self.maximum)}" if self.kind in ("integer", "number") else ""

    @property
    def shown_default(self) -> str:
        """The default as it would be written."""
        return _shown(self.default)


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else str(int(value))
    if isinstance(value, Mapping):
        return "none" if not value else str(dict(value))
    return str(value)


def _row(kind: Kind, default: Any, unit: str, help_text: str, **more: Any) -> Any:
    """A field of `Settings` that carries its row of the table; the key is the field's name."""
    metadata = {"kind": kind, "default": default, "unit": unit, "help": help_text, **more}
    if kind == "mapping":
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _integer(default: int, unit: str, help_text: str, minimum: int, maximum: int) -> Any:
    return _row("integer", default, unit, help_text, minimum=minimum, maximum=maximum)


def _seconds(default: float, help_text: str, minimum: float, maximum: float) -> Any:
    return _row("number", default, "seconds", help_text, minimum=minimum, maximum=maximum)


def _choice(default: str, help_text: str, *choices: str) -> Any:
    return _row("choice", default, "", help_text, choices=choices)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, validated. This is the table."""

    config: str = _row("text", "config/gateway.yaml", "path", "file with the settings and the streams", in_file=False)
    log: str = _row(
        "text",
        "sqlite:///var/events.db",
        "URL",
        "where events are stored: `kafka://host:port[,host:port…]` or `sqlite:///path`",
    )
    limits: str = _row(
        "text",
        "memory://",
        "URL",
        "where limits are counted: in each process (`memory://`), or for all processes together "
        "(`redis://host:port/0`, `rediss://…`, `unix:///path`)",
    )
    limits_prefix: str = _row("text", "gateway", "text", "prefix of the keys in Redis")
    limits_away: str = _choice(
        "open",
        "while Redis is away: each process counts by itself, or new clients are refused",
        "open",
        "closed",
    )
    limit_streams: int = _integer(0, "streams", "open streams of all clients together; 0: no limit", 0, 1 << 30)
    limit_streams_per_address: int = _integer(
        100, "streams", "open streams per address; 0: no limit, as for all limits below", 0, 1 << 30
    )
    limit_filters: int = _integer(
        2_000_000,
        "steps",
        "steps per second that the filters of one address may take in a process; a step takes 0.1 to 0.25 µs",
        0,
        1 << 40,
    )
    limit_connects: float = _row(
        "number",
        10.0,
        "streams",
        "new streams per address and second, refused ones included; bursts of ten seconds' worth",
        minimum=0,
        maximum=1e6,
    )
    limit_requests: float = _row(
        "number",
        100.0,
        "requests",
        "other requests per address and second in a process, refused ones included",
        minimum=0,
        maximum=1e6,
    )
    limit_intake: float = _row(
        "number", 1000.0, "events", "events per second that one address may send", minimum=0, maximum=1e9
    )
    limit_replay: int = _integer(
        33_554_432, "bytes", "history per second that one address may read, before compression", 0, MAXIMUM_BYTES
    )
    limit_networks: Mapping[str, Any] = _row(
        "mapping", {}, "", "networks with limits of their own, by name", file_only=True
    )
    exempt_networks: tuple[str, ...] = _row("list", ("127.0.0.0/8", "::1/128"), "network", "networks without limits")
    trusted_proxies: tuple[str, ...] = _row(
        "list", (), "network", "networks of your proxies, whose forwarding headers are trusted"
    )
    rule_networks: tuple[str, ...] = _row(
        "list", (), "network", "private networks that the requests of rules may go to; none otherwise"
    )
    forwarded_header: str = _choice(
        "x-forwarded-for", "header in which trusted proxies name the client", "x-forwarded-for", "forwarded"
    )
    public_url: str | None = _row(
        "text",
        None,
        "URL",
        "address by which clients reach the gateway, if it differs from their `Host` header: `https://host`",
    )
    host: str = _row("text", "127.0.0.1", "address", "address that the public port listens on")
    port: int = _integer(8080, "", "public port; 0 picks a free one", 0, 65535)
    admin_host: str = _row("text", "127.0.0.1", "address", "address that the admin port listens on")
    admin_port: int = _integer(9090, "", "port for metrics and administration; 0 picks a free one", 0, 65535)
    admin_names: tuple[str, ...] = _row(
        "list",
        (),
        "name",
        "host names under which the admin port answers, besides IP addresses, `localhost` and `admin_host`",
    )
    workers: int = _integer(1, "processes", "worker processes that share the public port", 1, 256)
    heartbeat: float = _seconds(15.0, "silence after which a stream sends a heartbeat", 0.05, 3600)
    flush_interval: float = _seconds(
        0.1, "longest time that events wait to share a write; a single event never waits", 0, 10
    )
    flush_bytes: int = _integer(65536, "bytes", "size at which waiting events are written at once", 1, 1 << 30)
    retry: int = _integer(2000, "milliseconds", "reconnection delay for clients (`retry:`)", 100, 3_600_000)
    ring_bytes: int = _integer(
        268_435_456, "bytes", "memory per process for the newest part of the log", 65536, MAXIMUM_BYTES
    )
    ring_fill: float = _seconds(600.0, "how much of the newest log is loaded into memory at startup", 0, 604_800)
    block_cache_bytes: int = _integer(
        67_108_864, "bytes", "memory per process for encoded blocks that clients share", 0, MAXIMUM_BYTES
    )
    replay_readers: int = _integer(16, "readers", "concurrent readers of history per process", 1, 1024)
    replay_cache_bytes: int = _integer(
        67_108_864, "bytes", "memory per process for history that clients replay together", 0, MAXIMUM_BYTES
    )
    session_bytes: int = _integer(
        268_435_456,
        "bytes",
        "memory per process for data that clients have not read yet; at this bound, clients that lag wait",
        1 << 20,
        MAXIMUM_BYTES,
    )
    startup_wait: float = _seconds(
        3.0, "longest wait for the log at startup, before the public port opens anyway", 0, 60
    )
    drain_time: float = _seconds(5.0, "time over which a shutdown ends the open streams", 0, 3600)
    stall_limit: float = _seconds(
        30.0,
        "time after which a process with a blocked event loop logs its stacks and exits; 0: never",
        0,
        86_400,
    )
    write_timeout: float = _seconds(
        60.0, "time after which a client that reads none of its waiting data is disconnected; 0: never", 0, 86_400
    )
    max_connection_age: float = _seconds(
        0.0, "longest life of a stream, after which its client has to reconnect; 0: unlimited", 0, 2_592_000
    )
    metadata_interval: float = _seconds(5.0, "interval between checks for new topics and deleted records", 0.05, 3600)
    socket_send_buffer: int = _integer(
        65536, "bytes", "unsent bytes that the kernel buffers per connection; 0: the system's default", 0, 1 << 30
    )
    process_connections: int = _integer(
        0, "connections", "connections per process; 0: as many as its limit of open files allows", 0, 10_000_000
    )
    waiting_connections: int = _integer(
        4096, "connections", "connections that wait for a request; beyond that, the oldest are closed", 1, 1_000_000
    )
    head_timeout: float = _seconds(10.0, "longest time for the request line and headers to arrive", 0.05, 3600)
    keep_alive: float = _seconds(5.0, "how long an idle connection is kept for another request", 0.05, 3600)
    request_line_max: int = _integer(262_144, "bytes", "longest path with its query", 1024, 1 << 24)
    request_head_max: int = _integer(
        524_288, "bytes", "longest head of a request: the request line and all headers", 2048, 1 << 25
    )
    request_headers_max: int = _integer(100, "headers", "headers per request", 8, 10_000)
    maximum_streams: int = _integer(100, "names", "stream names per request", 1, 10_000)
    last_event_id_max: int = _integer(65536, "bytes", "longest `Last-Event-ID` that is accepted", 256, 1 << 19)
    compact_ids: int = _integer(
        2048,
        "bytes",
        "ids that may be longer than this as JSON are compact, unless the client asks for a form",
        0,
        1 << 30,
    )
    filter_max_length: int = _integer(4096, "bytes", "longest filter expression", 1, 1 << 20)
    filter_max_depth: int = _integer(32, "levels", "deepest nesting of a filter expression", 1, 32)
    filter_max_steps: int = _integer(
        5_000,
        "steps",
        "steps that a filter may take on an event; if it needs more, the event does not match. A step takes "
        "0.1 to 0.25 µs",
        10,
        1 << 40,
    )
    derive_held: int = _integer(
        500_000,
        "items",
        "groups, waiting events and looked-up rows that a derived stream may hold; at this bound it stops",
        1_000,
        1 << 40,
    )
    derive_held_bytes: int = _integer(
        268_435_456,
        "bytes",
        "stored size of the waiting events and looked-up rows that a derived stream may hold; at this bound it stops",
        1 << 20,
        MAXIMUM_BYTES,
    )
    derive_replay_bound: int = _integer(
        10_000_000,
        "records",
        "records that a derived stream may read again after a restart; beyond this it does not start",
        1_000,
        1 << 40,
    )
    schema_repositories: tuple[str, ...] = _row(
        "list",
        ("config/schemas",),
        "directory",
        "schema repositories, searched in this order",
        short_name="schemas",
        minimum=1,
    )
    intake: str = _choice(
        "public",
        "where `POST /v1/events` is open; the admin port also takes events for private streams",
        "public",
        "admin",
        "off",
    )
    intake_max_bytes: int = _integer(4_194_304, "bytes", "largest body with events, decompressed", 1024, 1 << 30)
    intake_max_events: int = _integer(1000, "events", "events per request", 1, 100_000)
    intake_event_max_bytes: int = _integer(
        1_000_000, "bytes", "largest event; by default Kafka takes none that is larger", 1024, 1 << 24
    )
    intake_queue_bytes: int = _integer(
        67_108_864, "bytes", "memory per process for events that are being stored", 1 << 20, MAXIMUM_BYTES
    )
    idempotency_window: float = _seconds(
        600.0, "time within which a repeated event is recognized and not stored again", 0, 86_400
    )
    idempotency_events: int = _integer(
        500_000, "events", "newest events per process among which repeats are recognized", 0, 1 << 30
    )
    other_gateways: bool = _row(
        "switch",
        False,
        "",
        "whether gateways that share no `limits` in Redis write to the same Kafka. If so, the log is read to its end "
        "before an event with an id is stored",
    )
    timestamp_ahead_max: float = _seconds(
        3600.0, "how far a stream's `timestamp_field` may lie in the future; 0: without bound", 0, 315_360_000
    )
    report_stream: str | None = _row(
        "text", None, "stream", "stream for reports that browsers send (`application/reports+json`)"
    )
    error_stream: str | None = _row(
        "text",
        None,
        "stream",
        "stream for dead letters: invalid events, with the reason, unless their stream names another one",
    )
    intake_token: str = _choice("none", "whether the intake on the public port requires a token", "none", "required")
    static_tokens: Mapping[str, Any] = _row(
        "mapping",
        {},
        "",
        "tokens by name, each with its `sha256` and the streams that it may `read` and `write`",
        file_only=True,
    )
    jwks: str | None = _row(
        "text", None, "path or URL", "public keys (JWKS) of signed tokens: a file, or a URL to fetch"
    )
    jwks_refresh: float = _seconds(300.0, "interval between fetches of the keys from a URL", 10, 86_400)
    token_algorithms: tuple[str, ...] = _row(
        "list",
        ("RS256", "PS256", "ES256", "EdDSA"),
        "algorithm",
        "algorithms that signed tokens may use",
        minimum=1,
    )
    token_audience: str | None = _row("text", None, "aud", "audience (`aud`) that signed tokens must name")
    token_issuer: str | None = _row("text", None, "iss", "issuer (`iss`) that signed tokens must name")
    token_read_claim: str = _row("text", "read_streams", "claim", "claim that lists the streams a token may read")
    token_write_claim: str = _row("text", "write_streams", "claim", "claim that lists the streams a token may write")
    token_clock_skew: float = _seconds(30.0, "tolerated difference between the clocks of issuer and gateway", 0, 600)
    token_max_bytes: int = _integer(8192, "bytes", "longest token", 256, 65536)
    token_brief_lifetime: float = _seconds(
        300.0, "longest lifetime of a token in a URL or a cookie; 0: none is accepted there", 0, 86_400
    )
    token_cookie: str | None = _row("text", None, "cookie", "cookie that may hold a token for reading")
    kafka: Mapping[str, Any] = _row(
        "mapping", {}, "", "settings passed through to the Kafka client, such as `security_protocol`", file_only=True
    )
    tracing: str | None = _row(
        "text", None, "URL", "collector for traces of the intake (OTLP over HTTP): `http://collector:4318`"
    )
    tracing_ratio: float = _row(
        "number", 1.0, "", "share of the traces begun here that is recorded; 1: all", minimum=0, maximum=1
    )
    access_log: bool = _row("switch", False, "", "log every request")
    log_level: str = _choice("info", "least severe messages that are logged", "debug", "info", "warning", "error")
    log_format: str = _choice("text", "format of the log: lines for people, or JSON objects", "text", "json")


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(key=field.name, **field.metadata) for field in dataclasses.fields(Settings)
)
BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}
