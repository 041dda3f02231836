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
        """What a value looks like, for a message."""
        if self.kind == "choice":
            return " or ".join(self.choices)
        if self.kind in ("integer", "number"):
            number = "a whole number" if self.kind == "integer" else "a number"
            unit = f" of {self.unit}" if self.unit else ""
            return f"{number}{unit} from {_shown(self.minimum)} to {_shown(self.maximum)}"
        several = f"a list of at least one {self.unit}" if self.minimum else f"a list of texts ({self.unit})"
        forms = {"switch": "true or false", "list": several, "mapping": "a mapping"}
        return forms.get(self.kind, f"a text ({self.unit})" if self.unit else "a text")

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

    config: str = _row(
        "text", "config/gateway.yaml", "path", "the file with the settings and the streams", in_file=False
    )
    log: str = _row(
        "text",
        "sqlite:///var/events.db",
        "URL",
        "where the events are: `kafka://host:port[,host:port…]` or `sqlite:///path`",
    )
    limits: str = _row(
        "text",
        "memory://",
        "URL",
        "where limits are counted: `memory://`, each process by itself, or `redis://host:port/0`, `rediss://…` or "
        "`unix:///path`, all processes together",
    )
    limits_prefix: str = _row("text", "gateway", "text", "how the names of the keys in Redis begin")
    limits_away: str = _choice(
        "open",
        "what holds while Redis is away: each process counts by itself, or nobody new is let in",
        "open",
        "closed",
    )
    limit_streams: int = _integer(0, "streams", "open streams of all clients together; 0: no limit", 0, 1 << 30)
    limit_streams_per_address: int = _integer(
        100, "streams", "open streams of one address; 0: no limit, as below", 0, 1 << 30
    )
    limit_filters: int = _integer(
        2_000_000,
        "steps",
        "steps that the filters of one address may take a second, a process; a step is 0.1 to 0.25 µs",
        0,
        1 << 40,
    )
    limit_connects: float = _row(
        "number", 10.0, "streams", "new streams of one address a second, refused ones too; ten seconds' worth at once",
        minimum=0, maximum=1e6,
    )  # fmt: skip
    limit_requests: float = _row(
        "number", 100.0, "requests", "other requests of one address a second, refused ones too; a process",
        minimum=0, maximum=1e6,
    )  # fmt: skip
    limit_intake: float = _row(
        "number", 1000.0, "events", "events that one address may send a second", minimum=0, maximum=1e9
    )
    limit_replay: int = _integer(
        33_554_432, "bytes", "history that one address gets a second, before compression", 0, MAXIMUM_BYTES
    )
    limit_networks: Mapping[str, Any] = _row(
        "mapping", {}, "", "networks with limits of their own, by name", file_only=True
    )
    exempt_networks: tuple[str, ...] = _row("list", ("127.0.0.0/8", "::1/128"), "network", "networks without limits")
    trusted_proxies: tuple[str, ...] = _row(
        "list", (), "network", "the networks of your proxies, which say whom they speak for"
    )
    rule_networks: tuple[str, ...] = _row(
        "list", (), "network", "private networks that the requests of rules may go to; none otherwise"
    )
    forwarded_header: str = _choice(
        "x-forwarded-for", "the header in which they say it", "x-forwarded-for", "forwarded"
    )
    public_url: str | None = _row(
        "text",
        None,
        "URL",
        "the address by which clients know the gateway, where it is not the one they send: `https://host`",
    )
    host: str = _row("text", "127.0.0.1", "address", "the address of the public port")
    port: int = _integer(8080, "", "the public port; 0 takes any that is free", 0, 65535)
    admin_host: str = _row("text", "127.0.0.1", "address", "the address of the admin port")
    admin_port: int = _integer(9090, "", "the port of metrics and admin; 0 takes any that is free", 0, 65535)
    admin_names: tuple[str, ...] = _row(
        "list", (), "name", "names by which the admin port may be asked, beside addresses, `localhost` and `admin_host`"
    )
    workers: int = _integer(1, "processes", "processes that share the public port", 1, 256)
    heartbeat: float = _seconds(15.0, "idle time after which a heartbeat is sent", 0.05, 3600)
    flush_interval: float = _seconds(
        0.1, "the longest time that an event is held back to share a write with others; a lone one never is", 0, 10
    )
    flush_bytes: int = _integer(
        65536, "bytes", "events that are held back are sent as soon as there are so many bytes", 1, 1 << 30
    )
    retry: int = _integer(
        2000, "milliseconds", "`retry:` told to clients: their wait before a reconnect", 100, 3_600_000
    )
    ring_bytes: int = _integer(
        268_435_456, "bytes", "memory for the newest part of the log, a process", 65536, MAXIMUM_BYTES
    )
    ring_fill: float = _seconds(600.0, "how much of the newest log is read into the ring at start", 0, 604_800)
    block_cache_bytes: int = _integer(
        67_108_864, "bytes", "memory for encoded blocks that clients share, a process", 0, MAXIMUM_BYTES
    )
    replay_readers: int = _integer(16, "readers", "readers of history at the same time, a process", 1, 1024)
    replay_cache_bytes: int = _integer(
        67_108_864, "bytes", "memory for history that clients replay together, a process", 0, MAXIMUM_BYTES
    )
    session_bytes: int = _integer(
        268_435_456,
        "bytes",
        "memory for what is on its way to clients that have not taken it yet, a process; who is behind waits for it",
        1 << 20,
        MAXIMUM_BYTES,
    )
    startup_wait: float = _seconds(
        3.0, "the longest wait for the log at start before the public port is opened anyway", 0, 60
    )
    drain_time: float = _seconds(5.0, "time over which the running streams are ended at a stop", 0, 3600)
    stall_limit: float = _seconds(
        30.0,
        "a process whose event loop stands still for so long ends, and tells where it stood; 0 never",
        0,
        86_400,
    )
    write_timeout: float = _seconds(
        60.0, "a client whose connection takes nothing of what waits for it for so long is cut off; 0 never", 0, 86_400
    )
    max_connection_age: float = _seconds(
        0.0, "the longest time that a stream lasts before its client has to come back; 0 is for ever", 0, 2_592_000
    )
    metadata_interval: float = _seconds(5.0, "time between looks for new topics, and for what was deleted", 0.05, 3600)
    socket_send_buffer: int = _integer(
        65536, "bytes", "unsent bytes that the kernel takes, a connection; 0 leaves it to the system", 0, 1 << 30
    )
    process_connections: int = _integer(
        0, "connections", "connections of a process; 0 is as many as it may have open files", 0, 10_000_000
    )
    waiting_connections: int = _integer(
        4096, "connections", "connections whose next request has not come; of more the oldest are closed", 1, 1_000_000
    )
    head_timeout: float = _seconds(10.0, "the longest time in which the head of a request has to come", 0.05, 3600)
    keep_alive: float = _seconds(5.0, "how long a connection is kept for another request", 0.05, 3600)
    request_line_max: int = _integer(262_144, "bytes", "the longest path with query", 1024, 1 << 24)
    request_head_max: int = _integer(
        524_288, "bytes", "the longest head of a request, with its first line", 2048, 1 << 25
    )
    request_headers_max: int = _integer(100, "headers", "headers of one request", 8, 10_000)
    maximum_streams: int = _integer(100, "names", "names of streams in one request", 1, 10_000)
    last_event_id_max: int = _integer(65536, "bytes", "the longest `Last-Event-ID` that is read", 256, 1 << 19)
    compact_ids: int = _integer(
        2048, "bytes", "ids that may be longer than this in JSON are compact, where the client does not say", 0, 1 << 30
    )
    filter_max_length: int = _integer(4096, "bytes", "the longest filter expression", 1, 1 << 20)
    filter_max_depth: int = _integer(32, "levels", "the deepest nesting of a filter expression", 1, 32)
    filter_max_steps: int = _integer(
        5_000,
        "steps",
        "steps that a filter may take on an event; where it needs more it does not match. A step is 0.1 to 0.25 µs",
        10,
        1 << 40,
    )
    schema_repositories: tuple[str, ...] = _row(
        "list",
        ("config/schemas",),
        "directory",
        "the schema repositories, searched in order",
        short_name="schemas",
        minimum=1,
    )
    intake: str = _choice(
        "public",
        "where `POST /v1/events` is open; the admin port takes events of private streams too",
        "public",
        "admin",
        "off",
    )
    intake_max_bytes: int = _integer(4_194_304, "bytes", "the largest body of events, expanded", 1024, 1 << 30)
    intake_max_events: int = _integer(1000, "events", "events in one request", 1, 100_000)
    intake_event_max_bytes: int = _integer(
        1_000_000, "bytes", "the largest event; Kafka takes no larger ones by default", 1024, 1 << 24
    )
    intake_queue_bytes: int = _integer(
        67_108_864, "bytes", "memory for events on their way into the log, a process", 1 << 20, MAXIMUM_BYTES
    )
    idempotency_window: float = _seconds(
        600.0, "time in which an event that is sent again is not stored twice", 0, 86_400
    )
    idempotency_events: int = _integer(
        500_000, "events", "the newest events among which such a one is found, a process", 0, 1 << 30
    )
    other_gateways: bool = _row(
        "switch",
        False,
        "",
        "whether gateways that do not share `limits` in Redis write to the same Kafka: the log is then read to its end "
        "before an event with an id is stored",
    )
    timestamp_ahead_max: float = _seconds(
        3600.0, "how far a stream's `timestamp_field` may lie ahead of now; 0 is as far as it likes", 0, 315_360_000
    )
    report_stream: str | None = _row(
        "text", None, "stream", "where reports of browsers go (`application/reports+json`)"
    )
    error_stream: str | None = _row(
        "text", None, "stream", "the stream that invalid events go to, with the reason, where theirs names no other"
    )
    intake_token: str = _choice(
        "none", "whether the intake on the public port takes nothing without a token", "none", "required"
    )
    static_tokens: Mapping[str, Any] = _row(
        "mapping",
        {},
        "",
        "tokens by name, each with its `sha256` and the streams that it may `read` and `write`",
        file_only=True,
    )
    jwks: str | None = _row(
        "text", None, "path or URL", "the public keys (JWKS) of signed tokens: a file, or an address to fetch them from"
    )
    jwks_refresh: float = _seconds(300.0, "time between fetches of the keys from an address", 10, 86_400)
    token_algorithms: tuple[str, ...] = _row(
        "list",
        ("RS256", "PS256", "ES256", "EdDSA"),
        "algorithm",
        "the algorithms that signed tokens may have",
        minimum=1,
    )
    token_audience: str | None = _row("text", None, "aud", "the audience that signed tokens have to be for")
    token_issuer: str | None = _row("text", None, "iss", "the issuer that signed tokens have to be of")
    token_read_claim: str = _row("text", "read_streams", "claim", "the claim with the streams that a token may read")
    token_write_claim: str = _row("text", "write_streams", "claim", "the claim with the streams that it may write")
    token_clock_skew: float = _seconds(30.0, "how far the clocks of issuer and gateway may differ", 0, 600)
    token_max_bytes: int = _integer(8192, "bytes", "the longest token", 256, 65536)
    token_brief_lifetime: float = _seconds(
        300.0, "the longest life of a token that is taken from an address or a cookie; 0 takes none there", 0, 86_400
    )
    token_cookie: str | None = _row("text", None, "cookie", "the name of a cookie that may hold a token to read with")
    kafka: Mapping[str, Any] = _row(
        "mapping", {}, "", "settings passed through to the Kafka client, such as `security_protocol`", file_only=True
    )
    tracing: str | None = _row(
        "text", None, "URL", "the collector that traces of the intake go to (OTLP over HTTP): `http://collector:4318`"
    )
    tracing_ratio: float = _row(
        "number", 1.0, "", "the share of the traces that begin here which is recorded; 1: all", minimum=0, maximum=1
    )
    access_log: bool = _row("switch", False, "", "whether every request is logged")
    log_level: str = _choice("info", "the least grave messages that are logged", "debug", "info", "warning", "error")
    log_format: str = _choice("text", "the form of the log: lines for people, or JSON objects", "text", "json")


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(key=field.name, **field.metadata) for field in dataclasses.fields(Settings)
)
BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}
