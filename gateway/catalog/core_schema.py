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
