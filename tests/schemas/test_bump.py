"""`gateway schemas bump`: the next version from `current`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from gateway.schemas.bump import Bumped, BumpRefused, bump
from gateway.schemas.compatibility import Weight
from gateway.schemas.repository import SchemaRepository

COMMON = "{$id: /common/1.0.0, type: object, properties: {meta: {type: object}}, required: [meta]}"
CURRENT = """\
title: page/edit
$id: /page/edit/1.0.0  # the comment stays
allOf:
  - $ref: /common/1.0.0#
properties:
  name: {type: string}
examples:
  - {$schema: /page/edit/1.0.0, meta: {}, name: é}
"""
MORE = CURRENT.replace("name: {type: string}", "name: {type: string}\n  user: {type: string}")
LESS = CURRENT.replace("name: {type: string}", "title: {type: string}")
WORDS = CURRENT + "description: Each edit.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a title without a version."""
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "1.0.0.yaml").write_text(COMMON)
    folder = tmp_path / "page" / "edit"
    folder.mkdir(parents=True)
    write(folder, CURRENT)
    return folder


def write(folder: Path, text: str) -> None:
    (folder / "current.yaml").write_text(text, encoding="utf-8")


def bumped(folder: Path, wanted: Weight | None = None) -> Bumped:
    return bump(SchemaRepository([folder.parent.parent]), "page/edit", wanted)


def version(folder: Path, number: str) -> dict[str, object]:
    document = yaml.safe_load((folder / f"{number}.yaml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def test_the_first_version(folder: Path) -> None:
    done = bumped(folder)
    assert (done.before, done.version, done.files) == (None, "1.0.0", [folder / "1.0.0.yaml"])
    # References are followed and branches merged, so that it says the same for ever.
    assert version(folder, "1.0.0") == {
        "title": "page/edit",
        "$id": "/page/edit/1.0.0",
        "properties": {"name": {"type": "string"}, "meta": {"type": "object"}},
        "examples": [{"$schema": "/page/edit/1.0.0", "meta": {}, "name": "é"}],
        "type": "object",
        "required": ["meta"],
    }
    assert (folder / "current.yaml").read_text() == CURRENT
    with pytest.raises(BumpRefused, match=r"says the same as 1\.0\.0"):
        bumped(folder)


def test_a_minor_version(folder: Path) -> None:
    bumped(folder)
    write(folder, MORE)
    done = bumped(folder)
    assert (done.before, done.version) == ("1.0.0", "1.1.0")
    assert done.files == [folder / "1.1.0.yaml", folder / "current.yaml"]
    assert [str(change) for change in done.changes] == ["/user: a new field: nothing → string"]
    # `current` names the version that it is now, in its own words.
    assert (folder / "current.yaml").read_text() == MORE.replace("/edit/1.0.0", "/edit/1.1.0")
    assert version(folder, "1.1.0")["$id"] == "/page/edit/1.1.0"
    assert version(folder, "1.1.0")["examples"] == [{"$schema": "/page/edit/1.1.0", "meta": {}, "name": "é"}]
    assert SchemaRepository([folder.parent.parent]).warnings == []


def test_a_patch(folder: Path) -> None:
    bumped(folder)
    write(folder, WORDS)
    assert bumped(folder).version == "1.0.1"
    write(folder, WORDS.replace("Each", "Every").replace("edit/1.0.0", "edit/1.0.1"))
    assert bumped(folder, Weight.MINOR).version == "1.1.0"


def test_what_breaks_takes_a_major_version(folder: Path) -> None:
    bumped(folder)
    write(folder, LESS)
    with pytest.raises(BumpRefused) as refused:
        bumped(folder)
    assert "it takes --major" in str(refused.value)
    assert "! /name: the field was removed: string → nothing" in str(refused.value)
    for wanted in (Weight.PATCH, Weight.MINOR):
        with pytest.raises(BumpRefused, match="it takes --major"):
            bumped(folder, wanted)
    assert sorted(path.name for path in folder.iterdir()) == ["1.0.0.yaml", "current.yaml"]
    assert bumped(folder, Weight.MAJOR).version == "2.0.0"


def test_more_than_a_patch(folder: Path) -> None:
    bumped(folder)
    write(folder, MORE)
    with pytest.raises(BumpRefused, match="more than a patch; it takes --minor"):
        bumped(folder, Weight.PATCH)


def test_before_the_first_major_version(folder: Path) -> None:
    write(folder, CURRENT.replace("edit/1.0.0", "edit/0.1.0"))
    assert bumped(folder).version == "0.1.0"
    write(folder, LESS.replace("edit/1.0.0", "edit/0.1.0"))
    assert bumped(folder).version == "0.2.0"


def test_the_number_that_current_names(folder: Path) -> None:
    bumped(folder)
    write(folder, MORE.replace("edit/1.0.0", "edit/1.4.0"))
    assert bumped(folder).version == "1.4.0"


def test_what_stands_beside_a_version_is_written_too(folder: Path) -> None:
    bumped(folder)
    (folder / "1.0.0").symlink_to("1.0.0.yaml")
    (folder / "latest").symlink_to("1.0.0.yaml")
    (folder / "latest.yaml").write_text("1.0.0.yaml")  # a link, as git writes it where there are none
    (folder / "1.0.0.json").write_bytes(orjson.dumps(version(folder, "1.0.0")))
    (folder / "latest.json").write_bytes(orjson.dumps(version(folder, "1.0.0")))
    write(folder, MORE)
    done = bumped(folder)
    names = {"1.1.0", "1.1.0.json", "1.1.0.yaml", "current.yaml", "latest", "latest.json", "latest.yaml"}
    assert {path.name for path in done.files} == names
    assert [(folder / name).readlink().name for name in ("latest", "1.1.0", "1.0.0")] == [
        "1.1.0.yaml",
        "1.1.0.yaml",
        "1.0.0.yaml",
    ]
    assert (folder / "latest.yaml").read_text() == "1.1.0.yaml"
    for name in ("1.1.0.json", "latest.json"):
        assert orjson.loads((folder / name).read_bytes()) == version(folder, "1.1.0")
    assert version(folder, "1.0.0")["$id"] == "/page/edit/1.0.0"
    assert SchemaRepository([folder.parent.parent]).versions("page/edit") == ("1.0.0", "1.1.0")


def test_what_cannot_be_merged_stays(folder: Path) -> None:
    closed = "additionalProperties: {type: object}\nproperties: {name: {type: string}}\n"
    write(folder, CURRENT.partition("examples:")[0].replace("properties:\n  name: {type: string}\n", closed))
    bumped(folder)
    assert version(folder, "1.0.0")["allOf"] == [
        {"type": "object", "properties": {"meta": {"type": "object"}}, "required": ["meta"]}
    ]


def test_refusals(folder: Path) -> None:
    with pytest.raises(BumpRefused, match=r"common has no current\.yaml"):
        bump(SchemaRepository([folder.parent.parent]), "common")
    closed = CURRENT.replace("properties:", "additionalProperties: false\nproperties:")
    write(folder, closed)
    with pytest.raises(BumpRefused, match="forbids the fields that come by the allOf"):
        bumped(folder)
    write(folder, CURRENT.replace("name: é", "name: 1"))
    with pytest.raises(BumpRefused, match="example 1 is not valid"):
        bumped(folder)
    assert not (folder / "1.0.0.yaml").exists()


def test_a_full_disk_leaves_no_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        bumped(folder)
    assert [path.name for path in folder.iterdir()] == ["current.yaml"]


@pytest.mark.parametrize("point", range(5))
def test_what_a_death_left_out_is_written_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    bumped(folder)
    (folder / "1.0.0").symlink_to("1.0.0.yaml")
    (folder / "latest").symlink_to("1.0.0.yaml")
    (folder / "latest.yaml").write_text("1.0.0.yaml")
    (folder / "1.0.0.json").write_bytes(orjson.dumps(version(folder, "1.0.0")))
    write(folder, MORE)
    whole, steps = os.replace, iter(range(100))

    class Death(BaseException):
        pass

    def dies(*arguments: Any) -> None:
        if next(steps) == point:
            raise Death
        whole(*arguments)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(Death):
        bumped(folder)
    monkeypatch.undo()
    assert SchemaRepository([folder.parent.parent]).versions("page/edit") == ("1.0.0", "1.1.0")
    assert bumped(folder).version == "1.1.0"
    names = ["1.0.0", "1.0.0.json", "1.0.0.yaml", "1.1.0", "1.1.0.json", "1.1.0.yaml", "current.yaml", "latest"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "latest.yaml"]
    assert (folder / "latest").readlink() == Path("1.1.0.yaml")
    assert (folder / "latest.yaml").read_text() == "1.1.0.yaml"
    assert "/edit/1.1.0" in (folder / "current.yaml").read_text()
    with pytest.raises(BumpRefused, match=r"says the same as 1\.1\.0"):
        bumped(folder)


def test_definitions_that_a_dynamic_reference_needs_stay(folder: Path) -> None:
    tree = (
        "$id: /page/edit/1.0.0\ntype: object\nproperties: {tree: {$dynamicRef: '#node'}, plain: {$ref: '#/$defs/x'}}\n"
        "$defs:\n  node: {$dynamicAnchor: node, properties: {inner: {$dynamicRef: '#node'}, n: {type: integer}}}\n"
        "  x: {type: string}\n"
    )
    write(folder, tree)
    bumped(folder)
    schema = SchemaRepository([folder.parent.parent]).get("page/edit")
    assert schema is not None
    assert schema.faults({"tree": {"inner": {"n": 1}}}) == []
    assert schema.faults({"tree": {"inner": {"n": "x"}}}) != []


def test_ends_of_lines_links_and_modes_stay(folder: Path) -> None:
    bumped(folder)
    real = folder / "real.txt"
    (folder / "current.yaml").rename(real)
    real.write_bytes(MORE.replace("\n", "\r\n").encode())
    real.chmod(0o640)
    (folder / "current.yaml").symlink_to("real.txt")
    bumped(folder)
    assert (folder / "current.yaml").is_symlink()
    assert real.read_bytes().decode() == MORE.replace("/edit/1.0.0", "/edit/1.1.0").replace("\n", "\r\n")
    assert real.stat().st_mode & 0o777 == 0o640
    content = (folder / "1.1.0.yaml").read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")
