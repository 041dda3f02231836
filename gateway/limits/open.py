"""Opens the adapter that the URL of the limits names. The library for Redis is loaded only where it is used: it takes a
while, and memory."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from gateway.clock import Clock
from gateway.limits.memory import MemoryLimiter
from gateway.limits.port import Limiter

MEMORY = "memory://"
FORM = "memory://, redis://host:port/0, rediss://host:port/0 or unix:///path"
REDIS_PARAMETERS: dict[str, tuple[str, ...] | None] = {
    "db": None,
    "ssl_ca_certs": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_cert_reqs": ("none", "required"),
    "ssl_check_hostname": ("true", "false"),
}
"""The parameters behind the ? of a Redis URL, and their values where not any value is allowed. Other parameters of
the library would undo our bounds, or fail later."""


def check_limits_url(url: str) -> None:
    """Raises ValueError, which says what is wrong and what would be right. No message holds the URL: there may be a
    password in it."""
    if url == MEMORY:
        return
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("redis", "rediss", "unix"):
        raise ValueError(f"limits takes {FORM}")
    try:
        parts = urlsplit(url)
        fits = bool(parts.path) if scheme == "unix" else bool(parts.hostname) and parts.port != 0
        fits = fits and bool(rest) and parts.path.strip("/").isdigit() if scheme != "unix" and parts.path else fits
        parameters = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"limits is not the URL of a Redis; it takes {FORM}")
    for name, value in parameters:
        _check_redis_parameter(name, value, secured=scheme == "rediss")


def _check_redis_parameter(name: str, value: str, secured: bool) -> None:
    if name not in REDIS_PARAMETERS:
        raise ValueError(f"limits has a parameter behind its ? other than {', '.join(REDIS_PARAMETERS)}")
    if name.startswith("ssl_") and not secured:
        raise ValueError(f"limits has {name}, which works with rediss:// only")
    if (right := REDIS_PARAMETERS[name]) is not None and value not in right:
        raise ValueError(f"limits has an {name} other than {' or '.join(right)}")
    if name == "db" and not (value.isascii() and value.isdigit()):
        raise ValueError("limits has a db that is not a number")
    if not value:
        raise ValueError(f"limits has an {name} that is empty")


def open_limits(url: str, prefix: str, closed: bool, streams: int, clock: Clock) -> Limiter:
    """The adapter. All clients together may open so many `streams`; while Redis is away, new ones are refused where
    `closed` says so. Its keys begin with the `prefix`."""
    if url == MEMORY:
        return MemoryLimiter(streams, clock)
    from gateway.limits.redis import RedisLimiter

    return RedisLimiter(url, streams, clock, prefix, closed)
