"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.model.setting import Setting
from gateway.settings.document import settings_table
from gateway.settings.table import SETTINGS

ROOT = Path(__file__).parent.parent
OPERATING = ROOT / "docs/OPERATING.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*tests/README.md")])


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(heading)}$(.*?)(?=^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no heading {heading}"
    return found[2]


def table(text: str) -> list[str]:
    """The rows of the first table."""
    lines = text.split("\n")
    first = next((index for index, line in enumerate(lines) if line.startswith("|")), len(lines))
    last = next((index for index in range(first, len(lines)) if not lines[index].startswith("|")), len(lines))
    return lines[first:last]


def headings(text: str) -> set[str]:
    """The anchors of a document, as GitHub makes them of its headings."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in headings(target.read_text()), link


def test_the_table_of_the_settings_is_that_of_the_code() -> None:
    assert table(section(OPERATING.read_text(), "Settings")) == settings_table().splitlines(), "run scripts/docs"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_setting_is_documented(setting: Setting) -> None:
    text = OPERATING.read_text()
    for word in (setting.flag, setting.variable, setting.key if setting.in_file else None):
        assert word is None or f"`{word}`" in text


def test_the_table_has_one_line_a_setting() -> None:
    rows = table(settings_table())
    assert len(rows) == len(SETTINGS) + 2
    # A bar in a text would add a column.
    assert {row.count("|") for row in rows} == {6}
