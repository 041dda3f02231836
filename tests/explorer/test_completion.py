"""What the page offers in a filter is what a filter may hold, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.filters.check import VARIABLES
from gateway.filters.functions import FUNCTIONS, TIME_PARTS
from gateway.filters.syntax import KEYWORDS, MACROS

PAGE = Path(__file__).parents[2] / "gateway" / "explorer"


def _offered(name: str) -> set[str]:
    """The words of one of the page's lists."""
    found = re.search(rf"^const {name} = \[\n(.*?)^\];", (PAGE / "completion.js").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return set(re.findall(r"""^  \[['"](\w+)""", found[1], re.MULTILINE))


def test_the_page_offers_what_a_filter_has() -> None:
    members = {name for name, function in FUNCTIONS.items() if function.member} | {"matches"}
    assert _offered("VARIABLES") == set(VARIABLES)
    assert _offered("FUNCTIONS") == set(FUNCTIONS) - members | {"has", *KEYWORDS}
    # No field of JSON is a time: its parts are never what comes behind one.
    assert _offered("METHODS") == members - TIME_PARTS
    assert _offered("MACROS") == {name for name, _ in MACROS}


def test_the_page_knows_which_words_are_no_names_of_members() -> None:
    found = re.search(r"^const TAKEN = new Set\(\[(.*)\]\)", (PAGE / "cel.js").read_text(), re.MULTILINE)
    assert found is not None
    assert set(re.findall(r"\w+", found[1])) == {"in", *KEYWORDS}
