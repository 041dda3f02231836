"""Charts as SVG: bars and lines, in small multiples. Written by hand, since this is all that a report needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#9aa3ad", "#2f6fde", "#e08a00", "#2c9c5a", "#a2559c", "#7a5c3e")
WIDTH = 860
_LEFT, _RIGHT, _BAR, _GAP, _HEAD = 120, 80, 16, 30, 56
_PANEL_WIDTH, _PANEL_HEIGHT, _MARGIN = 412, 210, 42
_FONT = 'font-family="system-ui, sans-serif"'


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars that are compared with each other, by name."""

    title: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over a shared x, by name; each is its points."""

    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def bar_chart(title: str, unit: str, groups: Sequence[Bars]) -> str:
    """Horizontal bars, each group with a scale of its own."""
    parts, top = [], float(_HEAD)
    for group in groups:
        scale = (WIDTH - _LEFT - _RIGHT) / (max(group.values.values()) or 1)
        parts.append(_text(14, top, group.title))
        for index, (name, value) in enumerate(group.values.items()):
            top += _BAR
            width = max(1.0, value * scale)
            parts.append(_text(_LEFT - 8, top, name, size=11, anchor="end"))
            parts.append(_box(_LEFT, top - 10, width, _BAR - 3, COLOURS[index % len(COLOURS)]))
            parts.append(_text(_LEFT + width + 5, top, f"{value:,.3g}", size=11))
        top += _GAP
    return _document(title, unit, parts, top - 10)


def line_chart(title: str, unit: str, panels: Sequence[Panel], ticks: Sequence[float]) -> str:
    """A panel for each, two in a row, with the ticks on x; the y axis begins at 0."""
    parts = []
    for number, panel in enumerate(panels):
        left = _MARGIN + number % 2 * (_PANEL_WIDTH + 4)
        parts += _panel(panel, ticks, left, _HEAD + number // 2 * (_PANEL_HEIGHT + 16))
    return _document(title, unit, parts, _HEAD + math.ceil(len(panels) / 2) * (_PANEL_HEIGHT + 16))


def _panel(panel: Panel, ticks: Sequence[float], left: float, top: float) -> list[str]:
    width, height = _PANEL_WIDTH - 60, _PANEL_HEIGHT - 50
    begin, end = ticks[0], ticks[-1]
    most = max(y for line in panel.lines.values() for _, y in line) or 1
    parts = [_text(left, top - 6, panel.title)]
    for part in (0, 0.5, 1):
        y = top + height * (1 - part)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#e3e6ea"/>')
        parts.append(_text(left - 4, y + 4, f"{most * part:.3g}", size=10, anchor="end"))
    for tick in ticks:
        x = left + width * (tick - begin) / (end - begin)
        parts.append(_text(x, top + height + 14, f"{tick:g}", size=10, anchor="middle"))
    for index, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        places = [(left + width * (x - begin) / (end - begin), top + height * (1 - y / most)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_box(left + 8, top + 8 + 15 * index, 10, 10, colour))
        parts.append(_text(left + 23, top + 17 + 15 * index, name, size=11))
    return parts


def _document(title: str, unit: str, parts: Sequence[str], height: float) -> str:
    head = [_text(14, 22, title, size=15), _text(WIDTH - 14, 22, unit, size=11, anchor="end")]
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    paper = _box(0, 0, WIDTH, height, "#ffffff")
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', paper, *head, *parts, "</svg>", ""])


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, size: int = 12, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} {_FONT} fill="#1d2733">{escape(text)}</text>'
