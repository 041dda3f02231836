"""The sentences of a document in Markdown. Code, rulers of tables and targets of links are no prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^\s*(```|~~~)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_CODE = re.compile(r"(`+)(?:(?!\1).)+\1")
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])?")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
_END = re.compile(r"(?<=[.!?])[\"'”*_)]*\s+(?=[\"'“*_(\[]*[A-Z0-9§])")
_WORD = re.compile(r"\w")
CODE = "§"
"""What stands for a piece of inline code: one word, which no rule for words concerns."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, the heading of a section, or a cell of a table."""

    line: int
    text: str
    heading: bool = False

    @property
    def words(self) -> int:
        """How many words it has, with a piece of inline code as one."""
        return sum(1 for word in self.text.split() if word == CODE or _WORD.search(word) or CODE in word)


def sentences(text: str, first: int = 1) -> Iterator[Sentence]:
    """Every sentence of a document. `first` is the number of its first line."""
    for line, block, heading in _blocks(text, first):
        plain = _TAG.sub("", _LINK.sub(r"\1", _CODE.sub(CODE, block)))
        for sentence in _END.split(plain):
            if any(_WORD.search(word) or CODE in word for word in sentence.split()):
                yield Sentence(line, " ".join(sentence.split()), heading)


def _blocks(text: str, first: int) -> Iterator[tuple[int, str, bool]]:
    """Paragraphs, items of lists, headings and cells, each with its first line, and whether it is a heading."""
    held: list[str] = []
    begin = first
    fenced = in_list = False
    for number, line in enumerate([*text.splitlines(), ""], first):
        fence = _FENCE.match(line) is not None
        item = not fenced and _ITEM.match(line)
        alone = fence or fenced or not line.strip() or line.startswith(("#", "|"))
        code = not held and line.startswith("    ") and not item and not in_list
        if held and (alone or item):
            yield begin, " ".join(held), False
            held = []
        if fence:
            fenced = not fenced
        elif fenced or code or not line.strip():
            continue
        elif line.startswith("#"):
            in_list = False
            yield number, line.lstrip("# "), True
        elif line.startswith("|"):
            yield from ((number, cell, False) for cell in re.split(r"(?<!\\)\|", line) if cell.strip(" -:"))
        else:
            in_list = bool(item) or (in_list and line.startswith("  "))
            begin = begin if held else number
            held.append(_ITEM.sub("", line) if item else line)
