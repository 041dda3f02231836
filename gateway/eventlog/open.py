"""Opens the adapter that the URL of a log names. Each is loaded only where it is used: that for Kafka takes a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.eventlog.port import EventLog

FORM = "kafka://host:port[,host:port…] or sqlite:///path"


def check_log_url(url: str) -> None:
    """Raises ValueError, which says what is wrong and what would be right."""
    if url.startswith("sqlite://"):
        if not url.startswith("sqlite:///") or url == "sqlite:///":
            raise ValueError(f'log is "{url}", which names no path (three slashes, then the path); it takes {FORM}')
        return
    if not url.startswith("kafka://"):
        raise ValueError(f'log is "{url}"; it takes {FORM}')
    if "@" in url:
        raise ValueError(
            "log has a user or a password in it; they belong into kafka: sasl_plain_username and sasl_plain_password"
        )
    for server in servers(url):
        host, _, port = server.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536) or "/" in server:
            raise ValueError(f'log names "{server}", which is not host:port; it takes {FORM}')


def servers(url: str) -> list[str]:
    """The brokers of a Kafka, as `host:port`."""
    return url.removeprefix("kafka://").rstrip("/").split(",")


def open_log(url: str, kafka: Mapping[str, Any], window: float, maximum: int) -> EventLog:
    """The adapter. `kafka` goes to Kafka's client; the embedded log recognizes repeats among so many events (`maximum`)
    of so many seconds (`window`)."""
    if urlsplit(url).scheme == "kafka":
        from gateway.eventlog.kafka.log import KafkaLog

        return KafkaLog(servers(url), kafka)
    from gateway.eventlog.sqlite.log import SqliteLog

    return SqliteLog(unquote(url.removeprefix("sqlite:///")), window=window, maximum=maximum)
