"""The whole API, asked by schemathesis for what its own document allows, and for what it does not.

GATEWAY_TEST_FUZZ is how many inputs are tried of each operation, valid and invalid ones each; more in a long run.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi import checks

from gateway.schemas.repository import SchemaRepository
from tests.end_to_end.conftest import Serve, Tried
from tests.end_to_end.process import ROOT, WAIT

INPUTS = int(os.environ.get("GATEWAY_TEST_FUZZ", "6"))
ANSWER_SECONDS = WAIT
"""Whoever has no answer by then hangs."""
READ_SECONDS = 0.02
"""So long an endless stream is read."""
STREAMS: dict[str, Any] = {
    "wiki.change": {"schema_title": "wiki/change", "timestamp_field": "meta.dt"},
    "wiki.page-create": {"schema_title": "wiki/page-create"},
    "bare": {},
    "hidden": {"public": False},
}
OF_A_STREAM = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
]
OF_ANY = [*OF_A_STREAM, checks.response_schema_conformance]

pytestmark = pytest.mark.end_to_end

load_all_checks()
once = settings(
    max_examples=INPUTS,
    deadline=None,
    derandomize="GATEWAY_TEST_FUZZ" not in os.environ,
    database=None,
    # An example of schemathesis takes long to be made, and a smaller one longer still.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def ask(case: Case[Any], base: str, session: requests.Session) -> None:
    """Send one request, and hold the answer against the document. Of a stream the beginning is read."""
    is_stream = case.operation.path == "/v2/stream/{streams}"
    arguments = case.as_transport_kwargs(base_url=base)
    with session.request(**arguments, stream=True, timeout=ANSWER_SECONDS, allow_redirects=False) as response:
        if is_stream and response.status_code == 200:
            end = time.monotonic() + READ_SECONDS
            for _ in response.iter_content(None):
                if time.monotonic() > end:
                    break
            response._content, response._content_consumed = b"", True
        else:
            assert b"Traceback" not in response.content
        case.validate_response(response, checks=OF_A_STREAM if is_stream else OF_ANY)


async def test_no_request_is_answered_otherwise_than_described(serve: Serve, tmp_path: Path, tried: Tried) -> None:
    gateway = await serve(STREAMS, f"sqlite:///{tmp_path}/events.db")
    schema = schemathesis.openapi.from_url(f"{gateway.address}/openapi.json")
    session = requests.Session()
    session.trust_env = False
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        known = {one.name: one.example for one in operation.path_parameters if getattr(one, "example", None)}
        # What takes nothing cannot be asked wrongly.
        takes = list(operation.iter_parameters()) or operation.body
        for mode in GenerationMode if takes else [GenerationMode.POSITIVE]:
            strategy = operation.as_strategy(generation_mode=mode)
            if known and mode == GenerationMode.POSITIVE:
                strategy |= operation.as_strategy(generation_mode=mode, path_parameters=known)

            @once
            @given(strategy)
            def fuzz(case: Case[Any]) -> None:
                tried(case.operation.label)
                ask(case, gateway.address, session)

            # There is nothing that no path could be, for one.
            with suppress(*([Unsatisfiable] if mode == GenerationMode.NEGATIVE else [])):
                fuzz()
    assert await gateway.readiness() == 200


def bodies(title: str) -> APIOperation[Any, Any, Any, Any]:
    """An operation that takes events of a schema, from which schemathesis makes them."""
    schema = SchemaRepository([ROOT / "config" / "schemas"]).get(title)
    assert schema is not None
    content = {"application/json": {"schema": {key: schema.document[key] for key in schema.document if key != "$id"}}}
    operation = {"requestBody": {"required": True, "content": content}, "responses": {"201": {"description": "stored"}}}
    document = {"openapi": "3.1.0", "info": {"title": "", "version": ""}, "paths": {"/v1/events": {"post": operation}}}
    return schemathesis.openapi.from_dict(document)["/v1/events"]["POST"]


def for_stream(event: dict[str, Any], stream: str, title: str) -> dict[str, Any]:
    """The event with what says where it goes, and with all that would be set where it is missing."""
    meta = event.get("meta")
    named = {**(meta if isinstance(meta, dict) else {}), "stream": stream, "id": str(uuid.uuid4()), "request_id": "r"}
    named["dt"] = "2026-03-01T09:26:53.589Z"
    return {**event, "$schema": f"/{title}/1.0.0", "meta": named}


def beyond_json(event: dict[str, Any]) -> list[str]:
    """What no event may hold, whatever its schema says: integers of more than 64 bits, half a character."""
    try:
        orjson.dumps(event)
    except TypeError as error:
        return [str(error)]
    return []


async def test_events_made_from_a_schema_are_stored_byte_for_byte(serve: Serve, tmp_path: Path, tried: Tried) -> None:
    gateway = await serve(STREAMS, f"sqlite:///{tmp_path}/events.db")
    title = "wiki/page-create"
    schema = SchemaRepository([ROOT / "config" / "schemas"]).get(title)
    assert schema is not None
    operation, sent = bodies(title), []
    session = requests.Session()
    session.trust_env = False
    for mode in GenerationMode:

        @once
        @given(operation.as_strategy(generation_mode=mode))
        def post(case: Case[Any]) -> None:
            if not isinstance(case.body, dict):
                return
            event = for_stream(case.body, "wiki.page-create", title)
            faults = schema.faults(event) or beyond_json(event)
            tried(f"events of {title}, {'refused' if faults else 'stored'}")
            body = json.dumps(event, ensure_ascii=True).encode()
            headers = {"content-type": "application/json"}
            answer = session.post(f"{gateway.address}/v1/events", data=body, headers=headers, timeout=ANSWER_SECONDS)
            assert answer.status_code == (400 if faults else 201), (faults, answer.text)
            if not faults:
                sent.append(body)

        post()
    assert sent
    query = {"since": "2001-01-01", "limit": str(len(sent))}
    headers = {"accept": "application/x-ndjson"}
    stored = await gateway.get("/v2/stream/wiki.page-create", params=query, headers=headers)
    # An empty line is a heartbeat.
    assert [line for line in stored.content.split(b"\n") if line][: len(sent)] == sent
