"""A rule ready for events: its compiled expressions make requests and events. Pure."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Members
from gateway.derive.engine import Event
from gateway.derive.expression import condition, value
from gateway.errors import BadRecord
from gateway.filters.values import Error
from gateway.intake.validate import validate
from gateway.model.event import is_canary, parse_event
from gateway.model.record import NewRecord, Record
from gateway.observability.tracing import TRACEPARENT
from gateway.rules.attempt import Prepared
from gateway.rules.rule import Action, Produce, Request, Rule
from gateway.rules.template import Unfillable, header_of, json_of, target_of
from gateway.rules.tries import Tries
from gateway.schemas.repository import SchemaRepository
from gateway.times import iso_time

_TRACE = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_JSON = ((b"content-type", b"application/json"),)

Prepare = Callable[[dict[str, Any], Record, Tries], Prepared]
Make = Callable[[dict[str, Any], Record, Tries, int], tuple[str, NewRecord]]


class Work:
    """A rule, ready for events. Raises InvalidExpression when it is made of expressions that cannot be used."""

    def __init__(self, rule: Rule, catalog: Catalog, schemas: SchemaRepository) -> None:
        self.rule = rule
        self._condition = condition(rule.where)
        self._key = None if rule.key is None else value(rule.key)
        self._catalog = catalog
        self._schemas = schemas
        self.actions: list[tuple[Action, Prepare | None, Make | None]] = [
            (action, self._prepare(number, action), None)
            if isinstance(action, Request)
            else (action, None, self._make(number, action))
            for number, action in enumerate(rule.actions)
        ]

    def event(self, record: Record, found: Event = None) -> dict[str, Any] | None:
        """The event of a record, where the rule is about it: not of a canary, and not where `where` does not hold.
        `found` is what it holds, where that is known. Raises BadRecord."""
        if isinstance(found, BadRecord):
            # The exception itself belongs to all who read the record.
            raise BadRecord(str(found))
        event = parse_event(record.value) if found is None else found
        if is_canary(event) or (self._condition is not None and not self._condition(event, record)):
            return None
        return event

    def key(self, event: dict[str, Any], record: Record) -> bytes | None:
        """What only one event at a time may have; None where the expression has no value."""
        if self._key is None:
            return None
        found = self._key(event, record)
        if found is None or found.__class__ is Error:
            return None
        try:
            text = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            return None
        return hashlib.blake2b(text, digest_size=16).digest()

    def _prepare(self, number: int, action: Request) -> Prepare:
        target = target_of(action.url.target, value)
        headers = [(name.encode(), header_of(template, value)) for name, template in action.headers]
        body = json_of(action.json, value) if action.has_json else None
        typed = any(name == b"content-type" for name, _ in headers)
        own = () if body is None or typed else _JSON
        url, rule = action.url, self.rule.name

        def prepare(event: dict[str, Any], record: Record, tries: Tries) -> Prepared:
            topic, partition = tries.partition
            more = [
                (b"idempotency-key", identity(tries, event, number).encode()),
                (b"x-triggered-by", f"{rule}:{topic}/{partition}/{tries.offset}".encode()),
            ]
            trace = next((given for name, given in record.headers if name == TRACEPARENT), None)
            if trace is not None and _TRACE.fullmatch(trace):
                more.append((TRACEPARENT.encode(), trace))
            return Prepared(
                action.method, url.scheme, url.host, url.port, url.authority,
                target(event, record),
                (*own, *((name, fill(event, record)) for name, fill in headers), *more),
                None if body is None else body(event, record),
                action.timeout,
            )  # fmt: skip

        return prepare

    def _make(self, number: int, action: Produce) -> Make:
        select = None if not action.select else _selection(action.select)

        def make(event: dict[str, Any], record: Record, tries: Tries, now: int) -> tuple[str, NewRecord]:
            stream = self._catalog.streams[action.stream]
            given = event.get("meta")
            meta = dict(given) if isinstance(given, dict) else {}
            if select is None:
                made = dict(event)
            else:
                schema = self._schemas.taken_by(stream)
                made = {"$schema": "" if schema is None else schema.uri, **select(event, record)}
                meta = {name: meta[name] for name in ("dt", "request_id") if name in meta}
            meta |= {"stream": stream.name, "id": identity(tries, event, number)}
            meta.setdefault("dt", iso_time(max(0, record.timestamp)))
            made["meta"] = meta
            try:
                text = orjson.dumps(made)
            except orjson.JSONEncodeError as error:
                raise Unfillable(f"the event for {stream.name}: {error}") from None
            accepted = validate(text, made, self._catalog, self._schemas, now, hint=False)
            return accepted.topic, accepted.record

        return make


def identity(tries: Tries, event: dict[str, Any], action: int) -> str:
    """What an action for an event is known by, at each try: made of where the event stands, and of its own id, since a
    recreated topic has the same places again."""
    meta = event.get("meta")
    own = meta.get("id") if isinstance(meta, dict) else None
    text = orjson.dumps([tries.rule, action, *tries.partition, tries.offset, own if isinstance(own, str) else None])
    return str(uuid.UUID(bytes=hashlib.blake2b(text, digest_size=16).digest()))


def _selection(members: Members) -> Callable[[dict[str, Any], Record], dict[str, Any]]:
    compiled = [(name, value(expression)) for name, expression in members]

    def select(event: dict[str, Any], record: Record) -> dict[str, Any]:
        found = ((name, evaluate(event, record)) for name, evaluate in compiled)
        return {name: one for name, one in found if one.__class__ is not Error}

    return select
