"""Finds the names that a client means: by patterns, or by similarity. Pure, and bounded for any number of names."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections.abc import Iterable

COMPARED = 100
"""Names that are compared with one that is not known: a comparison may take 80 µs."""
LONGEST_WORD = 100
"""Characters of such a one that are looked at."""


class Names:
    """A fixed set of names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)
        self._reversed = sorted(name[::-1] for name in self._names)
        self._longest = max(map(len, self._names), default=0)

    def close_to(self, word: str, most: int = 3) -> list[str]:
        """The names that look like the word, the closest first. Of very many, only those that begin or end as it does
        are compared."""
        word = word[:LONGEST_WORD]
        return difflib.get_close_matches(word, self._candidates(word), n=most, cutoff=0.6)

    def meant(self, word: str) -> str:
        """`; did you mean x or y?`, or nothing where no name is close."""
        close = self.close_to(word)
        return f"; did you mean {' or '.join(close)}?" if close else ""

    def _candidates(self, word: str) -> list[str]:
        if len(self._names) <= COMPARED:
            return self._names
        backwards = [name[::-1] for name in _around(self._reversed, word[::-1])]
        return list(dict.fromkeys([*_around(self._names, word), *backwards]))

    def matching(self, glob: str) -> list[str]:
        """The names that a pattern matches, in which `*` is any characters and `?` is one."""
        if len(glob) - glob.count("*") > self._longest:
            return []
        return list(filter(pattern_of(glob).fullmatch, self._names))


def pattern_of(glob: str) -> re.Pattern[str]:
    """A pattern as a regular expression that tries nothing twice. It searches each text between two `*` once, from
    the left, and takes the first match (an atomic group). The last one must stand at the end."""
    first, *others = [re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", glob)]
    if not others:
        return re.compile(first, re.DOTALL)
    *middle, last = others
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + f".*{last}", re.DOTALL)


def _around(names: list[str], word: str) -> list[str]:
    """Those next to the word in the order of the alphabet."""
    index = bisect_left(names, word)
    return names[max(0, index - COMPARED // 4) : index + COMPARED // 4]
