"""Whatever records hold, no derived stream fails: it gives rows, or says why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog.load import load
from gateway.derive.engine import Engine, event_of
from gateway.derive.position import decode, encode
from gateway.derive.refusal import error_record
from gateway.model.record import Record, TopicPartition
from gateway.schemas.repository import SchemaRepository

CASES = Path(__file__).parent / "cases"
CATALOG = load(CASES / "gateway.yaml").catalog
SCHEMAS = SchemaRepository([CASES / "schemas", Path(__file__).parents[2] / "config" / "schemas"])
DERIVED = [name for name, stream in CATALOG.streams.items() if stream.derive is not None]
ERRORS = load(Path(__file__).parents[2] / "config" / "gateway.yaml").catalog.streams["gateway.errors"]

texts = st.text(st.characters(exclude_categories=()), max_size=20)
times = st.one_of(
    st.integers(0, 59).map("2026-01-01T00:{:02}:00.000Z".format),
    st.sampled_from(["9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", "2026-01-01T00:00:60.000Z", "2026-13-01"]),
    st.integers(-(2**70), 2**70),
    texts,
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    times,
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
members = ["wiki", "type", "bot", "user", "title", "length", "revision", "page", "$schema"]
parts = st.dictionaries(st.sampled_from(["old", "new", "id", "title"]), values)
events = st.builds(
    lambda meta, more: {"meta": meta, **more},
    st.one_of(
        values, st.builds(lambda dt, more: {"dt": dt, **more}, times, st.dictionaries(texts, values, max_size=2))
    ),
    st.dictionaries(st.sampled_from(members), st.one_of(values, parts)),
)
stored = st.one_of(st.none(), st.binary(max_size=20), events.map(lambda event: json.dumps(event).encode()))
records = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.binary(max_size=8)), stored, st.integers(-1, 2**62)),
    max_size=12,
)


@pytest.mark.long
@pytest.mark.parametrize("name", DERIVED)
@given(given_records=records)
def test_whatever_comes_gives_rows_or_reasons(name: str, given_records: list[Any]) -> None:
    stream = CATALOG.streams[name]
    derivation, schema = stream.derive, SCHEMAS.taken_by(stream)
    errors = SCHEMAS.taken_by(ERRORS)
    assert derivation is not None
    assert errors is not None
    places = [TopicPartition(topic, number) for topic in derivation.inputs for number in range(2)]
    engine = Engine(
        name, derivation, CATALOG.streams, places,
        uri=None if schema is None else schema.uri, faults=None if schema is None else schema.faults,
    )  # fmt: skip
    offsets = dict.fromkeys(places, 0)
    for number, key, value, timestamp in given_records:
        place = places[number % len(places)]
        record = Record(place.topic, place.partition, offsets[place], timestamp, key, value)
        offsets[place] += 1
        engine.take(place, [(record, event_of(record))])
    for row in engine.results.rows:
        if row.value is not None and not derivation.passes:
            assert schema is not None
            assert schema.faults(orjson.loads(row.value)) == []
    for refused in engine.results.refused:
        assert error_record(refused, name, derivation, ERRORS, errors, 0).value is not None
    position = engine.position({})
    assert decode(encode(position, derivation), derivation) == position
