"""Charts as SVG: bars and lines, in small multiples. Written by hand, since this is all that a report needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#9aa3ad", "#2f6fde", "#e08a00", "#2c9c5a", "#b0468f", "#5b4bb5")
WIDTH = 860
_LEFT, _RIGHT, _BAR, _GAP, _HEAD = 330, 90, 15, 12, 52
_PANEL_WIDTH, _PANEL_HEIGHT, _MARGIN = 400, 220, 46
_FONT = 'font-family="system-ui, sans-serif"'


@dataclass(frozen=True, slots=True)
class Bars:
    """The bars of one name: a value of each series, None where it has none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over a shared x; each series is its points."""

    title: str
    series: dict[str, Sequence[tuple[float, float]]]


def bar_chart(title: str, unit: str, series: Sequence[str], groups: Sequence[Bars]) -> str:
    """Horizontal bars, each group with a scale of its own, since what stands together is what is compared."""
    parts, top = [], float(_HEAD)
    for group in groups:
        known = [value for value in group.values if value is not None]
        scale = (WIDTH - _LEFT - _RIGHT) / (max(known, default=0) or 1)
        height = _BAR * len(known)
        parts.append(_text(_LEFT - 10, top + height / 2 + 4, group.name, anchor="end"))
        for index, value in enumerate(group.values):
            if value is None:
                continue
            parts.append(_box(_LEFT, top, max(1.0, value * scale), _BAR - 2, COLOURS[index % len(COLOURS)]))
            parts.append(_text(_LEFT + max(1.0, value * scale) + 5, top + 11, f"{value:,.3g}", size=11))
            top += _BAR
        top += _GAP
    return _document(title, unit, series, parts, top)


def line_chart(title: str, unit: str, series: Sequence[str], panels: Sequence[Panel]) -> str:
    """A panel for each, two in a row; the y axis begins at 0, x is what the points have."""
    parts = []
    for number, panel in enumerate(panels):
        left = _MARGIN + (number % 2) * (_PANEL_WIDTH + 10)
        top = _HEAD + 24 + (number // 2) * (_PANEL_HEIGHT + 20)
        parts += _panel(panel, series, left, top)
    rows = math.ceil(len(panels) / 2)
    return _document(title, unit, series, parts, _HEAD + rows * (_PANEL_HEIGHT + 20) + 10)


def _panel(panel: Panel, series: Sequence[str], left: float, top: float) -> list[str]:
    width, height = _PANEL_WIDTH - 60, _PANEL_HEIGHT - 50
    points = [point for line in panel.series.values() for point in line]
    begin, end = min(x for x, _ in points), max(x for x, _ in points)
    most = max(y for _, y in points) or 1
    parts = [_text(left, top - 8, panel.title, size=12)]
    for part in (0, 0.5, 1):
        y = top + height * (1 - part)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#e3e6ea"/>')
        parts.append(_text(left - 4, y + 4, f"{most * part:.3g}", size=10, anchor="end"))
        parts.append(_text(left + width * part, top + height + 14, f"{begin + (end - begin) * part:g}", size=10,
                           anchor="middle"))  # fmt: skip
    for name, line in panel.series.items():
        colour = COLOURS[series.index(name) % len(COLOURS)]
        path = " ".join(
            f"{left + width * (x - begin) / ((end - begin) or 1):.1f},{top + height * (1 - y / most):.1f}"
            for x, y in line
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return parts


def _document(title: str, unit: str, series: Sequence[str], parts: Sequence[str], height: float) -> str:
    legend, left = [], 14.0
    for index, name in enumerate(series):
        legend += [_box(left, 32, 10, 10, COLOURS[index % len(COLOURS)]), _text(left + 15, 41, name, size=11)]
        left += 34 + 7 * len(name)
    head = [_text(14, 20, title, size=15), _text(WIDTH - 14, 20, unit, size=11, anchor="end"), *legend]
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    paper = _box(0, 0, WIDTH, height, "#ffffff")
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', paper, *head, *parts, "</svg>", ""])


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, size: int = 12, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} {_FONT} fill="#1d2733">{escape(text)}</text>'
