"""References between schemas: what they lead to, and those that cannot be followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.schemas.repository import SchemaRepository
from tests.schemas.kit import mistakes, put


@pytest.mark.parametrize("reference", ["/common/1.0.0", "/common/1.0.0#", "/common/1.0.0#/", "/common/latest#"])
def test_references_to_a_whole_schema(tmp_path: Path, reference: str) -> None:
    put(tmp_path, "common/1.0.0.yaml", **{"$id": "/common/1.0.0", "type": "object", "required": ["meta"]})
    put(tmp_path, "a/1.0.0.yaml", **{"$id": "/a/1.0.0", "allOf": [{"$ref": reference}]})
    schema = SchemaRepository([tmp_path]).get("a")
    assert schema is not None
    assert schema.document == {"$id": "/a/1.0.0", "allOf": [{"type": "object", "required": ["meta"]}]}
    assert schema.faults({}) == ['/: "meta" is a required property']
    assert schema.faults({"meta": 1}) == []


def test_references_to_a_part(tmp_path: Path) -> None:
    parts = {"a/b": {"type": "integer"}, "any": {"anyOf": [{"type": "string"}]}}
    put(tmp_path, "common/1.0.0.yaml", properties={"x": {"type": "null"}}, definitions=parts)
    put(
        tmp_path,
        "group/a/1.0.0.yaml",
        definitions={"own": {"type": "boolean"}},
        properties={
            "absolute": {"$ref": "/common/1.0.0#/definitions/a~1b"},
            "in_list": {"$ref": "/common/1.0.0#/definitions/any/anyOf/0"},
            "own": {"$ref": "#/definitions/own"},
            "relative": {"$ref": "1.1.0#/properties/y"},
            "$ref": {"type": "string"},
            "enum": {"enum": [{"$ref": "/not/followed"}]},
        },
    )
    put(tmp_path, "group/a/1.1.0.yaml", properties={"$ref": "/common/1.0.0#/properties", "y": {"type": "number"}})
    schemas = SchemaRepository([tmp_path])
    first, second = schemas.get("group/a", "1.0.0"), schemas.get("group/a")
    assert first is not None
    assert second is not None
    assert first.document["properties"] == {
        "absolute": {"type": "integer"},
        "in_list": {"type": "string"},
        "own": {"type": "boolean"},
        "relative": {"type": "number"},
        "$ref": {"type": "string"},
        "enum": {"enum": [{"$ref": "/not/followed"}]},
    }
    assert second.document["properties"] == {"x": {"type": "null"}, "y": {"type": "number"}}


def test_keywords_beside_a_reference_count_from_2019_on(tmp_path: Path) -> None:
    put(tmp_path, "x/1.0.0.yaml", type="integer")
    part = {"properties": {"n": {"$ref": "/x/1.0.0", "minimum": 5}}}
    put(tmp_path, "old/1.0.0.yaml", **{"$schema": "https://json-schema.org/draft-07/schema#"}, **part)
    put(tmp_path, "new/1.0.0.yaml", **{"$schema": "https://json-schema.org/draft/2020-12/schema"}, **part)
    schemas = SchemaRepository([tmp_path])
    old, new = schemas.get("old"), schemas.get("new")
    assert old is not None
    assert new is not None
    assert old.faults({"n": 1}) == []
    assert new.faults({"n": 1}) == ["/n: 1 is less than the minimum of 5"]


@pytest.mark.parametrize(
    "reference",
    [
        "file:///etc/passwd",
        "/../secret/1.0.0",
        "../b/1.0.0",
        "/a/../b/1.0.0",
        "http://json-schema.org/draft-07/schema#",
        "//host/b/1.0.0",
        "/b%2f1.0.0",
        "C:\\b",
        "",
        "#",
        "/absent/1.0.0",
        "/b/1.0.0#/nothing/there",
        "/b/1.0.0#anchor",
        "/b/1.0.0#/anyOf/00",
        "/b/1.0.0#/anyOf/1",
        "/b/1.0.0#/anyOf/0000000000",
    ],
)
def test_references_that_cannot_be_followed(tmp_path: Path, reference: str) -> None:
    put(tmp_path, "b/1.0.0.yaml", type="object", anyOf=[{}])
    put(tmp_path, "a/1.0.0.yaml", properties={"x": {"$ref": reference}})
    (mistake,) = mistakes(tmp_path)
    assert mistake.startswith(f"{tmp_path / 'a/1.0.0.yaml'}: ")
    assert reference in mistake


def test_circles_are_told(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", allOf=[{"$ref": "/b/1.0.0"}])
    put(tmp_path, "b/1.0.0.yaml", properties={"$ref": "/a/1.0.0#/definitions"}, allOf=[{"$ref": "/a/latest#"}])
    put(tmp_path, "c/1.0.0.yaml", properties={"child": {"$ref": "#"}})
    found = mistakes(tmp_path)
    assert len(found) == 3
    assert "a circle: /c/1.0.0# -> /c/1.0.0#" in found[-1]


@pytest.mark.long
def test_growth_by_references_is_bounded(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", type="object")
    for level in range(1, 7):
        before = f"/a/1.{level - 2}.0" if level > 1 else "/a/1.0.0"
        put(tmp_path, f"b{level}/1.0.0.yaml", allOf=[{"$ref": f"/b{level - 1}/1.0.0" if level > 1 else before}] * 10)
    assert "more than 100000 values" in mistakes(tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "pointer"),
    [("Partial<User>", "Partial%3CUser%3E"), ("a%b", "a%25b"), ("a/b", "a~1b"), ("a/b", "a%7E1b"), ("é", "%C3%A9")],
)
def test_a_pointer_may_be_percent_encoded(tmp_path: Path, name: str, pointer: str) -> None:
    """RFC 6901, section 6."""
    reference = {"$ref": f"#/definitions/{pointer}"}
    put(tmp_path, "a/1.0.0.yaml", definitions={name: {"type": "integer"}}, properties={"n": reference})
    schema = SchemaRepository([tmp_path]).get("a")
    assert schema is not None
    assert schema.document["properties"]["n"] == {"type": "integer"}


@pytest.mark.parametrize("pointer", ["%", "a%2", "%zz", "%FF", "%C3"])
def test_a_pointer_that_is_encoded_wrongly_is_named(tmp_path: Path, pointer: str) -> None:
    put(tmp_path, "a/1.0.0.yaml", properties={"n": {"$ref": f"#/definitions/{pointer}"}})
    assert f'the $ref "#/definitions/{pointer}" cannot be followed' in mistakes(tmp_path)[0]


def test_recursive_references_are_refused_by_name(tmp_path: Path) -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$recursiveRef": "#"}}}}
    put(tmp_path, "a/1.0.0.yaml", **{"$schema": "https://json-schema.org/draft/2019-09/schema"}, **tree)
    assert "$recursiveRef is not read here; write a $ref" in mistakes(tmp_path)[0]


def test_what_an_older_draft_ignores_beside_a_reference_is_told(tmp_path: Path) -> None:
    put(tmp_path, "x/1.0.0.yaml", type="integer", description="of the target")
    told = {"n": {"$ref": "/x/1.0.0", "title": "its own", "description": "words", "minimum": 5, "type": "integer"}}
    draft = {"$schema": "https://json-schema.org/draft-07/schema#"}
    put(tmp_path, "a/1.0.0.yaml", **draft, properties=told | {"default": {"$ref": "/x/1.0.0", "maximum": 1}})
    put(tmp_path, "b/1.0.0.yaml", **draft, properties={"n": {"$ref": "/x/1.0.0", "title": "words alone"}})
    put(tmp_path, "c/1.0.0.yaml", **draft, default={"$ref": "/x/1.0.0", "minimum": 5})
    schemas = SchemaRepository([tmp_path])
    schema = schemas.get("a")
    assert schema is not None
    assert schema.document["properties"]["n"] == {"type": "integer", "title": "its own", "description": "words"}
    assert [warning.partition(": ")[2] for warning in schemas.warnings] == [
        "at /properties/n: beside a $ref, its draft ignores minimum, type; put the $ref into an allOf beside it",
        "at /properties/default: beside a $ref, its draft ignores maximum; put the $ref into an allOf beside it",
    ]


@pytest.mark.parametrize("name", ["default", "example", "examples", "const", "enum", "plain"])
@pytest.mark.parametrize("reference", ["/x/latest", "latest", "/x/latest#/properties/n"])
def test_what_refers_to_something_that_moves_is_not_settled(tmp_path: Path, name: str, reference: str) -> None:
    target = {"properties": {"n": {"type": "integer"}}}
    for title in ("x", "a"):
        put(tmp_path, f"{title}/1.0.0.yaml", **target)
    put(tmp_path, "a/1.1.0.yaml", properties={name: {"$ref": reference}})
    put(tmp_path, "b/1.0.0.yaml", allOf=[{"$ref": "/a/1.1.0"}])
    put(tmp_path, "c/1.0.0.yaml", allOf=[{"$ref": "/a/1.0.0"}], default={"$ref": "/x/latest"})
    if reference == "latest":
        put(tmp_path, "a/1.2.0.yaml", **target)
    schemas = SchemaRepository([tmp_path])
    settled = {schema.uri: schemas.is_settled(schema) for schema in schemas.all().values()}
    assert [uri for uri, lasts in settled.items() if not lasts] == ["/a/1.1.0", "/b/1.0.0"]
