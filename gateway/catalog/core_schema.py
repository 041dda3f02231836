"""The meaning of plain words in YAML: the core schema of YAML 1.2.2, section 10.3.2, with `<<`. Pure.

It is that of JSON, and of most programs except PyYAML: `no` and `on` are words, and so are dates and 12:30.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
MAXIMUM_LENGTH = 1_000
"""Characters of a number."""

_WORDS = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
    "merge": re.compile(r"<<"),
}
DEEPEST = 100
"""Nodes, one in the other."""

_READ_OTHERWISE = re.compile(r"[\t\ufeff]|(?<![^\s\[\]{},])!(?![^\s\[\]{},])|[|>][-+0-9]*#")
"""What libyaml reads otherwise than PyYAML: tabs, byte order marks, the tag `!`, and comments at the head of a block.
libyaml also takes a `?` amid a plain word of a flow collection, as YAML 1.2 does (section 7.3.3)."""

RESOLVERS = [(TAG + kind, re.compile(rf"(?:{words.pattern})\Z")) for kind, words in _WORDS.items()]
"""Tags of plain words, the first that fits."""


class NoValue(ValueError):
    """A word that is not what its tag says, or that nothing else can say; tells why."""


class CoreLoader(yaml.SafeLoader):
    """Reads plain words by the core schema."""

    yaml_implicit_resolvers = {None: RESOLVERS}  # noqa: RUF012  PyYAML's own, which no annotation fits

    def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
        """The tag `!` makes a text of any word (YAML 1.2.2, section 6.9.1)."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if event.tag == "!":
            event.implicit = (False, True)
        return super().compose_scalar_node(anchor)


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads the same in C, about ten times as fast, where the two parsers agree. PyYAML may be built without it."""

    yaml_implicit_resolvers = {None: RESOLVERS}  # noqa: RUF012  as above
    _depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Called at each node: in C nothing else bounds the recursion."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise RecursionError

    def ascend_resolver(self) -> None:
        """Called behind each node."""
        self._depth -= 1


def compose(text: str) -> yaml.Node | None:
    """The nodes of the one document; None where there is none. Raises yaml.YAMLError as PyYAML's own parser does: what
    the C parser refuses, that one reads again, and says better what is wrong. Raises RecursionError where it is nested
    too deeply."""
    if not _READ_OTHERWISE.search(text):
        try:
            return yaml.compose(text, Loader=_FastLoader)
        except (yaml.YAMLError, UnicodeError):
            pass
    return yaml.compose(text, Loader=CoreLoader)


def scalar(tag: str, text: str) -> bool | int | float | str | None:
    """The value of a word. Raises NoValue."""
    kind = tag.removeprefix(TAG)
    if kind in ("str", "merge"):
        return text
    if kind not in _WORDS:
        raise NoValue(f"the tag {tag} means nothing here; write the value without a tag")
    if len(text) > MAXIMUM_LENGTH and kind in ("int", "float"):
        raise NoValue(
            f"a number of {len(text)} characters; it may have {MAXIMUM_LENGTH}, or write it as text in quotes"
        )
    if not _WORDS[kind].fullmatch(text):
        raise NoValue(f'"{text[:60]}" is no {kind} in YAML 1.2; write the value without a tag')
    if kind == "null":
        return None
    if kind == "bool":
        return text[0] in "tT"
    if kind == "int":
        return int(text, 8 if text.startswith("0o") else 16) if text[:2] in ("0o", "0x") else int(text)
    number = math.nan if "." in text and text[-1] in "nNfF" else float(text)
    if not math.isfinite(number):
        raise NoValue(f"{text} is a number that JSON has not; write it as text in quotes")
    return number


def resolved_plain(text: str) -> bool | int | float | str | None:
    """What a plain word stands for; the text itself where that is nothing that JSON has."""
    tag = next((tag for tag, words in RESOLVERS if words.match(text)), TAG + "str")
    try:
        return scalar(tag, text)
    except NoValue:
        return text
