"""The CEL language definition, as cases: what we say, and what Google's library says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.errors import InvalidExpression
from gateway.filters.subject import Subject
from tests.filters.library import library_compile, library_value
from tests.filters.test_differential import ours

CASES_FILE = Path(__file__).parent / "conformance" / "cases.yaml"
SECTIONS: dict[str, list[list[Any]]] = yaml.safe_load(CASES_FILE.read_text())
CASES = [pytest.param(case, id=f"{section}: {case[0]}") for section, cases in SECTIONS.items() for case in cases]


def _word(value: tuple[str, Any]) -> str:
    return str(value[1]).lower() if value[0] == "bool" else value[0]


@pytest.mark.parametrize("case", CASES)
def test_case(case: list[Any]) -> None:
    text, expected = case[:2]
    subject = Subject(case[2] if len(case) > 2 else {}, "t", 0, 7, 0, None)
    try:
        said = _word(ours(text, subject))
    except InvalidExpression:
        said = "refused"
    assert said == expected
    compiled = library_compile(text)
    theirs = "refused" if compiled is None else _word(library_value(compiled, subject))
    assert theirs == (case[3] if len(case) > 3 else expected)
