"""Tables for the end of a run, and for documents, as in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str]) -> list[str]:
    """The rows below their heads. The columns `texts` stand to the left, all others to the right."""
    every = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    left = [head in texts for head in heads]

    def line(cells: Sequence[str]) -> str:
        placed = zip(cells, widths, left, strict=True)
        return (
            "| " + " | ".join(cell.ljust(width) if first else cell.rjust(width) for cell, width, first in placed) + " |"
        )

    rule = "|".join(
        "-" * (width + 2) if first else "-" * (width + 1) + ":" for width, first in zip(widths, left, strict=True)
    )
    return [line(heads), f"|{rule}|", *map(line, rows)]
