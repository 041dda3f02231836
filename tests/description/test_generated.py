"""The rules by which programs go that make clients of the description: openapi-python-client and openapi-generator.

`tests/end_to_end/test_generated_clients.py` makes clients with both, and reads and sends with them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.load import read
from gateway.catalog.stream import Stream
from gateway.description.facts import Facts, Limits
from gateway.description.openapi import STREAM_PATH, openapi
from gateway.description.parts import Json
from gateway.routes.negotiate import choose_format
from gateway.schemas.repository import SchemaRepository
from gateway.settings.table import Settings
from gateway.wire.sse import SSE
from tests.description.kit import operations, response
from tests.test_documents import ROOT

LIMITS = Settings().of(Limits)


@pytest.fixture(scope="module", params=[False, True], ids=["open", "tokens"])
def document(request: pytest.FixtureRequest) -> Json:
    """Of the streams and schemas that come with the gateway."""
    catalog = read(Path(ROOT / "config" / "gateway.yaml")).catalog
    schemas = SchemaRepository([ROOT / "config" / "schemas"])
    return openapi(
        Facts("1.2.3", catalog, schemas, LIMITS, tokens=request.param, cookie="pass" if request.param else None)
    )


def snake_case(name: str) -> str:
    """What a name becomes in Python: `lastEventId` and `Last-Event-ID` are one."""
    words = re.sub("([a-z0-9])([A-Z])", r"\1_\2", name.replace("ID", "Id"))
    return re.sub("[^a-z0-9]+", "_", words.lower()).strip("_")


def test_names_that_are_one_in_python_are_found() -> None:
    assert {snake_case(name) for name in ("last_event_id", "lastEventId", "Last-Event-ID")} == {"last_event_id"}


def test_no_two_parameters_of_an_operation_have_one_name_in_python(document: Json) -> None:
    """An operation where they have is left out."""
    for path, _, operation in operations(document):
        names = Counter(snake_case(one["name"]) for one in operation.get("parameters", ()))
        assert [name for name, count in names.items() if count > 1] == [], path


def test_operations_have_names_of_their_own(document: Json) -> None:
    names = Counter(snake_case(operation["operationId"]) for _, _, operation in operations(document))
    assert max(names.values()) == 1
    components = Counter(snake_case(name) for name in document["components"]["schemas"])
    assert max(components.values()) == 1


ALIKE = ("wiki/change", "wiki_change", "other/change", "change-1", "change", "stream", "a1", "a-1", "a-1.0.0-2")


@pytest.mark.parametrize("titles", [ALIKE, ALIKE[:1]], ids=["many", "one"])
def test_a_schema_has_a_class_of_its_own(titles: tuple[str, ...], tmp_path: Path) -> None:
    """openapi-generator names it after the component, openapi-python-client after the last part of a title. What comes
    second is left out."""
    for title in titles:
        (tmp_path / title).mkdir(parents=True)
        version = {"$id": f"/{title}/1.0.0", "title": title, "type": "object"}
        (tmp_path / title / "1.0.0.json").write_text(json.dumps(version))
    streams = [Stream(f"s{number}", (f"s{number}",), schema_title=title) for number, title in enumerate(titles)]
    document = openapi(Facts("1.2.3", Catalog(streams), SchemaRepository([tmp_path]), LIMITS))
    schemas: dict[str, Any] = document["components"]["schemas"]
    assert {one["$id"] for one in schemas.values() if "$id" in one} == {f"/{title}/1.0.0" for title in titles}
    components = Counter(re.sub("[^a-z0-9]", "", name.casefold()) for name in schemas)
    assert max(components.values()) == 1
    titled = Counter(one.get("title", name).rpartition("/")[2].casefold() for name, one in schemas.items())
    assert max(titled.values()) == 1
    # A union of one is taken for that one, and both are lost.
    assert [name for name, one in schemas.items() if len(one.get("anyOf", "none")) == 1] == []
    content = document["paths"][STREAM_PATH]["get"]["responses"]["200"]["content"]
    for kind in content.values():
        assert kind["x-event"]["$ref"].rpartition("/")[2] in schemas


def test_a_body_has_one_type(document: Json) -> None:
    """Of several, openapi-python-client makes a function that raises TypeError for lists."""
    for path, _, operation in operations(document):
        assert list(operation.get("requestBody", {"content": {"application/json": {}}})["content"]) == [
            "application/json"
        ], path


def is_json(kind: str) -> bool:
    """What openapi-generator's clients read as JSON."""
    return re.fullmatch(r"application/(json|[\w!#$&.+\-^_]+\+json)", kind) is not None


def test_what_has_json_in_its_name_is_one_json_document(document: Json) -> None:
    """Clients ask for the first such type, and read what comes as one."""
    for path, _, operation in operations(document):
        for status in operation["responses"]:
            told = response(document, operation, int(status)) or {}
            assert [kind for kind in told.get("content", {}) if "json" in kind and not is_json(kind)] == [], path


def test_a_stream_is_what_a_client_gets_that_asks_for_the_first_json(document: Json) -> None:
    operation = document["paths"][STREAM_PATH]["get"]
    asked = list(dict.fromkeys(kinds(document, operation)))
    assert asked[0] == "text/event-stream"
    accept = next((kind for kind in asked if "json" in kind), asked[0])
    assert choose_format(accept) is SSE
    assert choose_format(", ".join(asked)) is SSE


def kinds(document: Json, operation: Json) -> Iterator[str]:
    """The types of all its answers, in the order in which they are told."""
    for status in sorted(operation["responses"]):
        yield from (response(document, operation, int(status)) or {}).get("content", {})


def test_an_event_that_is_sent_keeps_its_members(document: Json) -> None:
    """Models leave out what no property is, unless more is allowed in so many words."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    assert schemas["Sent"]["additionalProperties"] is True
    assert schemas["Sent"]["properties"]["meta"]["additionalProperties"] is True
