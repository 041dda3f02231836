"""The views of a configuration: what is read, and each mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app.composition import define
from gateway.catalog.view import View, view_of
from gateway.errors import ConfigurationError
from gateway.settings.configuration import configure

SCHEMAS = Path(__file__).parents[2] / "config" / "schemas"
STREAMS = """
schema_repositories: [{schemas}]
streams:
  wiki.change: {{schema_title: wiki/change, message_key_fields: [wiki, title], partitions: 4}}
  plain: {{}}
  unkeyed: {{partitions: 2}}
  two: {{topics: [one.two, other.two]}}
views:
  {views}
"""


def read(directory: Path, views: str) -> tuple[View, ...]:
    """The views of a file. Raises ConfigurationError."""
    path = directory / "gateway.yaml"
    path.write_text(STREAMS.format(schemas=SCHEMAS, views=views))
    definitions, _ = define(configure({"config": str(path)}, {}))
    return definitions.views


def test_a_view_is_read_whole(tmp_path: Path) -> None:
    (view,) = read(
        tmp_path,
        "pages: {stream: wiki.change, key: [wiki, title], reduce: merge, delete: 'event.bot', history: 30d}",
    )
    assert (view.topic, view.key, view.reduce, view.history) == (
        "wiki.change",
        ("wiki", "title"),
        "merge",
        2_592_000_000,
    )
    assert (view.tombstone, view.determined) == (("wiki", "title"), True)
    assert view_of(view.document()) == View(**{**_members(view), "history": None})  # type: ignore[arg-type]


def test_what_the_state_follows_from_tells_views_apart_and_history_does_not(tmp_path: Path) -> None:
    one, other, longer = (
        read(tmp_path, f"pages: {{stream: plain, key: n, {more}}}")[0]
        for more in ("reduce: latest", "reduce: merge", "reduce: latest, history: 1d")
    )
    assert one.digest == longer.digest != other.digest


@pytest.mark.parametrize(
    ("view", "line", "words"),
    [
        ("v: {key: n}", 9, "has no stream"),
        ("v: {stream: plan, key: n}", 9, "did you mean plain?"),
        ("v: {stream: plain}", 9, "has no key"),
        ("v: {stream: plain, key: []}", 9, "1 to 8 paths"),
        ("v: {stream: plain, key: [a, a]}", 9, "twice"),
        ("v: {stream: plain, key: [a..b]}", 9, "dotted paths"),
        ("v: {stream: plain, key: n, reduce: sum}", 9, "latest or merge"),
        ("v: {stream: plain, key: n, history: soon}", 9, "as in 7d"),
        ("v: {stream: plain, key: n, histroy: 7d}", 9, "did you mean history?"),
        ("v: {stream: plain, key: n,\n      delete: 'event.a =='}", 10, "delete"),
        ("v: {stream: plain, key: n, delete: 'size(event)'}", 9, "delete"),
        ("v: {stream: two, key: n}", 9, "2 topics"),
        ("v: {stream: unkeyed, key: n}", 9, "no message_key_fields"),
        ("v: {stream: wiki.change, key: title}", 9, "chosen by wiki, title"),
        ("v: {stream: wiki.change, key: [wiki, title, usr]}", 9, "did you mean user?"),
        ("v: {stream: wiki.change, key: [wiki, title, length]}", 9, "is object"),
        ("v: 5", 9, "takes a mapping"),
        ("'a/b': {stream: plain, key: n}", 9, "name of a view"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, view: str, line: int, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, view)
    (mistake,) = caught.value.mistakes
    assert f"gateway.yaml:{line}: " in mistake
    assert words in mistake


def _members(view: View) -> dict[str, object]:
    return {name: getattr(view, name) for name in View.__slots__}
