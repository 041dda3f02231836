"""Infers the rows of a declaration from the schemas of its sources, and finds mistakes in its expressions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from gateway.catalog.derivation import Derivation, Expression
from gateway.catalog.stream import Stream
from gateway.derive import expression as expressions
from gateway.derive.aggregate import Figure, figures
from gateway.derive.shape import INTEGER, NUMBER, RECORD, TIME, Given, Inference, given
from gateway.errors import InvalidExpression
from gateway.filters.compile import DEEPEST
from gateway.filters.lexer import refusal
from gateway.filters.syntax import parse
from gateway.filters.tree import Node, start
from gateway.schemas.reading import ANYTHING, Reading, Readings, TooLarge
from gateway.schemas.repository import SchemaRepository

KEY_KINDS = frozenset({"string", "integer", "boolean"})
"""JSON types that a value of a key may have (`is_key`)."""


@dataclass(slots=True)
class Found:
    """The members of a row, and what is wrong, each with its line."""

    members: dict[str, Given] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    """Where each member stands."""
    mistakes: list[tuple[int, str]] = field(default_factory=list)


def declared(derivation: Derivation, streams: Mapping[str, Stream], schemas: SchemaRepository) -> Found:
    """The rows of a declaration: those of `passes` have no members of their own."""
    return _Reader(derivation, streams, schemas).read()


class _Reader:
    def __init__(self, derivation: Derivation, streams: Mapping[str, Stream], schemas: SchemaRepository) -> None:
        self._derivation = derivation
        self._streams = streams
        self._schemas = schemas
        self._readings = Readings()
        self._found = Found()

    def read(self) -> Found:
        derivation = self._derivation
        try:
            event = {"event": given(self._reading(derivation.sources), True), **RECORD}
            scope = event | {one.name: given(self._reading([one.stream]), False) for one in derivation.lookups}
            self._condition(derivation.where, event, expressions.EVENT)
            self._condition(derivation.delete, event, expressions.EVENT)
            for lookup in derivation.lookups:
                for expression in lookup.key:
                    self._key(f"the key of {lookup.name}", expression, event)
                self._key_size(lookup.stream, len(lookup.key), lookup.line)
            for expression in derivation.dedup.by if derivation.dedup is not None else ():
                self._key("by of dedup", expression, event)
            for name, expression in derivation.key:
                found = self._key(name, expression, event)
                self._add(name, expression, None if found is None else found._replace(always=True))
            if derivation.window is not None:
                self._figures(event)
            else:
                for name, expression in derivation.select:
                    self._add(
                        name,
                        expression,
                        self._given(expression, scope, tuple(name for name in scope if name not in RECORD)),
                    )
            self._having()
        except TooLarge:
            self._found.mistakes.append((derivation.line, "the schemas of its sources have too many alternatives"))
        return self._found

    def _reading(self, names: tuple[str, ...] | list[str]) -> Reading:
        found = []
        for name in names:
            stream = self._streams.get(name)
            schema = None if stream is None else self._schemas.taken_by(stream)
            found.append(ANYTHING if schema is None else self._readings.of(schema.document))
        return ANYTHING if any(one is ANYTHING for one in found) else self._readings.either(found)

    def _add(self, name: str, expression: Expression, found: Given | None) -> None:
        self._found.lines[name] = expression.line
        if found is not None:
            self._found.members[name] = found

    def _told(self, expression: Expression, act: Callable[[], Given]) -> Given | None:
        try:
            return act()
        except InvalidExpression as error:
            self._found.mistakes.append((expression.line, f"{expression.text.strip()[:200]}: {error}"))
            return None

    def _given(self, expression: Expression, scope: Mapping[str, Given], names: tuple[str, ...]) -> Given | None:
        return self._told(expression, partial(self._infer, expression, scope, names))

    def _infer(
        self, expression: Expression, scope: Mapping[str, Given], names: tuple[str, ...], node: Node | None = None
    ) -> Given:
        # Compiled as it will be: what is wrong with a pattern or a zone shows there. Inferred by its names.
        if node is None:
            expressions.value(expression, names)
            node = parse(expression.text, DEEPEST)
        inference = Inference(expression.text, self._readings, self._derivation.allow_unknown)
        return inference.of(node, scope)

    def _condition(self, expression: Expression | None, scope: Mapping[str, Given], names: tuple[str, ...]) -> None:
        if expression is None:
            return

        def judge() -> Given:
            expressions.condition(expression, names)
            found = self._infer(expression, scope, names)
            if not found.reading.admits("boolean") or found.kind not in {"bool", "dyn"}:
                root = start(parse(expression.text, DEEPEST))
                raise refusal(expression.text, root, "a condition has to be true or false, and this is neither")
            return found

        self._told(expression, judge)

    def _key(self, what: str, expression: Expression, scope: Mapping[str, Given]) -> Given | None:
        def judge() -> Given:
            found = self._infer(expression, scope, expressions.EVENT)
            if not found.reading.admits(*KEY_KINDS) or found.kind not in {"string", "int", "uint", "bool", "dyn"}:
                root = start(parse(expression.text, DEEPEST))
                raise refusal(expression.text, root, f"{what} takes a text, a whole number or a boolean")
            kinds = found.reading.kinds
            # What is no key gives no row.
            return found._replace(reading=replace(found.reading, kinds=KEY_KINDS & kinds if kinds else KEY_KINDS))

        return self._told(expression, judge)

    def _key_size(self, stream: str, size: int, line: int) -> None:
        """A stream that is looked into has records with keys of so many members."""
        state = self._streams.get(stream)
        if state is None:
            return
        members = len(state.message_key_fields) if state.derive is None else len(state.derive.key)
        if members not in (0, size):
            self._found.mistakes.append((line, f"the key of {stream} has {members} members, and not {size}"))
        elif state.derive is not None and not members:
            self._found.mistakes.append((line, f"{stream} has no key, by which its rows could be found"))

    def _figures(self, scope: Mapping[str, Given]) -> None:
        found: list[Figure] = []
        for one in self._derivation.select:
            try:
                found += figures((one,))
            except InvalidExpression as error:
                self._found.mistakes.append((one[1].line, f"{one[1].text.strip()[:200]}: {error}"))
        for figure in found:
            self._add(
                figure.name, figure.expression, self._told(figure.expression, partial(self._figure, figure, scope))
            )
        self._found.members["window_start"] = self._found.members["window_end"] = given(TIME, True)

    def _figure(self, figure: Figure, scope: Mapping[str, Given]) -> Given:
        if figure.argument is None:
            return given(INTEGER, True)
        figure.value()
        found = self._infer(figure.expression, scope, expressions.EVENT, figure.argument)
        takes = {"count": {"boolean"}, "sum": {"integer", "number"}, "avg": {"integer", "number"}}
        wanted = takes.get(figure.function, {"integer", "number", "string", "boolean"})
        if not found.reading.admits(*wanted):
            named = " or ".join(sorted(found.reading.kinds or ()))
            raise refusal(figure.expression.text, start(figure.argument), f"{figure.function}() does not take {named}")
        if figure.function == "count":
            return given(INTEGER, True)
        if figure.function == "avg":
            return given(NUMBER, found.always)
        kinds = found.reading.kinds
        return given(
            replace(found.reading, kinds=frozenset(wanted) & kinds if kinds else frozenset(wanted)), found.always
        )

    def _having(self) -> None:
        members = {name: one.reading for name, one in self._found.members.items()}
        always = frozenset(name for name, one in self._found.members.items() if one.always)
        row = Reading(kinds=frozenset({"object"}), fields=members, always=always, rest=False)
        if not self._found.mistakes:
            self._condition(self._derivation.having, {"row": given(row, True)}, expressions.ROW)
