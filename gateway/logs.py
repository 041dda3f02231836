"""How the process writes its log: lines for people, or JSON objects."""

from __future__ import annotations

import logging
import sys

import orjson

from gateway import request_id
from gateway.settings import Settings

_ACCESS_PARTS = 5
"""Of what uvicorn logs of a request: address, method, target, version, status."""

_CONTROLS = (*range(32), *range(127, 160), 0x2028, 0x2029)
_ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _CONTROLS}


class Impersonal(logging.Filter):
    """Of the server's lines on requests leaves the method, the path and the status: an address is personal data, and a
    query may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == _ACCESS_PARTS:
            _, method, target, version, status = record.args
            record.msg = '"%s %s HTTP/%s" %s'
            record.args = (method, str(target).partition("?")[0], version, status)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (name := request_id.current.get()) is not None:
            document["request"] = name
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return orjson.dumps({key: _encodable(value) for key, value in document.items()}).decode()


class TextFormatter(logging.Formatter):
    """One line a message, whatever is in it: what a client or the log wrote cannot break the line."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {_visible(record.getMessage())}"
        if (name := request_id.current.get()) is not None:
            line += f" [{_visible(name)}]"
        if record.exc_info:
            # Indented, so that no text of an exception passes for a line of the log.
            line += "".join(f"\n  {_visible(part)}" for part in self.formatException(record.exc_info).split("\n"))
        return line


def _visible(text: str) -> str:
    return _encodable(text.rstrip("\n").translate(_ESCAPES))


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which no encoding takes."""
    return text.encode(errors="backslashreplace").decode()


def configure_logging(settings: Settings) -> None:
    """Write the log to standard error, in the form and from the level that the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    access = logging.getLogger("uvicorn.access")
    for known in list(access.filters):
        access.removeFilter(known)
    access.addFilter(Impersonal())
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # It warns of every request that cannot be read, of which strangers may send as many as they like.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
