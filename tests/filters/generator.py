"""Random expressions, most of which have a type that fits, and random events with the values at which types end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

NAMES = "abcnslotz"
INTEGERS = ["0", "1", "2", "-1", "100", "9223372036854775807", "-9223372036854775808", "9007199254740993", "0x1F"]
UNSIGNED = ["0u", "1u", "2u", "18446744073709551615u"]
DOUBLES = ["0.0", "1.0", "2.0", "-1.5", "1e300", "9007199254740992.0", "9223372036854775808.0", "-0.0"]
TEXTS = ['""', '"a"', '"ab"', '"é"', 'r"\\d"', "'''x'y'''", '"漢a€"', '"1"', '"2020-01-01T00:00:00Z"', '"1h"', '"true"',
         '"😀"', '"User:"', '"-3"', '"1.5"']  # fmt: skip
BYTES = ['b""', 'b"a"', 'b"\\xff"', "b'é'"]
PATTERNS = ['"^a"', '"b$"', '"[a-z]+"', '"(?i)USER"', '"\\\\d"', '"."', '""', '"(a|b)*c"', '"^.$"', '"^a?b"']
MOMENTS = ['timestamp("2020-01-01T00:00:00Z")', 'timestamp("1999-12-31T23:59:59.123456789+01:00")', "timestamp(0)",
           "timestamp(-1)", 'timestamp("0001-01-01T00:00:00Z")']  # fmt: skip
SPANS = ['duration("1h")', 'duration("-1.5s")', 'duration("100ms")', 'duration("1h2m3.4s")', 'duration("0")']
ZONES = ['"UTC"', '"Europe/Berlin"', '"+01:00"', '"-05:30"', '"Asia/Kolkata"']
PARTS = [
    "FullYear",
    "Month",
    "DayOfMonth",
    "Date",
    "DayOfWeek",
    "DayOfYear",
    "Hours",
    "Minutes",
    "Seconds",
    "Milliseconds",
]
SCALARS: list[Any] = [
    None, True, False, 0, 1, 2, -1, 3, 100, 2**63 - 1, -(2**63), 2**63, 2**53 + 1, 2**70, 0.0, 1.0, 1.5, -1.5, 2.0,
    1e300, -0.0, "", "a", "ab", "é", "漢a€", "User:x", "1", "2020-01-01T00:00:00Z", "1h", "abc", "😀x", "1.5",
]  # fmt: skip


class Expressions:
    """A source of texts that follow from the seed alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._variables: list[str] = []

    def _one(self, *texts: str) -> str:
        return self._random.choice(texts)

    def _any_of(self, *makers: Callable[[int], str], depth: int) -> str:
        return self._random.choice(makers)(depth)

    def _perhaps(self, maker: Callable[[int], str], depth: int) -> str:
        """Mostly of the type that fits."""
        chance = self._random.random()
        return self.anything(depth) if chance < 0.06 else self.dynamic(depth) if chance < 0.35 else maker(depth)

    def _leaf(self, depth: int) -> bool:
        return depth <= 0 or self._random.random() < 0.35

    def _between(self, maker: Callable[[int], str], signs: str, depth: int) -> str:
        sign = self._one(*signs.split())
        return f"({self._perhaps(maker, depth)} {sign} {self._perhaps(maker, depth)})"

    def anything(self, depth: int) -> str:
        """Of any type."""
        return self._any_of(
            self.dynamic, self.boolean, self.integer, self.text, self.double, self.unsigned, self.list, self.map,
            self.moment, self.span, self.bytes, lambda _: "null", depth=depth,
        )  # fmt: skip

    def dynamic(self, depth: int) -> str:
        """A member of the event, or something made of it."""
        chance = self._random.random()
        if self._variables and chance < 0.35:
            return self._one(*self._variables)
        if chance < 0.75 or depth <= 0:
            return self._one("event.", "event.", "event.o.") + self._one(*NAMES)
        if chance < 0.85:
            return f"dyn({self.anything(depth - 1)})"
        if chance < 0.93:
            return f"{self.dynamic(depth - 1)}[{self._one(self.integer(0), self.text(0), '0', '1', '0u', '1.0')}]"
        return f"({self.boolean(depth - 1)} ? {self.dynamic(depth - 1)} : {self.dynamic(depth - 1)})"

    def integer(self, depth: int) -> str:
        """An int."""
        if self._leaf(depth):
            return self._one(*INTEGERS, "partition", "offset")
        depth -= 1
        return self._one(
            self._between(self.integer, "+ - * / %", depth),
            f"size({self._any_of(self.text, self.list, self.map, self.bytes, self.dynamic, depth=depth)})",
            f"int({self._any_of(self.text, self.double, self.unsigned, self.dynamic, self.moment, depth=depth)})",
            f"{self._perhaps(self.moment, depth)}.get{self._one(*PARTS)}({self._one('', *ZONES)})",
            f"{self.span(depth)}.get{self._one(*PARTS[6:])}()",
        )

    def unsigned(self, depth: int) -> str:
        """A uint."""
        return self._one(*UNSIGNED) if self._leaf(depth) else self._between(self.unsigned, "+ - * / %", depth - 1)

    def double(self, depth: int) -> str:
        """A double."""
        return self._one(*DOUBLES) if self._leaf(depth) else self._between(self.double, "+ - * /", depth - 1)

    def text(self, depth: int) -> str:
        """A string."""
        if self._leaf(depth):
            return self._one(*TEXTS, "topic")
        held = self._any_of(
            self.integer, self.unsigned, self.boolean, self.moment, self.span, self.bytes, depth=depth - 1
        )
        return self._one(self._between(self.text, "+", depth - 1), f"string({held})")

    def bytes(self, depth: int) -> str:
        """Bytes."""
        return self._one(*BYTES) if self._leaf(depth) else f"bytes({self._perhaps(self.text, depth - 1)})"

    def moment(self, depth: int) -> str:
        """A timestamp."""
        if self._leaf(depth):
            return self._one(*MOMENTS)
        return f"({self._perhaps(self.moment, depth - 1)} {self._one('+', '-')} {self._perhaps(self.span, depth - 1)})"

    def span(self, depth: int) -> str:
        """A duration."""
        if self._leaf(depth):
            return self._one(*SPANS)
        return self._one(self._between(self.span, "+ -", depth - 1), self._between(self.moment, "-", depth - 1))

    def list(self, depth: int) -> str:
        """A list."""
        if self._leaf(depth):
            return self._one("[]", "[1, 2, 3]", '["a", "b"]', "[1, 1.0, 'a', null, true]", "[[1], [2u]]")
        depth -= 1
        elements = ", ".join(self.anything(depth) for _ in range(self._random.randint(0, 3)))
        return self._one(f"[{elements}]", self._between(self.list, "+", depth), self._macro(depth, "map", "filter"))

    def map(self, depth: int) -> str:
        """A map."""
        if self._leaf(depth):
            return self._one("{}", '{"a": 1}', '{1: 2, 2: "x"}', '{true: 1, "a": null}', "{1u: 1}")
        return '{"a": ' + self.anything(depth - 1) + ', "b": ' + self.anything(depth - 1) + "}"

    def boolean(self, depth: int) -> str:
        """A bool."""
        if depth <= 0:
            return self._one("true", "false", "event.t", "has(event.a)", 'event.s == "a"', "!event.t", "event.n > 1")
        depth -= 1
        kind = self._random.choice([
            self.integer, self.text, self.double, self.unsigned, self.anything, self.dynamic, self.bytes, self.moment,
            self.span, self.boolean, self.list, self.map,
        ])  # fmt: skip
        makers: list[Callable[[], str]] = [
            lambda: self._between(self.boolean, "&& ||", depth),
            lambda: self._between(self.boolean, "&& ||", depth),
            lambda: "!" + self._one(self.boolean(depth), self.dynamic(depth)),
            lambda: self._between(kind, "== != < <= > >= == !=", depth),
            lambda: self._between(kind, "== != < <= > >= == !=", depth),
            lambda: f"({self._perhaps(kind, depth)} in {self._any_of(self.list, self.map, self.dynamic, depth=depth)})",
            lambda: f"{self._perhaps(self.text, depth)}.{self._one('contains', 'startsWith', 'endsWith')}"
            f"({self._perhaps(self.text, depth)})",
            lambda: f"{self._perhaps(self.text, depth)}.matches({self._one(*PATTERNS)})",
            lambda: f"has({self.dynamic(depth)}.{self._one(*NAMES)})",
            lambda: f"({self._perhaps(self.boolean, depth)} ? {self.boolean(depth)} : {self.boolean(depth)})",
            lambda: f"(type({self.anything(depth)}) == {self._one('int', 'uint', 'double', 'string', 'list', 'map')})",
            lambda: self._macro(depth, "all", "exists", "exists_one"),
        ]  # fmt: skip
        return self._random.choice(makers)()

    def _macro(self, depth: int, *names: str) -> str:
        over = self._any_of(self.list, self.dynamic, self.map, self.dynamic, depth=depth)
        name, variable = self._one(*names), self._one("x", "y", "z")
        self._variables.append(variable)
        body = self.anything(depth) if name == "map" else self._perhaps(self.boolean, depth)
        self._variables.pop()
        return f"{over}.{name}({variable}, {body})"


def _event(chance: random.Random, depth: int) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name in NAMES:
        if chance.random() < 0.3:
            continue
        if depth == 0 or chance.random() < 0.7:
            event[name] = chance.choice(SCALARS)
        elif chance.random() < 0.5:
            event[name] = [chance.choice(SCALARS) for _ in range(chance.randint(0, 3))]
        else:
            event[name] = _event(chance, depth - 1)
    return event


def random_events(seed: int, count: int = 4) -> list[dict[str, Any]]:
    """Events that follow from the seed alone."""
    chance = random.Random(seed)
    return [_event(chance, 2) for _ in range(count)]
