"""Writes the log of a process: lines for people, or JSON objects, through a queue that keeps nobody waiting."""

from __future__ import annotations

import atexit
import logging
import sys
import time

import orjson

from gateway.observability import request_id, telemetry
from gateway.observability.log_writer import FLUSH_SECONDS, LineStream, LineWriter
from gateway.observability.throttle import Quota
from gateway.times import iso_time

STATEMENT_LINES = 60
STATEMENT_SECONDS = 60.0
"""The most lines that one statement of the code may write within STATEMENT_SECONDS. A client, an event or a broker may
cause a line again and again; this leaves room for the others."""
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2

_ACCESS_PARTS = 5
"""Of what uvicorn logs of a request: address, method, target, version, status."""

_CONTROLS = (*range(32), *range(127, 160), 0x2028, 0x2029)
_ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in _CONTROLS}


class Impersonal(logging.Filter):
    """Keeps the method, the path and the status of the server's lines on requests. An address is personal data, and
    a query may hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == _ACCESS_PARTS:
            _, method, target, version, status = record.args
            record.msg = '"%s %s HTTP/%s" %s'
            record.args = (method, str(target).partition("?")[0], version, status)
        return True


class Sparing(logging.Filter):
    """Lets a bounded number of lines of one statement of the code through, and says where others are left out. The
    access log is whole, and so are lines that the level `debug` asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._quotas: dict[tuple[str, int], Quota] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG or record.name == "uvicorn.access":
            return True
        statement = record.pathname, record.lineno
        quota = self._quotas.setdefault(statement, Quota(STATEMENT_LINES, STATEMENT_SECONDS))
        if not quota.take(time.monotonic()):
            return False
        if left_out := quota.settle():
            _add(record, f" ({left_out} such lines before this one were left out)")
        if quota.is_used_up:
            _add(record, f" (further such lines are left out for up to {STATEMENT_SECONDS:g} s)")
        return True


def _add(record: logging.LogRecord, note: str) -> None:
    record.msg, record.args = record.getMessage() + note, ()


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (name := request_id.current.get()) is not None:
            document["request"] = name
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            document["stack"] = record.stack_info
        return orjson.dumps({key: _encodable(value) for key, value in document.items()}).decode()


class TextFormatter(logging.Formatter):
    """One line a message, whatever is in it: what a client or the log wrote cannot break the line."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname.lower():7} {_visible(record.getMessage())}"
        if (name := request_id.current.get()) is not None:
            line += f" [{_visible(name)}]"
        # Indented, so that no text of an exception passes for a line of the log.
        if record.exc_info:
            line += _indented(self.formatException(record.exc_info))
        if record.stack_info:
            line += _indented(record.stack_info)
        return line


def _time(record: logging.LogRecord) -> str:
    """In UTC, which says so: a log is read elsewhere, later, and beside others."""
    return iso_time(int(record.created * 1000))


def _indented(text: str) -> str:
    return "".join(f"\n  {_visible(part)}" for part in text.split("\n"))


def _visible(text: str) -> str:
    return _encodable(text.rstrip("\n").translate(_ESCAPES))


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which no encoding takes."""
    return text.encode(errors="backslashreplace").decode()


class QueueHandler(logging.Handler):
    """Gives the lines to a writer."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.put(self.format(record))
        except Exception:
            self.handleError(record)


class Output:
    """The output of the process while it serves. No write waits for a reader."""

    def __init__(self, form: str, descriptor: int = STANDARD_ERROR) -> None:
        self._formatter = JsonFormatter() if form == "json" else TextFormatter()
        self._descriptor = descriptor
        self._writer = LineWriter(descriptor, self._notice, telemetry.log_lines_dropped)
        self._writers = [self._writer]
        self.handler = QueueHandler(self._writer)
        self.handler.setFormatter(self._formatter)
        self.handler.addFilter(Sparing())

    def take_streams(self) -> None:
        """Let what is printed, and what libraries write to the standard streams, go the same way."""
        printed = LineWriter(STANDARD_OUTPUT, on_drop=telemetry.log_lines_dropped)
        self._writers.append(printed)
        # Not where somebody else has taken them before.
        if sys.stdout is sys.__stdout__:
            sys.stdout = LineStream(printed, STANDARD_OUTPUT)
        if sys.stderr is sys.__stderr__:
            sys.stderr = LineStream(self._writer, self._descriptor)
        atexit.register(self.flush)

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait this many seconds at most until the queue is read."""
        for writer in self._writers:
            writer.flush(seconds)

    def last_words(self, message: str, stack: str) -> None:
        """Write a last line ahead of the queue, at the end of the process. It uses no lock of `logging`, which
        another thread may hold for ever."""
        record = logging.LogRecord("gateway", logging.CRITICAL, __file__, 0, message, None, None, sinfo=stack)
        self._writer.put(self._formatter.format(record), urgent=True)
        self.flush()

    def _notice(self, message: str) -> str:
        return self._formatter.format(logging.LogRecord("gateway", logging.WARNING, __file__, 0, message, None, None))


def configure_logging(form: str, level: str, descriptor: int = STANDARD_ERROR) -> Output:
    """Write the log to standard error, in this form (`text` or `json`) and from this level."""
    output = Output(form, descriptor)
    logging.basicConfig(level=level.upper(), handlers=[output.handler], force=True)
    logging.captureWarnings(True)
    access = logging.getLogger("uvicorn.access")
    for known in list(access.filters):
        access.removeFilter(known)
    access.addFilter(Impersonal())
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # It warns of every request that cannot be read, of which strangers may send as many as they like.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return output
