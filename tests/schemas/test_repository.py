"""The schema repositories: reading, references, mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.catalog.stream import Stream
from gateway.errors import ConfigurationError
from gateway.schemas.repository import SchemaRepository, check_streams
from tests.schemas.kit import mistakes, put

PROJECT = Path(__file__).parents[2] / "config" / "schemas"


def test_titles_and_versions(tmp_path: Path) -> None:
    for version in ("1.2.0", "1.10.0", "1.9.3"):
        put(tmp_path, f"a/b/{version}.yaml", title="a/b", description=version)
    put(tmp_path, "c/1.0.0.json", description="from JSON")
    schemas = SchemaRepository([tmp_path])
    assert schemas.titles() == ("a/b", "c")
    assert schemas.versions("a/b") == ("1.2.0", "1.9.3", "1.10.0")
    assert schemas.versions("absent") == ()
    newest = schemas.get("a/b")
    assert newest is not None
    assert newest.uri == "/a/b/1.10.0"
    assert schemas.get("a/b", "latest") is newest
    assert schemas.named("/a/b/1.10.0") is newest
    assert schemas.named("/a/b/1.10.0#") is newest
    for uri in (
        "/a/b/latest",
        "/a/b",
        "a/b/1.10.0",
        "/a/../a/b/1.10.0",
        "file:///a/b/1.10.0",
        "/a/b/9.9.9",
        "//x/1.0.0",
    ):
        assert schemas.named(uri) is None
    assert schemas.get("c", "one") is None


def test_current_is_the_version_that_its_id_names(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", description="released")
    put(tmp_path, "a/current.yaml", **{"$id": "/a/1.0.0", "description": "being written"})
    put(tmp_path, "b/1.0.0.yaml")
    put(tmp_path, "b/current.yaml", **{"$id": "/b/1.1.0", "description": "next"})
    schemas = SchemaRepository([tmp_path])
    first, second = schemas.get("a"), schemas.get("b")
    assert first is not None
    assert second is not None
    assert first.document["description"] == "released"
    assert (second.version, second.document["description"]) == ("1.1.0", "next")


def test_the_earlier_repository_wins(tmp_path: Path) -> None:
    put(tmp_path / "one", "a/1.0.0.yaml", description="one")
    put(tmp_path / "two", "a/1.0.0.yaml", description="two")
    put(tmp_path / "two", "b/1.0.0.yaml", allOf=[{"$ref": "/a/1.0.0"}])
    schemas = SchemaRepository([tmp_path / "one", tmp_path / "two"])
    found = schemas.get("b")
    assert found is not None
    assert found.document["allOf"] == [{"description": "one"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", ":1: this is not valid YAML"),
        ("x: 1\nx: 2\n", ":2: x is given twice"),
        ("[1]", "no mapping"),
        ("type: objekt", "not a valid JSON Schema: at /type"),
        ("properties: {a: {pattern: '('}}", "not a valid JSON Schema: at /properties/a/pattern"),
        ("$schema: https://example.org/mine", "a draft of JSONSchema"),
        ("$id: /b/1.0.0", "by its place in the repository it is /a/1.0.0"),
        ("maximum: 1.0e+999", "1.0e+999 is a number that JSON has not"),
        ('description: "\\ud800"', "half a character stands here"),
        ("title: b", "by its place in the repository it is a"),
    ],
)
def test_mistakes_of_a_file(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.0.0.yaml").write_text(text, encoding="utf-8")
    (mistake,) = mistakes(tmp_path)
    assert mistake.startswith(str(tmp_path / "a" / "1.0.0.yaml"))
    assert told in mistake


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"type": "object", "properties": {"a": {}, "a": {"type": "string"}}}', "a is given twice"),
        ('{"type": "object", "maximum": NaN}', "cannot be read"),
        ('{"enum": ["\\ud83d"]}', "cannot be read"),
    ],
)
def test_json_of_which_programs_make_different_things(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.0.0.json").write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        SchemaRepository([tmp_path])


def test_broken_json_and_bytes(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml")
    (tmp_path / "a" / "1.1.0.json").write_text('{\n"x": }', encoding="utf-8")
    (tmp_path / "a" / "1.2.0.yaml").write_bytes(b"\xff")
    first, second = mistakes(tmp_path)
    assert "1.1.0.json:2: the file cannot be read" in first
    assert "1.2.0.yaml: the file cannot be read" in second


def test_one_version_in_two_files_and_a_current_without_id(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.json", type="object")
    put(tmp_path, "a/1.0.0.yaml", type="string")
    put(tmp_path, "b/current.yaml")
    # Some repositories keep each version in both forms.
    put(tmp_path, "c/1.0.0.json", type="object")
    put(tmp_path, "c/1.0.0.yaml", type="object")
    first, second = mistakes(tmp_path)
    assert "1.0.0.json is the same version with another content" in first
    assert "$id is missing" in second


def test_current_beside_its_release(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", description="released")
    put(tmp_path, "a/current.yaml", **{"$id": "/a/1.0.0", "allOf": [{"$ref": "/b/1.0.0"}]})
    put(tmp_path, "b/1.0.0.yaml", type="object")
    put(tmp_path, "b/current.yaml", **{"$id": "/b/1.1.0"})
    schemas = SchemaRepository([tmp_path])
    assert [(schema.uri, schema.released) for schema in schemas.released("b")] == [("/b/1.0.0", True)]
    newest, current = schemas.get("b"), schemas.current("a")
    assert newest is not None
    assert (newest.version, newest.released) == ("1.1.0", False)
    assert current is not None
    assert current.document == {"$id": "/a/1.0.0", "allOf": [{"type": "object"}]}
    assert schemas.current("c") is None


DRAFTS = {
    "http://json-schema.org/draft-04/schema#": {"type": "integer", "minimum": 5, "exclusiveMinimum": True},
    "http://json-schema.org/draft-06/schema#": {"type": "integer", "exclusiveMinimum": 5},
    "https://json-schema.org/draft-07/schema#": {"type": "integer", "exclusiveMinimum": 5},
    "https://json-schema.org/draft/2019-09/schema": {"type": "integer", "exclusiveMinimum": 5},
    "https://json-schema.org/draft/2020-12/schema": {"type": "integer", "exclusiveMinimum": 5},
}


@pytest.mark.parametrize("draft", DRAFTS)
def test_drafts(tmp_path: Path, draft: str) -> None:
    put(tmp_path, "a/1.0.0.yaml", **{"$schema": draft, "properties": {"n": DRAFTS[draft]}})
    schema = SchemaRepository([tmp_path]).get("a")
    assert schema is not None
    assert schema.faults({"n": 6}) == []
    assert len(schema.faults({"n": 5})) == 1


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?<!x)y", r"(a)\1"])
def test_patterns_that_need_backtracking(tmp_path: Path, pattern: str) -> None:
    put(tmp_path, "a/1.0.0.yaml", properties={"x": {"pattern": pattern}})
    (mistake,) = mistakes(tmp_path)
    assert f'at /properties/x/pattern: the pattern "{pattern}" needs backtracking' in mistake


def test_patterns_that_are_too_large(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", patternProperties={r"^.{1,255}$": True})
    (mistake,) = mistakes(tmp_path)
    assert "compiles to more than 65536 bytes" in mistake


def test_patterns_run_in_linear_time(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", properties={"x": {"pattern": "^(a+)+$"}})
    schema = SchemaRepository([tmp_path]).get("a")
    assert schema is not None
    # A backtracking engine would take 2**100000 steps.
    assert len(schema.faults({"x": "a" * 100_000 + "b"})) == 1


def test_size_and_depth_are_bounded(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"not": deep}
    put(tmp_path, "a/1.0.0.yaml", **deep)
    put(tmp_path, "b/1.0.0.json", x={"not": {"$ref": "/a/1.0.0#" + "/not" * 39}}, **deep)
    put(tmp_path, "c/1.0.0.json", description="x" * (1 << 20))
    inner: Any = {"$ref": "/a/1.0.0"}
    for _ in range(59):
        inner = {"not": inner}
    put(tmp_path, "d/1.0.0.yaml", **inner)
    for _ in range(60):
        inner = {"not": inner}
    put(tmp_path, "e/1.0.0.json", **inner)
    large, flat, together = mistakes(tmp_path)
    assert "c/1.0.0.json: the file has 1048577 bytes" in large
    assert "e/1.0.0.json: more than 64 levels" in flat
    assert "d/1.0.0.yaml: with its references the schema is nested more than 100 levels" in together


def test_links_out_of_the_repository_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "outside/1.0.0.yaml")
    (tmp_path / "inside" / "a").mkdir(parents=True)
    (tmp_path / "inside" / "a" / "1.0.0.yaml").symlink_to(tmp_path / "outside" / "1.0.0.yaml")
    assert "leads out of the repository" in mistakes(tmp_path / "inside")[0]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no such directory" in mistakes(tmp_path / "absent")[0]


def test_faults_have_paths_and_are_bounded(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a/1.0.0.yaml",
        properties={"a/b": {"items": {"type": "integer"}}, "dt": {"type": "string", "format": "date-time"}},
    )
    schema = SchemaRepository([tmp_path]).get("a")
    assert schema is not None
    assert schema.faults({"a/b": [1, "x"]}) == ['/a~1b/1: "x" is not of type "integer"']
    assert schema.faults({"dt": "yesterday"}) == ['/dt: "yesterday" is not a "date-time"']
    many = schema.faults({"a/b": ["x" * 10_000] * 50})
    assert len(many) == 5
    assert all(len(fault) < 400 for fault in many)


def test_examples_that_are_not_valid_are_warnings(tmp_path: Path) -> None:
    put(tmp_path, "a/1.0.0.yaml", required=["x"], examples=[{"x": 1}, {}])
    (warning,) = SchemaRepository([tmp_path]).warnings
    assert 'example 2 is not valid: /: "x" is a required property' in warning


def test_streams_without_their_schema_are_told(tmp_path: Path) -> None:
    put(tmp_path, "wiki/change/1.0.0.yaml")
    catalog = Catalog([Stream("a", ("a",), schema_title="wiki/chagne"), Stream("b", ("b",))])
    (mistake,) = check_streams(catalog, SchemaRepository([tmp_path]))
    assert mistake == "a: schema_title is wiki/chagne, which is in no schema repository; did you mean wiki/change?"


def test_streams_whose_expression_matches_no_title_are_told_with_their_place(tmp_path: Path) -> None:
    put(tmp_path, "wiki/change/1.0.0.yaml")
    catalog = Catalog([Stream(name, (name,), schema_title=f"/^{name}/") for name in ("wiki", "page")])
    mistakes = check_streams(catalog, SchemaRepository([tmp_path]), {("page", "schema_title"): "gateway.yaml:7"})
    assert mistakes == [
        "gateway.yaml:7: page: schema_title is /^page/, which matches no title in the schema repositories"
    ]


def test_the_schema_that_a_stream_takes(tmp_path: Path) -> None:
    for path in ("a/b/1.0.0.yaml", "a/b/1.10.0.yaml", "a/c/2.0.0.yaml"):
        put(tmp_path, path)
    schemas = SchemaRepository([tmp_path])
    expected = {"a/c": "/a/c/2.0.0", "/^a/": "/a/b/1.10.0", "/c$/": "/a/c/2.0.0", "/d/": None, None: None}
    for asked, uri in expected.items():
        for _ in range(2):
            schema = schemas.taken_by(Stream("s", ("s",), schema_title=asked))
            assert (schema and schema.uri) == uri


def test_the_schemas_of_the_project() -> None:
    schemas = SchemaRepository([PROJECT])
    assert schemas.warnings == []
    for title in schemas.titles():
        newest = schemas.get(title)
        assert newest is not None
        assert (PROJECT / title / "current.yaml").read_bytes() == newest.path.read_bytes()
        assert title.startswith("fragment/") or newest.examples
        assert b'"$ref":' not in orjson.dumps(newest.document)


@pytest.mark.parametrize("text", ["01.0.0", "1.00.0", "1.0.00", "1.0.01"])
def test_a_version_is_written_in_one_way(tmp_path: Path, text: str) -> None:
    put(tmp_path, "a/1.0.0.yaml")
    schemas = SchemaRepository([tmp_path])
    assert schemas.get("a", text) is None
    assert schemas.named(f"/a/{text}") is None
    put(tmp_path, f"a/{text}.yaml")
    assert text in mistakes(tmp_path)[0]
