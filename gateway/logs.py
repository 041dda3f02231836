"""How the process writes its log: lines for people, or JSON objects."""

from __future__ import annotations

import logging
import sys

import orjson

from gateway.settings import Settings


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(document).decode()


class TextFormatter(logging.Formatter):
    """One line a message, whatever is in it: what a client or the log wrote cannot break the line."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage().translate({code: f"\\x{code:02x}" for code in (*range(32), 127)})
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {text}"
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def configure_logging(settings: Settings) -> None:
    """Write the log to standard error, in the form and from the level that the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
