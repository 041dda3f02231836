"""Variables of the environment in the texts of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalog.document import Findings, Located, parse
from gateway.catalog.interpolation import LONGEST, interpolate

ENVIRONMENT = {"USER_NAME": "gateway", "PASSWORD": 'a: "b"\n- c', "EMPTY": "", "N": "4", "ON": "true", "HALF": "\udcff"}


def read(text: str) -> tuple[Located | None, Findings]:
    findings = Findings(Path("f.yaml"))
    return parse(text, findings, ENVIRONMENT), findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${USER_NAME}", "gateway"),
        ("a-${USER_NAME}-${N}!", "a-gateway-4!"),
        ("$${USER_NAME}", "${USER_NAME}"),
        ("$$${USER_NAME}", "$${USER_NAME}"),
        ("$$", "$$"),
        ("$USER_NAME $1", "$USER_NAME $1"),
        ("${EMPTY}", ""),
        ("{USER_NAME}", "{USER_NAME}"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert interpolate(text, ENVIRONMENT)[0] == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${ABSENT}", "the environment variable ABSENT is not set; set it, or write $${ for a plain ${"),
        ("${}", "${} is not ${NAME} with the name of a variable"),
        ("${A:-b}", "${A:-b} is not ${NAME}"),
        ("${N", "${N is not ${NAME}"),
        ("${1}", "${1} is not ${NAME}"),
        ("${HALF}", "HALF is not UTF-8"),
    ],
)
def test_what_is_no_variable(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        interpolate(text, ENVIRONMENT)
    assert told in caught.value.args[0]


def test_every_mistake_of_a_text_is_told_once() -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        interpolate("${A} ${B} ${A}", {})
    assert [mistake.split()[3] for mistake in caught.value.args] == ["A", "B"]


def test_a_text_is_bounded() -> None:
    with pytest.raises(ValueError, match="longer than"):
        interpolate("${BIG}" * 2, {"BIG": "x" * (LONGEST // 2 + 1)})


def test_what_a_variable_holds_is_a_text_and_nothing_of_yaml() -> None:
    document, findings = read("a: ${PASSWORD}\nb: ['${N}', x]\n")
    assert document is not None
    assert document.plain() == {"a": 'a: "b"\n- c', "b": ["4", "x"]}
    assert not findings.mistakes
    assert findings.variables == {"PASSWORD": ENVIRONMENT["PASSWORD"], "N": "4"}


def test_a_variable_stands_for_a_number_or_a_flag_where_one_is_expected() -> None:
    document, _ = read("{a: '${N}', b: '${ON}', c: '${USER_NAME}', d: '4'}")
    assert document is not None
    assert isinstance(document.value, dict)
    assert [item.resolved for item in document.value.values()] == [4, True, "gateway", "4"]


def test_a_variable_that_is_not_set_is_told_with_line_and_column() -> None:
    _, findings = read("a:\n  b: [x, '${NONE}']\n")
    assert findings.mistakes[0].startswith("f.yaml:2:10: the environment variable NONE is not set")


def test_other_documents_have_no_variables() -> None:
    document = parse("a: ${N}", Findings(Path("f.yaml")))
    assert document is not None
    assert document.plain() == {"a": "${N}"}


def test_a_variable_without_quotes_within_braces_is_explained() -> None:
    document, findings = read("a: {b: ${N}}")
    assert document is None
    assert findings.mistakes == ['f.yaml:1: within { } and [ ] a text with ${NAME} needs quotes: "${NAME}"']
