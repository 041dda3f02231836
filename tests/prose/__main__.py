"""Check the style of the documents:

python -m tests.prose              what breaks the rules of scripts/prose.toml
python -m tests.prose --all FILE   every finding in a document
python -m tests.prose --count      a table of what each document holds
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

from tests.columns import columns
from tests.prose.sentences import Sentence, sentences
from tests.prose.style import Count, Style, read_style

ROOT = Path(__file__).parent.parent.parent
STYLE = ROOT / "scripts" / "prose.toml"
_UNRELEASED = re.compile(r"^## \[Unreleased\]$.*?(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)


def parts(path: Path) -> Iterator[tuple[Path, Iterator[Sentence]]]:
    """The sentences of a document, of a changelog's unreleased part, or of the docstrings of a folder's modules."""
    if path.is_dir():
        for module in sorted(path.rglob("*.py")):
            yield module, sentences(ast.get_docstring(ast.parse(module.read_bytes())) or "")
        return
    text = path.read_text()
    if unreleased := _UNRELEASED.search(text):
        yield path, sentences(unreleased[0], text.count("\n", 0, unreleased.start()) + 1)
    else:
        yield path, sentences(text)


def check(style: Style, path: Path) -> tuple[Count, list[str]]:
    """What a document holds, and a line for each finding."""
    total, lines = Count(), []
    for file, text in parts(path):
        count, findings = style.check(text)
        total += count
        name = file.relative_to(ROOT)
        lines += [f"{name}:{finding.line}: {finding.rule}: {finding.text}" for finding in findings]
    return total, lines


def main() -> int:
    """Print what is to be done; the number is the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/prose", description="Check the style of the documents.")
    parser.add_argument("--all", nargs="+", default=[], metavar="FILE", help="show every finding in these documents")
    parser.add_argument("--count", action="store_true", help="show a table of what each document holds")
    arguments = parser.parse_args()
    style = read_style(STYLE)
    names = [str(path.relative_to(ROOT)) for pattern in style.documents for path in sorted(ROOT.glob(pattern))]
    counts: dict[str, Count] = {}
    failed = False
    for name in arguments.all or names:
        counts[name], lines = check(style, ROOT / name)
        exceeded = [f"{name}: {rule}" for rule in style.exceeded(counts[name])]
        failed |= bool(exceeded)
        if arguments.all or exceeded:
            sys.stderr.writelines(f"{line}\n" for line in [*lines, *exceeded])
    if arguments.count:
        sys.stdout.write("\n".join(_table(style, counts)) + "\n")
    return failed


def _table(style: Style, counts: dict[str, Count]) -> list[str]:
    rows = {**counts, "all": sum(counts.values(), Count())}
    over = (f"over {words} words" for words in (style.most_words, style.long_words))
    heads = ["document", "sentences", *over, "words to avoid"]
    lines = [[name, *(f"{number:,}" for number in astuple(count))] for name, count in rows.items()]
    return columns(heads, lines, heads[:1])


if __name__ == "__main__":
    sys.exit(main())
