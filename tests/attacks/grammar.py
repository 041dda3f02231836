"""Random expressions of CEL over random events, from a seed."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.attacks.dear import EVENTS, FILTERS, STORM

MEMBERS = ("a", "b", "c", "text", "list", "maps", "meta")
NUMBERS = ("0", "1", "-1", "7u", "9223372036854775807", "-9223372036854775808", "18446744073709551615u", "1.5", "1e308")
STRINGS = (
    '"a"',
    '""',
    '"aé😀"',
    'r"\\d+"',
    '"(a?){20}a{20}"',
    '"\\u0000"',
    '"2020-01-01T00:00:00Z"',
    '"1h2m"',
    '"UTC"',
)
PATTERNS = ('"^a+$"', '"(?i)[a-z]{1,50}$"', '"(a|b|é)*x"', '"a.{100}b"', '"\\\\pL+"', '"["', '"(){99}"', '"a**"')
METHODS = ("contains", "startsWith", "endsWith", "matches")
GETTERS = ("getHours", "getFullYear", "getDayOfYear", "getMilliseconds")
LOOPS = ("all", "exists", "exists_one", "map", "filter")
CONVERSIONS = ("int", "double", "string", "uint", "bytes", "type", "duration")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in")
LONGEST = 4000


class Grammar:
    """Makes expressions and events. The same seed, the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self._names: list[str] = []

    def expression(self) -> str:
        """One that is right more often than not, and within the usual length."""
        random = self.random
        kind = random.random()
        if kind < 0.75:
            made = self._truth(random.choice((1, 2, 2, 3, 4)))
        elif kind < 0.95:
            made = self._damaged(random.choice(random.choice(list(FILTERS.values()))))
        else:
            made = self._damaged(random.choice(STORM))
        return made if len(made.encode("utf-8", "replace")) <= LONGEST else self._truth(1)

    def _damaged(self, text: str) -> str:
        random = self.random
        for _ in range(random.randrange(3)):
            at = random.randrange(len(text) + 1)
            cut = random.randrange(4)
            put = random.choice(
                ("", "(", ")", "'", '"', "\\", ".", "!", "[", "x", "1", " && ", " || true", self._value(1))
            )
            text = text[:at] + put + text[at + cut :]
        return text

    def _truth(self, depth: int) -> str:
        random = self.random
        if depth <= 0:
            return random.choice(("true", f"has({self._path()}.a)", f"{self._path()} == {self._atom()}", self._path()))
        kind = random.randrange(8)
        if kind == 0:
            return f"({self._truth(depth - 1)} {random.choice(('&&', '||'))} {self._truth(depth - 1)})"
        if kind == 1:
            return f"!({self._truth(depth - 1)})"
        if kind == 2:
            return f"({self._truth(depth - 1)} ? {self._truth(depth - 1)} : {self._truth(depth - 1)})"
        if kind == 3:
            return f"{self._value(depth)} {random.choice(COMPARISONS)} {self._value(depth)}"
        if kind == 4:
            method = random.choice(METHODS)
            given = random.choice(PATTERNS) if method == "matches" and random.random() < 0.7 else self._value(depth)
            return f"{self._value(depth)}.{method}({given})"
        if kind == 5:
            return self._loop(random.choice(LOOPS[:3]), depth)
        if kind == 6:
            return f"size({self._value(depth)}) > {random.choice(NUMBERS)}"
        zone = random.choice(('"Europe/Berlin"', '"+01:00"', '"UTC"', '"/dev/ptmx"', '""', "event.text"))
        return f"timestamp({self._value(depth - 1)}).{random.choice(GETTERS)}({zone}) > 1"

    def _loop(self, name: str, depth: int) -> str:
        over, variable = self._value(depth - 1), f"v{len(self._names)}"
        self._names.append(variable)
        body = self._truth(depth - 1) if name != "map" else self._value(depth - 1)
        self._names.pop()
        return f"{over}.{name}({variable}, {body})"

    def _value(self, depth: int) -> str:
        random = self.random
        if depth <= 0:
            return self._atom()
        kind = random.randrange(9)
        if kind < 3:
            return self._path()
        if kind == 3:
            return f"({self._value(depth - 1)} {random.choice('+-*/%')} {self._value(depth - 1)})"
        if kind == 4:
            return f"[{', '.join(self._value(depth - 2) for _ in range(random.randrange(6)))}]"
        if kind == 5:
            return (
                "{" + ", ".join(f"{self._atom()}: {self._value(depth - 2)}" for _ in range(random.randrange(3))) + "}"
            )
        if kind == 6:
            return self._loop(random.choice(LOOPS[3:]), depth)
        if kind == 7:
            return f"{random.choice(CONVERSIONS)}({self._value(depth - 1)})"
        return f"{self._path()}[{self._atom()}]"

    def _path(self) -> str:
        random = self.random
        roots = ["event", "event", "event", *self._names]
        return random.choice(roots) + "".join(f".{random.choice(MEMBERS)}" for _ in range(random.randrange(1, 3)))

    def _atom(self) -> str:
        others = ["true", "null", "topic", "offset", "key", *self._names]
        return self.random.choice((*NUMBERS, *STRINGS, *others))

    def event(self) -> dict[str, Any]:
        """An object of which some members are large."""
        random = self.random
        made = {name: self._json(random.choice((0, 1, 2, 3))) for name in MEMBERS}
        if random.random() < 0.5:
            made[random.choice(MEMBERS)] = random.choice(LARGE)
        if random.random() < 0.3:
            made |= random.choice(random.choice(list(EVENTS.values())))
        return made

    def _json(self, depth: int) -> Any:
        random = self.random
        if depth == 0:
            small = (
                None,
                True,
                0,
                1,
                -1,
                2**63,
                1.5,
                1e308,
                "",
                "a",
                "é😀",
                "2020-01-01T00:00:00Z",
                "\ud800",
                "a" * 99,
            )
            return random.choice(small)
        if random.random() < 0.5:
            return [self._json(depth - 1) for _ in range(random.randrange(4))]
        return {random.choice(MEMBERS): self._json(depth - 1) for _ in range(random.randrange(4))}


LARGE: tuple[Any, ...] = (
    "a" * 200_000,
    "é" * 100_000,
    "😀a" * 50_000,
    [0] * 20_000,
    ["a" * 500] * 3000,
    list(range(20_000)),
    {str(number): number for number in range(20_000)},
    [{"a": number, "b": [number]} for number in range(5000)],
    [["x"] * 10] * 2000,
    ["2020-01-01T00:00:00.123456789+01:00"] * 5000,
    ["1h2m3s"] * 5000,
    ["9" * 18] * 5000,
    [1.1e-300] * 5000,
    "1" * 99,
    [{"a": {"b": {"c": 1}}}] * 5000,
)
