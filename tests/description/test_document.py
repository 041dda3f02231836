"""The documents by themselves: valid, whole, and about what is in force."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.catalog.view import View
from gateway.description.asyncapi import asyncapi
from gateway.description.facts import Facts, Limits
from gateway.description.openapi import openapi
from gateway.description.page import page
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from tests.conftest import absent

LIMITS = Settings().of(Limits)
ROOT = Path(__file__).parent.parent.parent
BASE = "http://gateway.example/"
HOSTILE = "<script>alert(1)</script>'\"&"
DRAFTS = {
    "old/one": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": "/old/one/1.0.0",
        "type": "object",
        "properties": {"size": {"type": "number", "minimum": 0, "exclusiveMinimum": True}},
        "examples": [{"$schema": "/old/one/1.0.0", "meta": {}, "size": 1}],
    },
    "old/two": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "/old/two/1.0.0",
        "type": "object",
        "description": HOSTILE,
        "properties": {"pair": {"type": "array", "items": [{"type": "integer"}], "additionalItems": False}},
    },
}


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    """Streams over schemas of several drafts, one of any title, one of none."""
    for title, schema in DRAFTS.items():
        file = tmp_path / title / "1.0.0.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(schema))
    streams = (
        Stream("old.one", ("old.one",), schema_title="old/one"),
        Stream("old.all", ("a", "b"), title=HOSTILE, description=HOSTILE, schema_title="/^old/"),
        Stream("wiki.change", ("wiki.change",), schema_title="wiki/change"),
        Stream("bare", ("bare",)),
    )
    schemas = SchemaRepository([tmp_path, ROOT / "config" / "schemas"])
    return Facts("1.2.3", Catalog(streams), schemas, LIMITS, tokens=True, cookie="session")


def every(facts: Facts) -> list[Facts]:
    """The same, and with as little as there can be."""
    bare = Facts("1.2.3", Catalog([Stream("bare", ("bare",))]), SchemaRepository([]), LIMITS)
    return [facts, bare, Facts("1.2.3", Catalog([]), SchemaRepository([]), LIMITS, intake=False)]


@pytest.mark.long
def test_the_description_is_valid(facts: Facts) -> None:
    for one in every(facts):
        document = json.loads(json.dumps(openapi(one)))
        assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.long
def test_the_channels_are_valid(facts: Facts) -> None:
    node = shutil.which("node") or absent("there is no node")
    room = Path(__file__).parent / "asyncapi"
    if not (room / "node_modules").is_dir():
        absent("the parser of AsyncAPI is not installed")
    for one in every(facts):
        text = json.dumps(asyncapi(one, BASE))
        ran = subprocess.run(
            [node, "validate.mjs"], input=text, capture_output=True, text=True, timeout=60, check=False, cwd=room
        )
        result = json.loads(ran.stdout)
        assert result["parsed"], ran.stderr
        # There is a newer version of AsyncAPI, which is a hint.
        assert {found["code"] for found in result["found"]} <= {"asyncapi-latest-version"}


def test_schemas_of_events_are_components_of_one_draft(facts: Facts) -> None:
    schemas = openapi(facts)["components"]["schemas"]
    assert {"old.one-1.0.0", "old.two-1.0.0", "wiki.change-1.0.0"} <= set(schemas)
    assert schemas["old.one-1.0.0"]["properties"]["size"] == {"type": "number", "exclusiveMinimum": 0}
    assert "id" not in schemas["old.one-1.0.0"]
    assert schemas["old.two-1.0.0"]["properties"]["pair"]["items"] is False
    example = facts.schemas.get("wiki/change")
    assert example is not None
    validator = jsonschema_rs.Draft202012Validator({**schemas["wiki.change-1.0.0"], "$id": "https://x.example/"})
    assert validator.is_valid(example.examples[0])
    assert not validator.is_valid({**example.examples[0], "namespace": "0"})


def test_messages_keep_the_draft_of_their_schema(facts: Facts) -> None:
    messages = asyncapi(facts, BASE)["components"]["messages"]
    formats = {name: messages[name]["payload"]["schemaFormat"] for name in ("old.one-1.0.0", "wiki.change-1.0.0")}
    assert formats == {
        "old.one-1.0.0": "application/schema+json;version=draft-04",
        "wiki.change-1.0.0": "application/schema+json;version=2020-12",
    }
    assert messages["old.one-1.0.0"]["payload"]["schema"]["properties"]["size"]["exclusiveMinimum"] is True


def test_streams_are_channels_that_a_client_receives_from(facts: Facts) -> None:
    document = asyncapi(facts, BASE)
    assert set(document["channels"]) == {*facts.catalog.streams, "intake"}
    assert document["servers"]["gateway"]["host"] == "gateway.example"
    actions = {name: operation["action"] for name, operation in document["operations"].items()}
    assert actions == {"send": "send"} | {f"receive-{name}": "receive" for name in facts.catalog.streams}
    messages = document["channels"]["old.all"]["messages"]
    assert set(messages) == {"old.one-1.0.0", "old.two-1.0.0", "gap", "error", "end"}
    assert "event" in document["channels"]["bare"]["messages"]


def test_no_name_overwrites_another(tmp_path: Path) -> None:
    titles = ("a/b", "a.b", "a./b", "a..b", "a/b-1.0.0", "event", "gap")
    for title in titles:
        file = tmp_path / title / "1.0.0.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"$id": f"/{title}/1.0.0", "title": title, "type": "object"}))
    streams = [
        Stream(name, (name,), schema_title="/./") for name in ("intake", "intake-", "send", "event", "receive-send")
    ]
    facts = Facts("1.2.3", Catalog(streams), SchemaRepository([tmp_path]), LIMITS)
    document = asyncapi(facts, BASE)
    assert {name: document["channels"][name]["address"] for name in document["channels"]} == {
        **{stream.name: f"/v2/stream/{stream.name}" for stream in streams},
        "intake--": "/v1/events",
    }
    assert document["operations"]["send"]["channel"] == {"$ref": "#/channels/intake--"}
    assert len(document["operations"]) == len(streams) + 1
    payloads = [message["payload"] for message in document["components"]["messages"].values()]
    assert sorted(payload["schema"]["title"] for payload in payloads if "schema" in payload) == sorted(titles)
    schemas = openapi(facts)["components"]["schemas"]
    assert sorted(one["$id"] for one in schemas.values() if "$id" in one) == sorted(
        f"/{title}/1.0.0" for title in titles
    )


def test_tokens_are_told_of_where_they_count(facts: Facts) -> None:
    document = openapi(facts)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "query", "cookie"}
    stream = document["paths"]["/v2/stream/{streams}"]["get"]
    assert stream["security"] == [{}, {"bearer": []}, {"query": []}, {"cookie": []}]
    assert "401" in stream["responses"]
    needed = Facts(facts.version, facts.catalog, facts.schemas, LIMITS, tokens=True, intake_token=True)
    assert openapi(needed)["paths"]["/v1/events"]["post"]["security"] == [{"bearer": []}]


def test_tokens_in_the_query_are_told_of_for_views_too(facts: Facts) -> None:
    view = View("pages", "bare", "bare", ("wiki",))
    paths = openapi(replace(facts, views=(view,)))["paths"]
    told = {path: item["get"]["security"] for path, item in paths.items() if path.startswith("/v2/views")}
    assert len(told) == 4
    assert all(one == [{}, {"bearer": []}, {"query": []}, {"cookie": []}] for one in told.values())


def test_the_server_has_the_path_of_its_address(facts: Facts) -> None:
    for base, url in ((BASE, "/"), ("https://b.example/gateway/", "/gateway"), ("/", "/")):
        assert openapi(facts, base)["servers"] == [{"url": url}]


def test_the_page_shows_everything_and_runs_nothing(facts: Facts) -> None:
    document = openapi(facts)
    text = page(document, BASE)
    for item in document["paths"].values():
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in text
            for parameter in operation.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in text
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in text
    assert "<script" not in text
    # A proxy may serve all of it under a path.
    assert not re.findall('(?:href|src)="/[^"]*', text)
    assert "http" not in text.replace(BASE, "").replace("httphttp", "").split("<style>")[0]
