"""Canary events out of examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from gateway.catalog.catalog import Catalog
from gateway.catalog.derivation import Derivation
from gateway.catalog.stream import Stream
from gateway.commands.canary import chosen
from gateway.errors import ConfigurationError
from gateway.intake.canary import canary_event, missing_canaries
from gateway.intake.validate import InvalidEvent
from gateway.model.event import is_canary
from gateway.schemas.repository import SchemaRepository

NOW = 1_767_225_600_123
STREAM = Stream("things", ("one.things", "two.things"), schema_title="thing", canary_events_enabled=True)
EXAMPLE = {
    "$schema": "/thing/1.0.0",
    "meta": {
        "stream": "other",
        "id": "old",
        "dt": "2020-01-01T00:00:00Z",
        "domain": "example.org",
        "request_id": "r",
        "uri": "u",
    },
    "dt": "2020-01-01T00:00:00Z",
    "at": {"seconds": 1_500_000_000, "milliseconds": 1_500_000_000_000},
    "wiki": "one",
}


def repository(directory: Path, **schemas: list[dict[str, Any]]) -> SchemaRepository:
    """One version for each name and its examples."""
    for name, examples in schemas.items():
        title, _, version = name.partition("_")
        path = directory / title / f"{version or '1'}.0.0.yaml"
        path.parent.mkdir(exist_ok=True)
        document = {
            "title": title,
            "$id": f"/{title}/{version or '1'}.0.0",
            "type": "object",
            "properties": {"wiki": {"type": "string"}, "meta": {"type": "object"}},
            "examples": examples,
        }
        path.write_text(yaml.safe_dump(document))
    return SchemaRepository([directory])


def made(stream: Stream, schemas: SchemaRepository) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(canary_event(stream, Catalog([stream]), schemas, NOW).value)
    return event


def test_it_is_the_first_example_with_a_meta_of_its_own(tmp_path: Path) -> None:
    schemas = repository(tmp_path, thing=[EXAMPLE, {"wiki": "two"}])
    accepted = canary_event(STREAM, Catalog([STREAM]), schemas, NOW)
    event = orjson.loads(accepted.value)
    identifier = event["meta"].pop("id")
    assert event["meta"] == {"stream": "things", "domain": "canary", "dt": "2026-01-01T00:00:00.123Z", "uri": "u"}
    assert {**event, "meta": None} == {**EXAMPLE, "meta": None}
    assert accepted.topic == "one.things"
    assert accepted.timestamp == NOW
    assert accepted.given_id == identifier != made(STREAM, schemas)["meta"]["id"]
    assert is_canary(made(STREAM, schemas))


@pytest.mark.parametrize(
    ("field", "timestamp"),
    [("meta.dt", NOW), ("dt", NOW), ("at.milliseconds", NOW), ("at.seconds", NOW // 1000 * 1000)],
)
def test_its_time_and_key_are_those_of_the_configuration(tmp_path: Path, field: str, timestamp: int) -> None:
    stream = replace(STREAM, timestamp_field=field, message_key_fields=("wiki",))
    accepted = canary_event(stream, Catalog([stream]), repository(tmp_path, thing=[EXAMPLE]), NOW)
    assert (accepted.timestamp, accepted.key) == (timestamp, b"one")


def test_the_newest_schema_is_taken(tmp_path: Path) -> None:
    schemas = repository(tmp_path, thing=[EXAMPLE], thing_2=[{"$schema": "/thing/1.0.0", "wiki": "new"}])
    event = made(STREAM, schemas)
    assert (event["$schema"], event["wiki"]) == ("/thing/2.0.0", "new")


def test_of_several_titles_the_first_with_an_example_is_taken(tmp_path: Path) -> None:
    schemas = repository(tmp_path, alpha=[], beta=[{"wiki": "b"}], gamma=[{"wiki": "c"}])
    assert made(replace(STREAM, schema_title="/^(alpha|beta|gamma)$/"), schemas)["$schema"] == "/beta/1.0.0"


@pytest.mark.parametrize(
    ("changed", "examples", "reason"),
    [
        ({}, [], "there is none in /thing/1.0.0"),
        ({}, [{"wiki": 1}], "/wiki"),
        ({"message_key_fields": ("absent",)}, [EXAMPLE], "/absent"),
        ({"timestamp_field": "absent.at"}, [EXAMPLE], "/absent/at"),
        ({"schema_title": None}, [EXAMPLE], "no schema_title"),
        ({"schema_title": "other"}, [EXAMPLE], "other"),
    ],
)
def test_what_makes_no_canary_event(
    tmp_path: Path, changed: dict[str, Any], examples: list[dict[str, Any]], reason: str
) -> None:
    stream = replace(STREAM, **changed)
    schemas = repository(tmp_path, thing=examples)
    with pytest.raises(InvalidEvent, match=reason):
        canary_event(stream, Catalog([stream]), schemas, NOW)
    warned = list(missing_canaries(Catalog([stream]), schemas, NOW))
    if stream.schema_title == "other":
        assert warned == []
    else:
        (line,) = warned
        assert line.startswith("things: ")
        assert reason in line
    assert list(missing_canaries(Catalog([replace(stream, canary_events_enabled=False)]), schemas, NOW)) == []


def test_a_derived_stream_has_its_canaries_from_its_sources() -> None:
    source = Stream("s", ("s",), schema_title="wiki/change", canary_events_enabled=True)
    derived = Stream("d", ("d",), canary_events_enabled=True, derive=Derivation(("s",)))
    catalog = Catalog([source, derived])
    assert chosen(catalog, []) == [source]
    with pytest.raises(ConfigurationError, match="d is derived; its canary events come from its sources"):
        chosen(catalog, [derived])
