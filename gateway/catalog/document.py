"""Reads a file of YAML 1.2 with the line of every value, and collects the mistakes in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import yaml

from gateway.catalog.core_schema import TAG, NoValue, compose, resolved_plain, scalar
from gateway.catalog.interpolation import has_reference, interpolate
from gateway.errors import ConfigurationError

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
"""A value without its lines."""

MAXIMUM_VALUES = 100_000
"""Values that one file may hold once its aliases are followed: nested aliases could otherwise grow without bound."""

MAXIMUM_DEPTH = 64
"""Nesting of lists and mappings; an anchor that holds itself ends here."""


_OLD_BREAKS = re.compile("[\x85\u2028\u2029]")
"""They end a line in YAML 1.1, and so for PyYAML; in YAML 1.2 they are characters like others (section 5.4)."""


@dataclass(frozen=True, slots=True)
class Located:
    """A value of the file. `line` and `column` count from 1; for a member of a mapping they are those of its key."""

    value: bool | int | float | str | list[Located] | dict[str, Located] | None
    line: int
    column: int = 1
    filled: bool = False
    """Whether variables of the environment are in the text, which may stand for a number or a flag then."""

    @property
    def resolved(self) -> bool | int | float | str | list[Located] | dict[str, Located] | None:
        """The value, where no text is expected: what a variable holds is a number or a flag if it looks like one."""
        return resolved_plain(self.value) if self.filled and isinstance(self.value, str) else self.value

    def plain(self) -> Plain:
        """The value without its lines."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value

    @property
    def kind(self) -> str:
        """The kind of the value, for a message."""
        return kind_of(self.value)


@dataclass(slots=True)
class Findings:
    """The mistakes and warnings about one file, each with its location."""

    path: Path
    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """The variables of the environment that the file names, with their values: no message may repeat one."""

    def mistake(self, line: int, text: str) -> None:
        """Report a mistake at a line, and the remedy."""
        self.mistakes.append(f"{self.location(line)}: {text}")

    def warning(self, line: int, text: str) -> None:
        """Report something that may not be intended."""
        self.warnings.append(f"{self.location(line)}: {text}")

    def location(self, line: int, column: int | None = None) -> str:
        """`file:line`, or `file:line:column`."""
        return f"{self.path}:{line}" if column is None else f"{self.path}:{line}:{column}"


def kind_of(value: object) -> str:
    """The kind of a value, for a message: `a list`, `true`, `the number 3`, …"""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {_begin(str(value))}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return f'"{_begin(str(value))}"'


def _begin(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean x?`, or nothing where no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def is_misspelt(word: str, known: Iterable[str]) -> bool:
    """Whether the word is so close to a known one that nothing else can be meant."""
    return bool(difflib.get_close_matches(word, list(known), n=1, cutoff=0.8))


def parse(text: str, findings: Findings, environment: Mapping[str, str] | None = None) -> Located | None:
    """The document, or None where the syntax is broken. Mistakes go to `findings`. With an environment, `${NAME}` in
    its texts is the variable of that name; the values that are used go to `findings` too."""
    if (found := _OLD_BREAKS.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        findings.mistake(line, f'write this character as an escape in double quotes: "\\u{ord(found[0]):04x}"')
        return None
    try:
        node = compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        findings.mistake(line, _syntax(error, text.split("\n")[line - 1 : line]))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        findings.mistake(line, "a control character stands here; write it as an escape in double quotes")
        return None
    except RecursionError:
        findings.mistake(1, f"the file is nested too deeply; at most {MAXIMUM_DEPTH} levels are read")
        return None
    if node is None:
        return Located(None, 1)
    try:
        return _Reader(findings, environment).read(node, 0)
    except ConfigurationError as error:
        findings.mistakes.extend(error.mistakes)
        return None


def _syntax(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    problem = error.problem or "the YAML is broken"
    if "flow" in (error.context or "") and any("${" in line for line in lines):
        return 'within { } and [ ] a text with ${NAME} needs quotes: "${NAME}"'
    if "'\\t'" in problem:
        return "a tab stands where YAML allows only spaces; indent with spaces"
    if "expected a single document" in (error.context or ""):
        return "a second YAML document begins here; the file holds one, without a --- in it"
    context = f", {error.context}" if error.context else ""
    return f"this is not valid YAML: {problem}{context}; check the indentation, quotes and colons"


class _Reader:
    """Turns YAML nodes into located values; counts them, so that aliases cannot multiply without bound."""

    def __init__(self, findings: Findings, environment: Mapping[str, str] | None) -> None:
        self._findings = findings
        self._environment = environment
        self._count = 0

    def read(self, node: yaml.Node, depth: int, key: yaml.Node | None = None) -> Located:
        mark = (node if key is None else key).start_mark
        line, column = mark.line + 1, mark.column + 1
        self._count += 1
        if depth > MAXIMUM_DEPTH or self._count > MAXIMUM_VALUES:
            bound = f"{MAXIMUM_DEPTH} levels" if depth > MAXIMUM_DEPTH else f"{MAXIMUM_VALUES} values"
            raise ConfigurationError(
                [f"{self._findings.location(line)}: more than {bound}, aliases followed; write a smaller file"]
            )
        if isinstance(node, yaml.MappingNode):
            return Located(self._mapping(node, depth), line, column)
        if isinstance(node, yaml.SequenceNode):
            return Located([self.read(item, depth + 1) for item in node.value], line, column)
        value = self._scalar(cast(yaml.ScalarNode, node), line)
        if self._environment is None or not isinstance(value, str) or not has_reference(value):
            return Located(value, line, column)
        return Located(self._filled(value, node.start_mark, self._environment), line, column, filled=True)

    def _filled(self, text: str, mark: yaml.Mark, environment: Mapping[str, str]) -> str:
        try:
            filled, used = interpolate(text, environment)
        except ValueError as error:
            place = self._findings.location(mark.line + 1, mark.column + 1)
            self._findings.mistakes += [f"{place}: {mistake}" for mistake in error.args]
            return text
        self._findings.variables.update(used)
        return filled

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Located]:
        members: dict[str, Located] = {}
        merged: dict[str, Located] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == TAG + "merge":
                for name, item in self._merged(value, depth, line).items():
                    merged.setdefault(name, item)
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._findings.mistake(line, "a key is a list or a mapping; a key is a word")
                continue
            name = self._text(key.value, line)
            if name in members:
                first = members[name].line
                self._findings.mistake(line, f"{name} is given twice, first at line {first}; keep one of them")
                continue
            members[name] = self.read(value, depth + 1, key)
        return merged | members

    def _merged(self, node: yaml.Node, depth: int, line: int) -> dict[str, Located]:
        """The members that `<<` takes from one mapping, or from a list of them of which the first wins."""
        members: dict[str, Located] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                self._findings.mistake(line, "<< takes a mapping, or a list of mappings")
                continue
            # Read as one level deeper: an anchor may merge itself.
            for name, item in (self.read(source, depth + 1).value or {}).items():  # type: ignore[union-attr]
                members.setdefault(name, item)
        return members

    def _scalar(self, node: yaml.ScalarNode, line: int) -> bool | int | float | str | None:
        try:
            return scalar(node.tag, self._text(node.value, line))
        except NoValue as error:
            self._findings.mistake(line, str(error))
            return str(node.value)

    def _text(self, text: str, line: int) -> str:
        """The characters of a text in which one may be written as JSON does, as two escapes."""
        try:
            return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._findings.mistake(line, "half a character stands here; write both halves, or the character itself")
            return ""
