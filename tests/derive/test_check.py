"""What declarations cannot mean, told at the line where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalog.load import read
from gateway.derive.check import check_derivations
from gateway.schemas.repository import SchemaRepository

SOURCE = """\
title: s
$id: /s/1.0.0
$schema: https://json-schema.org/draft/2020-12/schema
type: object
properties:
  meta: {type: object, properties: {dt: {type: string}}, required: [dt]}
  text: {type: string}
  number: {type: integer}
  double: {type: number}
  flag: {type: boolean}
  maybe: {type: [integer, 'null']}
  list: {type: array, items: {type: string}}
  free: {type: object}
  part: {type: object, properties: {id: {type: integer}}, required: [id], additionalProperties: false}
  open: true
required: [meta, text, number, flag, part, double, list]
"""


def repository(tmp_path: Path, row: str = "type: object") -> SchemaRepository:
    for title, text in (("s", SOURCE), ("row", f"title: row\n$id: /row/1.0.0\n{row}\n")):
        folder = tmp_path / "schemas" / title
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "1.0.0.yaml").write_text(text)
    return SchemaRepository([tmp_path / "schemas"])


def verdict(tmp_path: Path, derive: str, row: str = "type: object", more: str = "") -> tuple[list[str], list[str]]:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"streams:\n  s: {{schema_title: s, retention: 1h, message_key_fields: [text]}}\n{more}"
        f"  a: {{schema_title: row, derive: {derive}}}\n"
    )
    reading = read(path)
    assert reading.mistakes == []
    found = check_derivations(reading.catalog, repository(tmp_path, row), reading.places)
    return tuple([line.removeprefix(f"{path}:") for line in lines] for lines in found)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("derive", "told"),
    [
        ("{from: [s], where: event.flg, select: {a: event.text}}", "no schema has flg in event; did you mean flag?"),
        ("{from: [s], where: event.text == 1, select: {a: event.text}}", "'==' cannot be applied to string and int"),
        ("{from: [s], where: event.text, select: {a: event.text}}", "a condition has to be true or false"),
        ("{from: [s], where: event.text &&, select: {a: event.text}}", "line 1, column 14"),
        ("{from: [s], where: 'event.text.matches(\"(\")', select: {a: event.text}}", "missing )"),
        ("{from: [s], select: {a: event.number - event.text}}", "'-' cannot be applied to int and string"),
        ("{from: [s], select: {a: event.part.nix}}", "no schema has nix in event.part"),
        ("{from: [s], select: {a: event.text.nix}}", "event.text is of type string, and has no members"),
        ("{from: [s], select: {a: 'event.list.exists(x, x == 1)'}}", "cannot be applied to string and int"),
        ("{from: [s], select: {a: size(event.number)}}", "size() cannot be applied to int"),
        ("{from: [s], select: {a: evnt.text}}", "there is no variable 'evnt'"),
        ("{from: [s], window: {every: 1m}, select: {a: event.text}}", "a window selects count(…)"),
        ("{from: [s], window: {every: 1m}, select: {a: sum(event.text)}}", "sum() does not take string"),
        ("{from: [s], window: {every: 1m}, select: {a: sum()}}", "sum() takes one argument"),
        ("{from: [s], window: {every: 1m}, select: {a: count(event.number)}}", "count() does not take integer"),
        ("{from: [s], window: {every: 1m}, select: {a: count()}, having: row.b > 1}", "no schema has b in row"),
        ("{from: [s], window: {every: 1m}, select: {a: count()}, having: event.flag}", "this expression sees row"),
        (
            "{from: [s], window: {every: 1m}, select: {a: count()}, by: {k: event.part}}",
            "k takes a text, a whole number",
        ),
        ("{from: [s], window: {every: 1m}, select: {a: count()}, by: {k: event.double}}", "k takes a text, a whole"),
        ("{from: [s], latest: [event.text], delete: event.number}", "a condition has to be true or false"),
        ("{from: [s], dedup: {by: event.list, within: 1m}, select: {a: event.text}}", "by of dedup takes a text"),
        ("{from: [s], lookup: {p: {in: t, key: [event.text, event.number]}}, select: {a: p.k}}", "the key of t has 1"),
        ("{from: [s], lookup: {p: {in: t, key: event.text}}, select: {a: p.nix}}", "no schema has nix in p"),
        ("{from: [s], window: {every: 1h}, select: {a: count()}}", "s keeps 1h, and 3610s of it are read again"),
        ("{from: [s], where: event.flag}", "events of s pass as they are and are of s, and schema_title is row"),
    ],
)
def test_what_cannot_be_right_is_a_mistake_with_its_line(tmp_path: Path, derive: str, told: str) -> None:
    table = "  t: {schema_title: row, derive: {from: [s], latest: {k: event.text}}}\n"
    row = "type: object\nproperties: {k: {type: string}, a: true}"
    mistakes, _ = verdict(tmp_path, derive, row, table)
    assert len(mistakes) == 1, mistakes
    assert mistakes[0].startswith("4: a: ")
    assert told in mistakes[0]


def test_what_no_schema_knows_may_be_allowed(tmp_path: Path) -> None:
    for member in ("event.nix.more", "event.free.any", "event.open.any"):
        derive = f"{{from: [s], select: {{a: {member}}}, allow_unknown: true}}"
        assert verdict(tmp_path, derive) == ([], [])
    assert verdict(tmp_path, "{from: [s], select: {a: event.free.any, b: event.open.any}}") == ([], [])


@pytest.mark.parametrize(
    ("row", "mistake", "warning"),
    [
        ("required: [gone]", "/row/1.0.0 requires gone, which is never selected", None),
        ("required: [maybe]", None, "/row/1.0.0 requires maybe, which may be missing"),
        ("required: [text, $schema, meta]", None, None),
        ("properties: {text: {type: integer}}", "text may be string, and /row/1.0.0 takes integer", None),
        ("properties: {maybe: {type: integer}}", "maybe may be null, and /row/1.0.0 takes integer", None),
        ("properties: {double: {type: integer}}", None, None),
        ("properties: {text: {type: string}}", None, None),
        ("properties: {open: {type: string}}", None, "open may be anything, and /row/1.0.0 takes string"),
        ("properties: {text: {type: string}}\nadditionalProperties: false", "maybe is refused by /row/1.0.0", None),
    ],
)
def test_what_the_schema_of_the_rows_refuses_is_told(
    tmp_path: Path, row: str, mistake: str | None, warning: str | None
) -> None:
    select = "{text: event.text, maybe: event.maybe, double: event.double, open: event.open}"
    mistakes, warnings = verdict(tmp_path, f"{{from: [s], select: {select}}}", f"type: object\n{row}")
    for wanted, found in ((mistake, mistakes), (warning, warnings)):
        assert (wanted in found[0]) if wanted else not found


def test_a_past_that_is_not_kept_is_warned_of(tmp_path: Path) -> None:
    _, warnings = verdict(tmp_path, "{from: [s], select: {text: event.text}, since: 2h}")
    assert warnings == ["3: a: s keeps 1h, so that nothing older is there for `since`"]
