"""The settings: one table, the fields of `Settings`. Flag, variable and key of the file are derived from the key.

A flag wins over a variable, a variable over the file, the file over the default. An empty variable is as if not set.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from gateway.access.keys import FITTING
from gateway.access.static import read_static_tokens
from gateway.access.trust import check_key_place
from gateway.catalog.catalog import Catalog
from gateway.catalog.document import Plain, did_you_mean, kind_of
from gateway.catalog.load import read
from gateway.catalog.quantity import milliseconds, size
from gateway.catalog.stream_part import error_stream_fault
from gateway.errors import ConfigurationError
from gateway.limits.networks import Amounts, Networks, read_special

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
    limit_connects: float = _row(
        "number", 10.0, "streams", "new streams of one address a second; ten seconds' worth at once",
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
    forwarded_header: str = _choice(
        "x-forwarded-for", "the header in which they say it", "x-forwarded-for", "forwarded"
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
        0.1, "the longest time that events are held back to share one write under load", 0, 10
    )
    flush_bytes: int = _integer(
        65536, "bytes", "events that are held back are sent as soon as there are so many bytes", 1, 1 << 30
    )
    retry: int = _integer(2000, "milliseconds", "`retry:` told to clients: their wait before a reconnect", 0, 3_600_000)
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
    startup_wait: float = _seconds(
        3.0, "the longest wait for the log at start before the public port is opened anyway", 0, 60
    )
    drain_time: float = _seconds(5.0, "time over which the running streams are ended at a stop", 0, 3600)
    write_timeout: float = _seconds(
        60.0, "a client whose connection takes nothing of what waits for it for so long is cut off; 0 never", 0, 86_400
    )
    max_connection_age: float = _seconds(
        0.0, "the longest time that a stream lasts before its client has to come back; 0 is for ever", 0, 2_592_000
    )
    metadata_interval: float = _seconds(5.0, "time between looks for new topics and partitions", 0.05, 3600)
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
    filter_max_length: int = _integer(4096, "bytes", "the longest filter expression", 1, 1 << 20)
    filter_max_depth: int = _integer(32, "levels", "the deepest nesting of a filter expression", 1, 32)
    filter_max_cost: int = _integer(
        50_000, "steps", "the highest cost of a filter for one event; a step is about 0.1 µs", 1, 1 << 40
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
    access_log: bool = _row("switch", False, "", "whether every request is logged")
    log_level: str = _choice("info", "the least grave messages that are logged", "debug", "info", "warning", "error")
    log_format: str = _choice("text", "the form of the log: lines for people, or JSON objects", "text", "json")


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(key=field.name, **field.metadata) for field in dataclasses.fields(Settings)
)
BY_KEY: dict[str, Setting] = {setting.key: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Configured:
    """All that the configuration says, from every source."""

    settings: Settings
    catalog: Catalog
    warnings: list[str]
    places: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """Where (`file:line`) a stream's key stands, by the two names."""


def configure(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Configured:
    """The settings and the catalogue from flags, variables and the file that they name.

    `flags` maps keys to what the command line gave: texts, lists of texts, booleans; None and () are as if not given.
    Raises ConfigurationError with the mistakes of all sources together.
    """
    given, source = _first_given(BY_KEY["config"], flags, environment, {}) or (BY_KEY["config"].default, "")
    path = Path(str(given))
    reading = read(path)
    # A file that is not there is named by whoever asked for it.
    mistakes = [f"{source}: {line}" if source and not path.exists() else line for line in reading.mistakes]
    settings, more = _collect(flags, environment, reading.settings)
    if settings is None or mistakes or more:
        raise ConfigurationError(mistakes + more)
    for key in ("error_stream", "report_stream"):
        name = getattr(settings, key)
        fault = None if name is None else error_stream_fault(name, reading.catalog.streams)
        if fault is not None:
            _, place = _first_given(BY_KEY[key], flags, environment, reading.settings) or ("", "")
            raise ConfigurationError([f"{place}: {key} {fault}"])
    return Configured(settings, reading.catalog, reading.warnings, reading.places)


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, tuple[Plain, str]]
) -> Settings:
    """The settings from three sources; `file` maps keys to values and places (`file:line`).

    Raises ConfigurationError with every mistake, each beginning with its source.
    """
    settings, mistakes = _collect(flags, environment, file)
    if settings is None:
        raise ConfigurationError(mistakes)
    return settings


def _collect(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, tuple[Plain, str]]
) -> tuple[Settings | None, list[str]]:
    mistakes = _unknown_keys(file)
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for setting in SETTINGS:
        given = _first_given(setting, flags, environment, file)
        if given is None:
            continue
        raw, place = given
        places[setting.key] = place
        try:
            values[setting.key] = _convert(setting, raw)
        except ValueError as error:
            mistakes.append(f"{place}: {error}")
    settings = Settings(**values)
    mistakes += _relations(settings, places)
    return (None if mistakes else settings), mistakes


def _unknown_keys(file: Mapping[str, tuple[Plain, str]]) -> list[str]:
    known = [setting.key for setting in SETTINGS if setting.in_file]
    mistakes = []
    for key, (_, place) in file.items():
        if key in known:
            continue
        if key in BY_KEY:
            mistakes.append(f"{place}: {key} cannot stand in the file; use {BY_KEY[key].flag}")
        else:
            hint = did_you_mean(key, [*known, "streams"]) or "; the documents list all settings"
            mistakes.append(f"{place}: there is no setting {key}{hint}")
    return mistakes


def _first_given(
    setting: Setting,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Mapping[str, tuple[Plain, str]],
) -> tuple[Any, str] | None:
    """The value of the source that wins, and the source's name."""
    if setting.flag is not None and flags.get(setting.key) not in (None, (), []):
        return flags[setting.key], setting.flag
    if setting.variable is not None and environment.get(setting.variable):
        return environment[setting.variable], setting.variable
    if setting.in_file and setting.key in file and file[setting.key][0] is not None:
        return file[setting.key]
    return None


def _convert(setting: Setting, raw: Any) -> Any:
    """The typed value. Raises ValueError that says what is wrong and what would be right."""
    value = _CONVERSIONS[setting.kind](setting, raw)
    if value is None:
        raise ValueError(f"{setting.key} is {kind_of(raw)}; it takes {setting.form}")
    check = _CHECKS.get(setting.key)
    if check is not None:
        check(value)
    return value


def _text(setting: Setting, raw: Any) -> str | None:
    return str(raw) if isinstance(raw, str | Path) and str(raw).strip() else None


def _number(setting: Setting, raw: Any) -> int | float | None:
    number: int | float | None = None
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        number = raw
    elif isinstance(raw, str):
        number = _number_in(setting, raw.strip())
    if number is None or not math.isfinite(number) or (setting.kind == "integer" and number != int(number)):
        return None
    if (setting.minimum is not None and number < setting.minimum) or (
        setting.maximum is not None and number > setting.maximum
    ):
        return None
    return int(number) if setting.kind == "integer" else float(number)


def _number_in(setting: Setting, text: str) -> int | float | None:
    """A number, or a quantity such as `100ms` or `256MiB` where the setting's unit is one of time or bytes."""
    # Python would also take `nan`, `1_000` and digits of other scripts.
    if text and all(character in "0123456789.+-" for character in text):
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            return None
    if setting.unit == "bytes":
        return size(text)
    if setting.unit in ("seconds", "milliseconds") and (duration := milliseconds(text)) is not None:
        return duration / 1000 if setting.unit == "seconds" else duration
    return None


def _switch(setting: Setting, raw: Any) -> bool | None:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    return raw if isinstance(raw, bool) else words.get(raw.strip().lower()) if isinstance(raw, str) else None


def _chosen(setting: Setting, raw: Any) -> str | None:
    word = raw.strip().lower() if isinstance(raw, str) else raw
    return word if word in setting.choices else None


def _several(setting: Setting, raw: Any) -> tuple[str, ...] | None:
    """A list of texts; one text holds them separated by commas. `minimum` says how many there are at least."""
    items = raw.split(",") if isinstance(raw, str) else raw
    if (
        not isinstance(items, list | tuple)
        or len(items) < (setting.minimum or 0)
        or not all(isinstance(item, str) for item in items)
    ):
        return None
    return tuple(item.strip() for item in items) if all(item.strip() for item in items) else None


def _mapping(setting: Setting, raw: Any) -> dict[str, Any] | None:
    return raw if isinstance(raw, dict) else None


_CONVERSIONS: dict[str, Callable[[Setting, Any], Any]] = {
    "text": _text,
    "integer": _number,
    "number": _number,
    "switch": _switch,
    "choice": _chosen,
    "list": _several,
    "mapping": _mapping,
}


def _check_log(url: str) -> None:
    right = "it takes kafka://host:port[,host:port…] or sqlite:///path"
    if url.startswith("sqlite://"):
        if not url.startswith("sqlite:///") or url == "sqlite:///":
            raise ValueError(f'log is "{url}", which names no path (three slashes, then the path); {right}')
        return
    if not url.startswith("kafka://"):
        raise ValueError(f'log is "{url}"; {right}')
    for server in url.removeprefix("kafka://").rstrip("/").split(","):
        host, _, port = server.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536) or "/" in server:
            raise ValueError(f'log names "{server}", which is no host:port; {right}')


def _check_limits(url: str) -> None:
    """No message holds the URL: there may be a password in it."""
    if url == "memory://":
        return
    right = "memory://, redis://host:port/0, rediss://host:port/0 or unix:///path"
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("redis", "rediss", "unix"):
        raise ValueError(f"limits takes {right}")
    try:
        parts = urlsplit(url)
        fits = bool(parts.path) if scheme == "unix" else bool(parts.hostname) and parts.port != 0
        fits = fits and bool(rest) and parts.path.strip("/").isdigit() if scheme != "unix" and parts.path else fits
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"limits names no Redis that can be reached; it takes {right}")


def _check_algorithms(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in FITTING:
            raise ValueError(f'token_algorithms names "{name}"; it takes some of {", ".join(FITTING)}')


def _check_cookie(name: str) -> None:
    # RFC 6265 section 4.1.1
    if not all(character.isascii() and (character.isalnum() or character in "!#$%&'*+-.^_`|~") for character in name):
        raise ValueError(
            f'token_cookie is "{name[:100]}", which is no name of a cookie; it takes letters, digits, - and _'
        )


def _check_networks(key: str) -> Callable[[Any], None]:
    def check(texts: Any) -> None:
        try:
            Networks(texts)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None

    return check


_CHECKS: dict[str, Callable[[Any], object]] = {
    "log": _check_log,
    "limits": _check_limits,
    "static_tokens": read_static_tokens,
    "jwks": check_key_place,
    "token_algorithms": _check_algorithms,
    "token_cookie": _check_cookie,
    "exempt_networks": _check_networks("exempt_networks"),
    "trusted_proxies": _check_networks("trusted_proxies"),
    "limit_networks": lambda document: read_special(document, Amounts(0, 0, 0, 0)),
}


ORDERED = (
    ("heartbeat", "max_connection_age", "a stream has to last until it has told where it stands"),
    ("keep_alive", "head_timeout", "a connection that is kept for a request waits for its head"),
    ("request_line_max", "request_head_max", "the first line is a part of the head"),
    ("last_event_id_max", "request_head_max", "the id comes in the head"),
    ("filter_max_length", "request_line_max", "the filter comes in the first line"),
)
"""Pairs of settings of which the first has to be less than the second, where that is not 0; and why."""


def _relations(settings: Settings, places: Mapping[str, str]) -> list[str]:
    """Settings that do not fit together, told at the one that was given."""
    mistakes = []

    def place(*keys: str) -> str:
        return next((places[key] for key in keys if key in places), "default")

    if settings.flush_bytes > settings.ring_bytes:
        mistakes.append(
            f"{place('flush_bytes', 'ring_bytes')}: flush_bytes ({settings.flush_bytes}) is more than ring_bytes "
            f"({settings.ring_bytes}); one flush has to fit into the ring"
        )
    if settings.intake_queue_bytes < settings.intake_max_bytes:
        mistakes.append(
            f"{place('intake_queue_bytes', 'intake_max_bytes')}: intake_queue_bytes ({settings.intake_queue_bytes}) is "
            f"less than intake_max_bytes ({settings.intake_max_bytes}); one body has to fit"
        )
    if settings.jwks is not None and (settings.token_audience is None or settings.token_issuer is None):
        mistakes.append(
            f"{place('jwks')}: jwks needs token_audience and token_issuer: without them, tokens that are meant for "
            "others would be accepted"
        )
    if settings.token_read_claim == settings.token_write_claim:
        mistakes.append(
            f"{place('token_write_claim', 'token_read_claim')}: token_read_claim and token_write_claim are both "
            f"{settings.token_read_claim}; whoever may read would write"
        )
    if settings.intake_token == "required" and settings.jwks is None and not settings.static_tokens:
        mistakes.append(
            f"{place('intake_token')}: intake_token is required, and no token would be accepted; set static_tokens "
            "or jwks"
        )
    if settings.flush_interval >= settings.heartbeat:
        mistakes.append(
            f"{place('flush_interval', 'heartbeat')}: flush_interval ({settings.flush_interval:g} s) is not less than "
            f"heartbeat ({settings.heartbeat:g} s); make it a small part of it"
        )
    for less, more, why in ORDERED:
        low, high = getattr(settings, less), getattr(settings, more)
        if low >= high > 0:
            mistakes.append(f"{place(less, more)}: {less} ({low:g}) is not less than {more} ({high:g}); {why}")
    if settings.intake_event_max_bytes > settings.intake_max_bytes:
        mistakes.append(
            f"{place('intake_event_max_bytes', 'intake_max_bytes')}: intake_event_max_bytes "
            f"({settings.intake_event_max_bytes}) is more than intake_max_bytes ({settings.intake_max_bytes}); an "
            "event comes in a body"
        )
    if settings.port == settings.admin_port != 0 and settings.host == settings.admin_host:
        mistakes.append(
            f"{place('admin_port', 'port')}: port and admin_port are both {settings.port}; the metrics take a port of "
            "their own"
        )
    return mistakes
