"""docs/streams.ipynb: its code runs against a gateway."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.catalog.stream import Stream
from tests.end_to_end.process import WAIT
from tests.routes.kit import running, stored

NOTEBOOK = Path(__file__).parent.parent / "docs" / "streams.ipynb"


class Shown:
    """What a notebook shows, which may be shown anew."""

    shown: list[str]

    def __init__(self, html: str) -> None:
        self.update(html)

    def update(self, html: str) -> None:
        """Show another text in its place."""
        self.shown.append(html)


def run(cells: list[str], shown: list[str]) -> dict[str, Any]:
    """The names of the notebook when all of its cells have run; a kernel has the module that shows."""
    display = ModuleType("IPython.display")
    kind = type("Here", (Shown,), {"shown": shown})
    display.HTML = str  # type: ignore[attr-defined]
    display.display = lambda html, display_id=False: kind(html)  # type: ignore[attr-defined]
    package = ModuleType("IPython")
    package.display = display  # type: ignore[attr-defined]
    modules = {"IPython": package, "IPython.display": display}
    sys.modules.update(modules)
    try:
        names: dict[str, Any] = {"__name__": "__main__"}
        for number, cell in enumerate(cells):
            exec(compile(cell, f"cell {number}", "exec"), names)
        return names
    finally:
        for name in modules:
            del sys.modules[name]


async def test_every_cell_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    shown: list[str] = []
    async with running(streams=[Stream("wiki.change", ("wiki.change",), schema_title="wiki/change")]) as site:
        before = site.gateway.clock.now() - 300_000
        wikis = ("enwiki", "dewiki", "enwiki", "<b>")
        site.put("wiki.change", *(stored(n, before + n, wiki=wikis[n % 4], title="x,y") for n in range(40)))
        monkeypatch.setenv("GATEWAY_SERVER", f"http://127.0.0.1:{site.port}")
        monkeypatch.setenv("NOTEBOOK_EVENTS", "40")
        async with asyncio.timeout(WAIT):
            names = await asyncio.to_thread(run, cells, shown)
    assert sum(names["counted"]["counts"]) == 40
    assert names["table"] == [("<b>", 10), ("dewiki", 10), ("enwiki", 20)]
    assert names["seen"] == {"enwiki": 20, "dewiki": 10, "<b>": 10}
    assert len(shown) == 5, "a chart, and four states of the plot"
    assert "enwiki</td>" in shown[-1]
    assert "<b>" not in shown[-1]
