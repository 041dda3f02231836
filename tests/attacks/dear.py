"""Expressions and events that are made to cost a gateway time, by kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

DATE = 'timestamp("2020-01-01T00:00:00Z")'
LIST = "[" + ",".join("1" * 40) + "]"
CHARACTERS = "[а-яА-ЯЀ-ӿ]"

EVENTS: Mapping[str, Sequence[dict[str, Any]]] = {
    "zones": [
        {"zone": zone, "zones": [f"{zone}{number}" for number in range(300)]}
        for zone in ("../../../../dev/ptmx", "/dev/zero", "/proc/self/fd/0", "America/", "+99:99", "a" * 100_000)
    ],
    "patterns": [
        {"text": "a" * 1000, "pattern": "(a?){1000}a{1000}", "patterns": [f"(a?){{{n}}}b" for n in range(200)]},
        {
            "text": "漢a€" * 3000,
            "pattern": "\\pL" * 16_000,
            "patterns": [f"(?i){n}(\\pL{{9}}\\PL)" for n in range(200)],
        },
        {"text": "é" * 10_000, "pattern": "((((x{10}){10}){10}){10})" * 9, "patterns": ["(" * 999 + ")" * 999] * 99},
        {"text": "x" * 1000, "pattern": "(){1000}" * 900, "patterns": ["(){1000}" * 90] * 99},
    ],
    "texts": [
        {"text": "a" * 400_000, "needle": "a" * 200_000 + "b", "texts": ["a" * 5000 + "b"] * 60},
        {"text": "😀" * 100_000, "needle": "😀" * 50_000 + "x", "texts": ["é" * 9000] * 60},
        {"text": "a" * 29_000, "needle": "a" * 25 + "b" + "a" * 25, "texts": ["a" * 30 + "b"] * 2000},
    ],
    "loops": [
        {"list": [0] * 60_000, "maps": [{"a": number, "b": [number]} for number in range(5000)]},
        {"list": list(range(20_000)), "maps": {str(number): number for number in range(20_000)}},
        {"list": [["x"] * 10] * 2000, "maps": [{"a": {"b": {"c": 1}}}] * 5000},
    ],
    "conversions": [
        {"text": "9" * 300_000, "texts": ["9" * 18] * 20_000},
        {"text": "2020-01-01T00:00:00." + "0" * 300_000 + "Z", "texts": ["2020-01-01T00:00:00.123456789+01:00"] * 9000},
        {"text": "1h" * 100_000, "texts": ["1h2m3s"] * 20_000},
        {"text": "0." + "1" * 300_000 + "e-300", "texts": ["1" + "0" * 300] * 9000},
    ],
}
"""Events, by the kind of expressions that they are dear for."""

FILTERS: Mapping[str, Sequence[str]] = {
    "zones": [
        f'{DATE}.getHours("/dev/ptmx") == 1',
        f'{DATE}.getMinutes("../../../../dev/zero") == 1',
        f'{DATE}.getHours("/proc/self/fd/0") == 1',
        f"{DATE}.getHours(event.zone) == 1",
        f"{DATE}.getDayOfYear(event.zone + 'x') == 1",
        f"event.zones.exists(z, {DATE}.getHours(z) == 1)",
        f"event.zones.exists(z, {DATE}.getHours('Etc/GMT+' + z) == 1)",
    ],
    "patterns": [
        "topic.matches('" + "(){1000}" * 80 + "')",
        "event.text.matches('(a?){400}a{400}')",
        "event.text.matches('(?i)" + r"\\pL" * 30 + "')",
        f"event.text.matches('{CHARACTERS * 100}')",
        "event.text.matches('" + "(?i:ſ)" * 160 + "')",
        "event.text.matches('a.{200}b')",
        "event.text.matches(event.pattern)",
        "event.patterns.exists(p, event.text.matches(p))",
        "event.patterns.exists(p, event.text.matches(p + '{20}'))",
        " || ".join(f"event.text.matches('(a?){{{n}}}a{{{n}}}b')" for n in range(30, 60)),
        "[1,1,1,1,1].all(x, [1].all(y, topic.matches('" + "(){1000}" * 80 + "')))",
    ],
    "texts": [
        "event.text.contains(event.needle)",
        " || ".join(["event.text.contains(event.needle)"] * 80),
        "event.text.contains('" + "a" * 3900 + "b')",
        "event.texts.exists(x, event.text.contains(x))",
        "event.texts.exists(x, x.contains(event.needle))",
        " && ".join(["event.text == event.text"] * 100),
        " && ".join(["event.text <= event.needle || true"] * 80),
        "size(event.text) == 1 || " * 100 + "false",
        "string(bytes(event.text)) == event.needle || " * 20 + "false",
        "event.text + event.text == event.needle || " * 20 + "false",
    ],
    "loops": [
        "event.list.all(x, event.list.all(y, x == y || true))",
        "event.list.map(x, event.list.map(y, x)).size() == 1",
        "event.list.exists(x, event.maps.exists(y, y == x))",
        "event.list.filter(x, event.list.filter(y, true).size() > 0).size() > 0",
        f"{LIST}.all(a, {LIST}.all(b, {LIST}.all(c, {LIST}.all(d, {LIST}.all(e, true)))))",
        '["' + "a" * 100 + '"]' + ".map(x,x+x+x+x+x+x+x+x)" * 6 + ".size() == 1",
        "[[1,2,3,4]]" + ".map(x,x+x+x+x+x+x+x+x)" * 6 + ".size() == 1",
        " && ".join(["event == event"] * 100),
        " || ".join(["event.list == event.maps"] * 80),
        "event.maps in event.list || " * 60 + "false",
        "event.list.exists(x, {x: 1, 'a': 2, 'b': {1: 2}}.c == 1)",
    ],
    "conversions": [
        "int(event.text) == 1 || " * 60 + "false",
        "double(event.text) == 1.0 || " * 60 + "false",
        "timestamp(event.text) == timestamp(0) || " * 40 + "false",
        "duration(event.text) == duration('1s') || " * 40 + "false",
        "event.texts.all(x, int(x) > 0)",
        "event.texts.all(x, double(x) > 0.0)",
        "event.texts.all(x, timestamp(x) > timestamp(0))",
        "event.texts.all(x, duration(x) > duration('0s'))",
        "event.texts.all(x, string(double(x)) != 'a')",
    ],
}
"""Expressions, by kind."""

SPENT = [
    "event.list.all(x, event.list.all(y, true))",
    "event.text.contains(event.needle) || event.list.all(x, event.list.all(y, true))",
    "event.patterns.exists(p, event.text.matches(p)) || event.texts.all(x, timestamp(x) > timestamp(0))",
]
"""What uses up its steps at every event."""

STORM = [
    "'\\" * 2000,
    "'''a" + "\\'" * 1900,
    '"' + '\\"' * 2000,
    "//\n" * 1300,
    "(" * 4000,
    "-" * 4000 + "1",
    "!" * 4000 + "true",
    "true?" * 800,
    "true?true:" * 400 + "true",
    "event" + ".a" * 2000,
    "&&".join(["event.a"] * 450),
    "1" + "+1" * 2000,
    "0x" + "f" * 4000,
    "1e" + "9" * 3000 + " == 1.0",
    "{1:" * 1300,
    "event.l.all(x," * 30 + "true" + ")" * 30,
    "||".join(["[" + ",".join(["event.a"] * 12) + "]==[event.a]"] * 35),
    " || ".join(f"topic.matches('{'(){1000}' * 80}{n}')" for n in range(6)) + " || event",
    "matches('" + "[[:^alpha:]]" * 300 + "')",
    "event.a.matches('" + "a{0,100}" * 90 + "')",
    "{1.5:1}",
    "[{null:1}]",
    "type({duration('1h'):1})",
    "b'\\xff' == event",
    "'a\\u0000b' == 'a'",
    "-9223372036854775808/-1 == 1",
    "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "event\0",
]
"""What is dear to compile, or to refuse."""


def texts(kind: str) -> list[bytes]:
    """The events of a kind as they stand in the log."""
    return [json.dumps(event, ensure_ascii=False).encode() for event in EVENTS[kind]]


def spending() -> bytes:
    """An event that is dear for every expression of SPENT."""
    event = {"list": [0] * 20_000, **EVENTS["texts"][0], **EVENTS["patterns"][0]}
    return json.dumps(event | {"texts": ["2020-01-01T00:00:00.1+01:00"] * 5000}).encode()
