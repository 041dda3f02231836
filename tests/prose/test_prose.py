"""The style of the documents: what is counted as a sentence, and what is found in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prose.__main__ import STYLE, main, parts
from tests.prose.sentences import Sentence, sentences
from tests.prose.style import Count, Style, read_style

LONG = " ".join(["word"] * 36) + "."


def texts(document: str) -> list[str]:
    return [sentence.text for sentence in sentences(document)]


def test_a_paragraph_is_split_into_sentences() -> None:
    document = (
        "One is here.\nTwo goes\nover lines! Is `three.` code? *Four.* (Five, of 0.5 s.) Six: at 127.0.0.1 it ends."
    )
    assert texts(document) == [
        "One is here.",
        "Two goes over lines!",
        "Is § code?",
        "*Four.",
        "(Five, of 0.5 s.",
        "Six: at 127.0.0.1 it ends.",
    ]


@pytest.mark.parametrize("code", ["```sh\ncurl it\n```", "    curl it", "~~~\nOne. Two.\n~~~", "---", "<br>"])
def test_code_is_no_prose(code: str) -> None:
    assert texts(f"Before.\n\n{code}\n\nAfter.") == ["Before.", "After."]


def test_items_cells_and_headings_stand_alone() -> None:
    items = "- one\n  goes on\n- two\n\n      still two\n"
    cells = "| a | b |\n|---|---|\n| `c\\|d` is | [e](f.md#g) |\n"
    found = list(sentences(f"# Heads\n\n{items}\n{cells}", 10))
    assert [sentence.text for sentence in found] == ["Heads", "one goes on", "two", "still two", "a", "b", "§ is", "e"]
    assert [sentence.line for sentence in found] == [10, 12, 14, 16, 18, 18, 20, 20]
    assert [sentence.heading for sentence in found] == [True, *[False] * 7]


def test_inline_code_is_one_word() -> None:
    assert next(sentences("Run `gateway serve --log x` — now, [or later](#then).")).words == 5


STRICT = Style(35, 25, 0.5, (), ())


def test_what_is_too_long_is_found_with_its_line() -> None:
    count, findings = STRICT.check(sentences(f"Short.\n\n{LONG}\n\n{LONG[-131:]}"))
    assert count == Count(sentences=3, too_long=1, long=2, words=0)
    assert [(finding.line, finding.rule) for finding in findings] == [(3, "36 words")]


def test_a_document_may_have_some_long_sentences_and_none_that_is_too_long() -> None:
    assert STRICT.exceeded(Count(sentences=4, long=2)) == []
    assert STRICT.exceeded(Count(sentences=4, too_long=1, long=3)) == [
        "sentences over 35 words: 1, at most 0",
        "sentences over 25 words: 3, at most 2",
    ]


def words(text: str) -> int:
    return read_style(STYLE).check([Sentence(1, text)])[0].words


@pytest.mark.parametrize(
    "text",
    [
        "What comes in is stored.",
        "It goes on after that.",
        "Be it late.",
        "It is held against a schema.",
        "It ends, etc.",
    ],
)
def test_words_to_avoid_are_found(text: str) -> None:
    assert words(text) == 1


@pytest.mark.parametrize("text", ["What comes in?", "It resumes there.", "As many clients as fit.", "Log `etc.`"])
def test_other_words_are_not(text: str) -> None:
    assert words(next(sentences(text)).text) == 0


def test_of_the_changelog_only_what_is_unreleased_counts(tmp_path: Path) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_text("# Changelog\n\nIntro.\n\n## [Unreleased]\n\n- New.\n\n## [1.0.0]\n\n- Old.\n")
    ((_, found),) = parts(path)
    assert [(sentence.line, sentence.text) for sentence in found] == [(5, "Unreleased"), (7, "New.")]


def test_of_a_folder_the_docstrings_of_modules_count(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text('"""A module."""\n\nX = "No docstring."\n')
    (tmp_path / "two.py").write_text("")
    assert [sentence.text for _, found in parts(tmp_path) for sentence in found] == ["A module."]


def test_a_bad_pattern_is_named(tmp_path: Path) -> None:
    path = tmp_path / "style.toml"
    bounds = "most_words = 1\nlong_words = 1\nlong_share = 1.0\ndocuments = []\n"
    path.write_text(f'{bounds}[[word]]\npattern = "("\ninstead = ""\n')
    with pytest.raises(ValueError, match=r"'\('"):
        read_style(path)


@pytest.mark.long
def test_the_documents_keep_to_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["prose", "--count"])
    assert main() == 0, capsys.readouterr().err
    assert "README.md" in capsys.readouterr().out
