"""The table of all settings: the options that each room declares, and those that are about the process as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.archive.options import ArchiveOptions
from gateway.counts.options import CountOptions
from gateway.derive.operator import DeriveBounds
from gateway.hub.options import HubOptions
from gateway.intake.options import IntakeOptions
from gateway.model.setting import MAXIMUM_BYTES, Setting, choice, integer, row, seconds
from gateway.routes.parameters import RequestBounds
from gateway.routes.settled import SettleOptions
from gateway.server.connections import ConnectionBounds
from gateway.state.options import ViewOptions

Options = TypeVar("Options", bound=object)


@dataclass(frozen=True)
class ServingOptions:
    """The log, the limits, the addresses, and how streams are kept alive."""

    config: str = row("text", "config/gateway.yaml", "path", "file with the settings and the streams", in_file=False)
    log: str = row(
        "text",
        "sqlite:///var/events.db",
        "URL",
        "where events are stored: `kafka://host:port[,host:port…]` or `sqlite:///path`",
    )
    limits: str = row(
        "text",
        "memory://",
        "URL",
        "where limits are counted: in each process (`memory://`), or for all processes together "
        "(`redis://host:port/0`, `rediss://…`, `unix:///path`)",
    )
    limits_prefix: str = row("text", "gateway", "text", "prefix of the keys in Redis")
    limits_away: str = choice(
        "open",
        "while Redis is away: each process counts by itself, or new clients are refused",
        "open",
        "closed",
    )
    limit_streams: int = integer(0, "streams", "open streams of all clients together; 0: no limit", 0, 1 << 30)
    limit_streams_per_address: int = integer(
        100, "streams", "open streams per address; 0: no limit, as for all limits below", 0, 1 << 30
    )
    limit_filters: int = integer(
        2_000_000,
        "steps",
        "steps per second that the filters of one address may take in a process; a step takes 0.1 to 0.25 µs",
        0,
        1 << 40,
    )
    limit_connects: float = row(
        "number",
        10.0,
        "streams",
        "new streams per address and second, refused ones included; bursts of ten seconds' worth",
        minimum=0,
        maximum=1e6,
    )
    limit_requests: float = row(
        "number",
        100.0,
        "requests",
        "other requests per address and second in a process, refused ones included",
        minimum=0,
        maximum=1e6,
    )
    limit_intake: float = row(
        "number", 1000.0, "events", "events per second that one address may send", minimum=0, maximum=1e9
    )
    limit_replay: int = integer(
        33_554_432, "bytes", "history per second that one address may read, before compression", 0, MAXIMUM_BYTES
    )
    limit_networks: Mapping[str, Any] = row(
        "mapping", {}, "", "networks with limits of their own, by name", file_only=True
    )
    exempt_networks: tuple[str, ...] = row("list", ("127.0.0.0/8", "::1/128"), "network", "networks without limits")
    trusted_proxies: tuple[str, ...] = row(
        "list", (), "network", "networks of your proxies, whose forwarding headers are trusted"
    )
    rule_networks: tuple[str, ...] = row(
        "list", (), "network", "private networks that the requests of rules may go to; none otherwise"
    )
    forwarded_header: str = choice(
        "x-forwarded-for", "header in which trusted proxies name the client", "x-forwarded-for", "forwarded"
    )
    public_url: str | None = row(
        "text",
        None,
        "URL",
        "address by which clients reach the gateway, if it differs from their `Host` header: `https://host`",
    )
    host: str = row("text", "127.0.0.1", "address", "address that the public port listens on")
    port: int = integer(8080, "", "public port; 0 picks a free one", 0, 65535)
    admin_host: str = row("text", "127.0.0.1", "address", "address that the admin port listens on")
    admin_port: int = integer(9090, "", "port for metrics and administration; 0 picks a free one", 0, 65535)
    admin_names: tuple[str, ...] = row(
        "list",
        (),
        "name",
        "host names under which the admin port answers, besides IP addresses, `localhost` and `admin_host`",
    )
    workers: int = integer(1, "processes", "worker processes that share the public port", 1, 256)
    processing: str = choice(
        "beside",
        "derived streams, rules and views: in a process beside the servers, or not here, since another gateway, "
        "`gateway derive run` and `gateway rules run` run elsewhere",
        "beside",
        "off",
    )
    derive_trials: str = choice(
        "admin",
        "where declarations of derived streams may be tried (`POST /explorer/trial`): on the public port and in the "
        "explorer too, on the admin port alone, or nowhere",
        "public",
        "admin",
        "off",
    )
    heartbeat: float = seconds(15.0, "silence after which a stream sends a heartbeat", 0.05, 3600)
    retry: int = integer(2000, "milliseconds", "reconnection delay for clients (`retry:`)", 100, 3_600_000)


@dataclass(frozen=True)
class ProcessOptions:
    """What a process holds, and how long it waits."""

    block_cache_bytes: int = integer(
        67_108_864, "bytes", "memory per process for encoded blocks that clients share", 0, MAXIMUM_BYTES
    )
    replay_readers: int = integer(16, "readers", "concurrent readers of history per process", 1, 1024)
    replay_cache_bytes: int = integer(
        67_108_864, "bytes", "memory per process for history that clients replay together", 0, MAXIMUM_BYTES
    )
    session_bytes: int = integer(
        268_435_456,
        "bytes",
        "memory per process for data that clients have not read yet; at this bound, clients that lag wait",
        1 << 20,
        MAXIMUM_BYTES,
    )
    startup_wait: float = seconds(
        3.0, "longest wait for the log at startup, before the public port opens anyway", 0, 60
    )
    drain_time: float = seconds(5.0, "time over which a shutdown ends the open streams", 0, 3600)
    stall_limit: float = seconds(
        30.0,
        "time after which a process with a blocked event loop logs its stacks and exits; 0: never",
        0,
        86_400,
    )
    write_timeout: float = seconds(
        60.0, "time after which a client that reads none of its waiting data is disconnected; 0: never", 0, 86_400
    )
    max_connection_age: float = seconds(
        0.0, "longest life of a stream, after which its client has to reconnect; 0: unlimited", 0, 2_592_000
    )
    socket_send_buffer: int = integer(
        65536, "bytes", "unsent bytes that the kernel buffers per connection; 0: the system's default", 0, 1 << 30
    )
    process_connections: int = integer(
        0, "connections", "connections per process; 0: as many as its limit of open files allows", 0, 10_000_000
    )


@dataclass(frozen=True)
class SourceOptions:
    """Schemas, and where events are taken in."""

    schema_repositories: tuple[str, ...] = row(
        "list",
        ("config/schemas",),
        "directory",
        "schema repositories, searched in this order",
        short_name="schemas",
        minimum=1,
    )
    intake: str = choice(
        "public",
        "where `POST /v1/events` is open; the admin port also takes events for private streams",
        "public",
        "admin",
        "off",
    )


# The table begins with the last of them.
@dataclass(frozen=True)
class Settings(
    ArchiveOptions,
    IntakeOptions,
    SourceOptions,
    ViewOptions,
    SettleOptions,
    CountOptions,
    DeriveBounds,
    RequestBounds,
    ConnectionBounds,
    ProcessOptions,
    HubOptions,
    ServingOptions,
):
    """Every setting, validated."""

    other_gateways: bool = row(
        "switch",
        False,
        "",
        "whether gateways that share no `limits` in Redis write to the same Kafka. If so, the log is read to its end "
        "before an event with an id is stored",
    )
    report_stream: str | None = row(
        "text", None, "stream", "stream for reports that browsers send (`application/reports+json`)"
    )
    error_stream: str | None = row(
        "text",
        None,
        "stream",
        "stream for dead letters: invalid events, with the reason, unless their stream names another one",
    )
    intake_token: str = choice("none", "whether the intake on the public port requires a token", "none", "required")
    static_tokens: Mapping[str, Any] = row(
        "mapping",
        {},
        "",
        "tokens by name, each with its `sha256` and the streams that it may `read` and `write`",
        file_only=True,
    )
    jwks: str | None = row(
        "text", None, "path or URL", "public keys (JWKS) of signed tokens: a file, or a URL to fetch"
    )
    jwks_refresh: float = seconds(300.0, "interval between fetches of the keys from a URL", 10, 86_400)
    token_algorithms: tuple[str, ...] = row(
        "list",
        ("RS256", "PS256", "ES256", "EdDSA"),
        "algorithm",
        "algorithms that signed tokens may use",
        minimum=1,
    )
    token_audience: str | None = row("text", None, "aud", "audience (`aud`) that signed tokens must name")
    token_issuer: str | None = row("text", None, "iss", "issuer (`iss`) that signed tokens must name")
    token_read_claim: str = row("text", "read_streams", "claim", "claim that lists the streams a token may read")
    token_write_claim: str = row("text", "write_streams", "claim", "claim that lists the streams a token may write")
    token_clock_skew: float = seconds(30.0, "tolerated difference between the clocks of issuer and gateway", 0, 600)
    token_max_bytes: int = integer(8192, "bytes", "longest token", 256, 65536)
    token_brief_lifetime: float = seconds(
        300.0, "longest lifetime of a token in a URL or a cookie; 0: none is accepted there", 0, 86_400
    )
    token_cookie: str | None = row("text", None, "cookie", "cookie that may hold a token for reading")
    kafka: Mapping[str, Any] = row(
        "mapping", {}, "", "how Kafka is reached: TLS, users and tokens (see [Kafka](#kafka))", file_only=True
    )
    schema_registry: Mapping[str, Any] = row(
        "mapping",
        {},
        "",
        "registry that has the schemas of values in `avro`, `protobuf` and `json-schema`: `{url, username, password}`",
        file_only=True,
    )
    explorer: Mapping[str, Any] = row(
        "mapping",
        {},
        "",
        "the explorer's `{title, logo, accent, accent_dark, contact, licence, licence_url}`",
        file_only=True,
    )
    tracing: str | None = row(
        "text", None, "URL", "collector for traces of the intake (OTLP over HTTP): `http://collector:4318`"
    )
    tracing_ratio: float = row(
        "number", 1.0, "", "share of the traces begun here that is recorded; 1: all", minimum=0, maximum=1
    )
    access_log: bool = row("switch", False, "", "log every request")
    log_level: str = choice("info", "least severe messages that are logged", "debug", "info", "warning", "error")
    log_format: str = choice("text", "format of the log: lines for people, or JSON objects", "text", "json")

    def of(self, options: type[Options]) -> Options:
        """The options of a room."""
        names = [field.name for field in dataclasses.fields(options)]  # type: ignore[arg-type]
        return options(**{name: getattr(self, name) for name in names})


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(key=field.name, **field.metadata) for field in dataclasses.fields(Settings)
)
BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}
