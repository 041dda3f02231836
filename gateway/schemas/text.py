"""Schemas as text."""

from __future__ import annotations

import json
from typing import Any

import yaml

from gateway.catalog.core_schema import RESOLVERS

WIDTH = 120
"""Characters of a line, where a line can be broken."""


class _Dumper(yaml.SafeDumper):
    """Without anchors: what is used twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """For every value."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Items of a list stand further in than its key."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text of several lines as a block."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
# Beside the words of YAML 1.1 those of 1.2: a text that looks like one of either stands in quotes.
_Dumper.yaml_implicit_resolvers = {**yaml.SafeDumper.yaml_implicit_resolvers, None: RESOLVERS}


def to_yaml(document: dict[str, Any]) -> str:
    """The schema in YAML, its members in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def to_json(document: Any) -> bytes:
    """The schema in JSON, on one line. Raises ValueError for what JSON cannot say (an infinite number, half a
    character). By the standard library, because orjson refuses whole numbers of more than 64 bits."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
