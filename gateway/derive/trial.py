"""A trial of a declaration: it is checked, and run over some records, before it is in any configuration. Pure.

The messages are those of `gateway check`. The rows, late events and errors are those of the engine itself. The text may
come from an untrusted client: a trial runs in a process of its own (`trial_process`), which is bounded.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.document import Findings, Located, parse
from gateway.catalog.stream import Stream
from gateway.catalog.stream_part import read_streams
from gateway.derive.check import check_stream
from gateway.derive.clock import BEGINNING
from gateway.derive.declared import declared
from gateway.derive.engine import Engine, event_of
from gateway.derive.example import move_on
from gateway.derive.operator import DeriveBounds, TooMuchHeld
from gateway.derive.row import Refused, Row
from gateway.derive.schema_file import schema_document
from gateway.errors import InvalidExpression
from gateway.model.event import one_line
from gateway.model.record import NO_TIMESTAMP, Record, TopicPartition
from gateway.schemas.repository import SchemaRepository, check_streams
from gateway.schemas.text import to_yaml
from gateway.times import iso_time

CPU_SECONDS = 3.0
"""Processor seconds for the records of one trial; those that come later are left out."""
STEP_RECORDS = 25
"""Records between two looks at the clock."""
SHOWN_ROWS = 50
SHOWN_REFUSED = 20
"""The newest rows and refusals that are shown; all are counted."""
SHOWN_BYTES = 256 * 1024
"""Of all shown rows together; one that goes over it is counted, and not shown."""
SHOWN_MISTAKES = 100
LONGEST_SCHEMA = 64 * 1024
"""Characters; one may hold schemas of sources whole."""
REASON_CHARACTERS = 1_000
BOUNDS = DeriveBounds(derive_held=50_000, derive_held_bytes=32 * 1024 * 1024)

_FILE = "declaration"
_PLACED = re.compile(rf"{_FILE}:(\d+): (.*)", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)")
"""An escape of JSON; a lone surrogate is its group."""
_FORM = "write it as in the configuration: {my.stream: {derive: {from: [a.stream]}}}"


class Trial:
    """One declaration. It may be made of the streams of `catalog`; a stream of its name there is replaced by it.

    `said` is what there is to be said of it without records. With mistakes, `derivation` is None, and nothing runs.
    """

    def __init__(self, text: bytes, catalog: Catalog, schemas: SchemaRepository) -> None:
        self.stream: Stream | None = None
        self.derivation: Derivation | None = None
        self._schemas = schemas
        self._catalog = catalog
        self._engine: Engine | None = None
        self._offsets: dict[TopicPartition, int] = {}
        self._rows: deque[Row] = deque(maxlen=SHOWN_ROWS)
        self._refused: deque[Refused] = deque(maxlen=SHOWN_REFUSED)
        self._counts = {"rows": 0, "late": 0, "errors": 0, "records": 0}
        self._sources: frozenset[str] = frozenset()
        self._span: tuple[int, int] | None = None
        """The times (ms) of the first and last records of its sources."""
        self._begun = 0.0
        self.stopped: str | None = None
        """Why records were left out."""
        findings = Findings(Path(_FILE))
        self._declare(text, findings)
        self.said = self._checked(findings)

    def _declare(self, text: bytes, findings: Findings) -> None:
        """Read the declaration."""
        try:
            document = parse(text.decode("utf-8-sig"), findings)
        except UnicodeDecodeError as error:
            findings.mistake(text.count(b"\n", 0, error.start) + 1, "this is not UTF-8")
            return
        if document is None:
            return
        part = _streams(document, findings)
        if part is None:
            return
        assert isinstance(part.value, dict)
        beside = {name: one for name, one in self._catalog.streams.items() if name not in part.value}
        streams = read_streams(part, findings, beside)
        if findings.mistakes:
            return
        stream = replace(streams[0], aliases=())
        owner = self._catalog.get(stream.name)
        if owner is not None and owner.name != stream.name:
            findings.mistake(part.line, f"{stream.name} is an alias of {owner.name}; choose another name")
        if stream.derive is None:
            findings.mistake(part.line, f"{stream.name} has no derive; {_FORM}")
            return
        self.stream = stream
        self._catalog = Catalog([*(replace(one, aliases=()) for one in beside.values()), stream])

    def _checked(self, findings: Findings) -> dict[str, Any]:
        """What `gateway check` says of it, and the schema of its rows."""
        said: dict[str, Any] = {"schema": None}
        stream = self.stream
        if stream is not None and stream.derive is not None:
            mistakes, warnings = check_stream(stream, stream.derive, self._catalog, self._schemas)
            for line, text in mistakes:
                findings.mistake(line, f"{stream.name}: {text}")
            for line, text in warnings:
                findings.warning(line, f"{stream.name}: {text}")
            said |= {"stream": stream.name, "operator": stream.derive.operator}
            if not findings.mistakes:
                said |= self._described(stream, stream.derive, findings)
        return said | {"mistakes": _placed(findings.mistakes), "warnings": _placed(findings.warnings)}

    def _described(self, stream: Stream, derivation: Derivation, findings: Findings) -> dict[str, Any]:
        self.derivation = derivation
        if derivation.passes:
            return {}
        if check_streams(Catalog([stream]), self._schemas):
            note = f"{stream.schema_title} is in no schema repository yet; `gateway derive schema` writes it there"
            findings.warning(derivation.line, f"{stream.name}: {note}")
        found = declared(derivation, self._catalog.streams, self._schemas)
        text = to_yaml(schema_document(stream, found, self._schemas))
        if len(text) <= LONGEST_SCHEMA:
            return {"schema": text}
        findings.warning(derivation.line, f"{stream.name}: the schema of its rows is too long to be shown")
        return {}

    @property
    def inputs(self) -> dict[str, Sequence[str]]:
        """The topics to be read: those of its `sources`, and those that it looks into (`lookups`)."""
        assert self.derivation is not None
        streams = self._catalog.streams
        sources = dict.fromkeys(topic for name in self.derivation.sources for topic in streams[name].topics)
        every = dict.fromkeys(topic for name in self.derivation.inputs for topic in streams[name].topics)
        return {"sources": list(sources), "lookups": [topic for topic in every if topic not in sources]}

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Take records of these partitions from now on."""
        assert self.stream is not None
        assert self.derivation is not None
        schema = None if self.derivation.passes else self._schemas.taken_by(self.stream)
        self._offsets = dict.fromkeys(partitions, 0)
        self._sources = frozenset(self.inputs["sources"])
        self._begun = time.process_time()
        try:
            self._engine = Engine(
                self.stream.name, self.derivation, self._catalog.streams, self._offsets,
                uri=None if schema is None else schema.uri, faults=None if schema is None else schema.faults,
                bounds=BOUNDS,
            )  # fmt: skip
        except InvalidExpression as error:
            self.stopped = str(error)

    def take(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """The next records of a partition."""
        for begin in range(0, len(records), STEP_RECORDS):
            self._take(partition, records[begin : begin + STEP_RECORDS])

    def _take(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        if self.stopped is not None or self._engine is None:
            return
        if time.process_time() - self._begun > CPU_SECONDS:
            self.stopped = f"the records took more than {CPU_SECONDS:g} s of processor time; the rest is left out"
            return
        try:
            self._engine.take(partition, [(record, event_of(record)) for record in records])
        except TooMuchHeld as error:
            self.stopped = str(error)
            return
        self._offsets[partition] = records[-1].offset + 1
        self._counts["records"] += len(records)
        times = [one.timestamp for one in records if one.timestamp != NO_TIMESTAMP]
        if times and partition.topic in self._sources:
            first, last = self._span or (times[0], times[0])
            self._span = min(first, *times), max(last, *times)
        self._collect(self._engine)

    def result(self) -> dict[str, Any]:
        """What came of the records, now that there are no more: windows that lie behind all of them are told. The value
        of a row is the text of its JSON."""
        engine = self._engine
        if engine is not None and self.stopped is None and engine.newest != BEGINNING:
            assert self.derivation is not None
            move_on(engine, self._catalog.streams, self.derivation, self._offsets, engine.newest)
            self._collect(engine)
        first, last = (None, None) if self._span is None else map(iso_time, self._span)
        return {
            "from": first,
            "to": last,
            "counts": {**self._counts, "waiting": 0 if engine is None else engine.held},
            "rows": _shown(self._rows),
            "refused": [_told(one) for one in reversed(self._refused)],
            "stopped": self.stopped,
        }

    def _collect(self, engine: Engine) -> None:
        results = engine.results
        late = sum(one.kind == "late" for one in results.refused)
        self._counts["rows"] += len(results.rows)
        self._counts["late"] += late
        self._counts["errors"] += len(results.refused) - late
        self._rows += results.rows
        self._refused += results.refused
        engine.forget()


def _streams(document: Located, findings: Findings) -> Located | None:
    """The mapping from the stream's name, where there is one stream."""
    part = document
    if isinstance(document.value, dict) and list(document.value) == ["streams"]:
        part = document.value["streams"]
    if not isinstance(part.value, dict) or not part.value:
        findings.mistake(part.line, f"here is {part.kind}, and no stream; {_FORM}")
    elif part.value.keys() & {"derive", "from"}:
        findings.mistake(part.line, f"the name of the stream is missing; {_FORM}")
    elif len(part.value) > 1:
        findings.mistake(list(part.value.values())[1].line, "here is a second stream; one is tried at a time")
    else:
        return part
    return None


def _placed(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Messages with their lines."""
    found = []
    for text in texts[:SHOWN_MISTAKES]:
        match = _PLACED.fullmatch(text)
        line, told = (int(match[1]), match[2]) if match is not None else (1, text)
        found.append({"line": line, "text": _writable(told[:REASON_CHARACTERS])})
    return found


def _shown(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows for the answer, the newest first, as far as they fit."""
    found: list[dict[str, Any]] = []
    left = SHOWN_BYTES
    for row in reversed(list(rows)):
        size = len(row.value or b"") + 2 * len(row.key or b"")
        if size > left:
            continue
        left -= size
        key = None if row.key is None else row.key.decode(errors="replace")
        value = None if row.value is None else _whole(one_line(row.value)).decode()
        found.append({"time": iso_time(row.timestamp), "key": key, "value": value})
    return found


def _whole(value: bytes) -> bytes:
    """JSON without the escapes of lone surrogates, which most readers refuse; all else stays as it is written."""
    if b"\\ud" not in value and b"\\uD" not in value:
        return value
    return _ESCAPE.sub(lambda found: found[0] if found[1] is None else b"?", value)


def _told(refused: Refused) -> dict[str, Any]:
    record = refused.record
    place = None if record is None else {"topic": record[0], "partition": record[1], "offset": record[2]}
    return {"kind": refused.kind, "reason": _writable(refused.reason[:REASON_CHARACTERS]), "place": place}


def _writable(text: str) -> str:
    """Without the lone surrogates that JSON cannot have."""
    return text.encode(errors="replace").decode()
