"""What the style file asks of a document, and what a document holds that it does not allow."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tests.prose.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Count:
    """What there is in a document. Each but the first should be as low as can be."""

    sentences: int = 0
    too_long: int = 0
    """Sentences of more than `most_words`."""

    long: int = 0
    """Sentences of more than `long_words`, of these too."""

    words: int = 0
    """Words and phrases that are not to be used."""

    def __add__(self, other: Count) -> Count:
        return Count(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence that breaks a rule."""

    line: int
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Style:
    """The style file."""

    most_words: int
    long_words: int
    long_share: float
    documents: tuple[str, ...]
    words: tuple[tuple[re.Pattern[str], str], ...]
    """A pattern, and what to write instead."""

    def check(self, text: Iterable[Sentence]) -> tuple[Count, list[Finding]]:
        """Count, and tell each sentence that is too long or has a word that is not to be used."""
        total = long = 0
        findings: list[Finding] = []
        for sentence in text:
            total += 1
            size = sentence.words
            long += size > self.long_words
            if size > self.most_words:
                findings.append(Finding(sentence.line, f"{size} words", sentence.text))
            for pattern, instead in self.words:
                if not sentence.heading and (found := pattern.search(sentence.text)):
                    findings.append(Finding(sentence.line, f"“{found[0]}”: {instead}", sentence.text))
        too_long = sum(finding.rule.endswith(" words") for finding in findings)
        return Count(total, too_long, long, len(findings) - too_long), findings

    def exceeded(self, count: Count) -> list[str]:
        """The rules that a document with this count breaks, in words."""
        rules = {
            f"sentences over {self.most_words} words": (count.too_long, 0),
            f"sentences over {self.long_words} words": (count.long, max(1, int(self.long_share * count.sentences))),
            "words to avoid": (count.words, 0),
        }
        return [f"{rule}: {found}, at most {most}" for rule, (found, most) in rules.items() if found > most]


def read_style(path: Path) -> Style:
    """Read the style file.

    Raises:
        ValueError: It is not TOML, or a pattern in it is none.
    """
    document: dict[str, Any] = tomllib.loads(path.read_text())
    try:
        words = tuple((re.compile(rule["pattern"]), rule["instead"]) for rule in document["word"])
    except re.error as error:
        raise ValueError(f"{path}: {error.pattern!r}: {error}") from None
    bounds = (document["most_words"], document["long_words"], document["long_share"])
    return Style(*bounds, tuple(document["documents"]), words)
