"""Reads the `derive` of a stream's configuration. `gateway.derive` checks the expressions in it."""

from __future__ import annotations

import re

from gateway.catalog.derivation import DEFAULT_LATE, Dedup, Derivation, Expression, Lookup, Members, Window
from gateway.catalog.document import Findings, Located
from gateway.catalog.part import Part

MAXIMUM_SOURCES = 100
MAXIMUM_MEMBERS = 200
"""Members of a row."""
MAXIMUM_LOOKUPS = 10
MAXIMUM_VERSION = 10_000
LONGEST_SPAN = 400 * 86_400_000
"""Milliseconds of a window, of lateness, or of the past that a derived stream begins with."""
MAXIMUM_HOPS = 1_000
"""Windows that one event may be in."""

_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_MEMBER_FORM = "letters, digits and `_`, beginning with no digit, at most 100"
_LAST_NAME = re.compile(r"(?:.*\.)?([A-Za-z_][A-Za-z0-9_]*)\s*", re.ASCII | re.DOTALL)
OWN_MEMBERS = ("meta", "window_start", "window_end")
"""What a row has of itself."""
_RESERVED = ("event", "row", "topic", "partition", "offset", "timestamp", "key", "true", "false", "null", "in")

_KEYS = (
    "allow_unknown",
    "by",
    "dedup",
    "delete",
    "from",
    "having",
    "late",
    "latest",
    "lookup",
    "select",
    "since",
    "version",
    "where",
    "window",
)
_OPERATORS = ("window", "latest", "lookup", "dedup")
_BELONGS = {"by": "window", "having": "window", "delete": "latest"}
_WINDOWS = "{every: 1m}, {size: 10m, every: 1m}, {gap: 30m} or {last: 10m}"


def read_derivation(name: str, item: Located, findings: Findings) -> Derivation | None:
    """The declaration of the stream of this name; None where nothing can be made of it. Mistakes go to `findings`."""
    if not isinstance(item.value, dict):
        findings.mistake(item.line, f"{name}: derive is {item.kind}; it takes a mapping, such as {{from: [a.stream]}}")
        return None
    return _Reader(name, item, findings).read()


class _Reader(Part):
    """Reads the members of one `derive`."""

    def read(self) -> Derivation | None:
        self.check_keys(self.members, _KEYS, "derive")
        self._check_operators()
        sources = self._sources()
        if not sources:
            return None
        window = self._window()
        derivation = Derivation(
            sources=tuple(sources),
            where=self._expression("where"),
            select=self._named("select"),
            by=self._named("by"),
            window=window,
            late=self._span(self.get("late"), "late", shortest=0) if self.get("late") else DEFAULT_LATE,
            having=self._expression("having"),
            latest=self._named("latest", listed=True),
            delete=self._expression("delete"),
            lookups=self._lookups(),
            dedup=self._dedup(),
            version=self.number("version", 1, 1, MAXIMUM_VERSION),
            since=self._span(self.get("since"), "since") or None,
            allow_unknown=self.flag("allow_unknown"),
            line=self.line,
            source_lines=tuple(sources.values()),
        )
        self._check_parts(derivation)
        return derivation

    def _check_operators(self) -> None:
        given = [key for key in _OPERATORS if self.get(key) is not None]
        for key in given[1:]:
            self.wrong(
                self.members[key].line,
                f"derive has {given[0]} and {key}; it takes one of {', '.join(_OPERATORS)}, so make two streams of it",
            )
        for key, owner in _BELONGS.items():
            if (item := self.get(key)) is not None and self.get(owner) is None:
                self.wrong(item.line, f"{key} belongs to {owner}, which is not there")
        late = self.get("late")
        if late is not None and not given:
            self.wrong(late.line, f"late belongs to {', '.join(_OPERATORS)}; nothing waits for others here")

    def _check_parts(self, derivation: Derivation) -> None:
        line = self.line
        if derivation.window is not None and not derivation.select:
            self.wrong(line, "a window has no select; it takes aggregates, such as {edits: count()}")
        if derivation.lookups and not derivation.select:
            self.wrong(line, "a lookup has no select; it takes the members of the row")
        taken: dict[str, str] = {}
        for part in ("by", "latest", "select"):
            for member, expression in getattr(derivation, part):
                if member in OWN_MEMBERS:
                    self.wrong(expression.line, f"{part} has {member}, which a row has of itself; choose another name")
                elif member in taken:
                    self.wrong(expression.line, f"{part} has {member}, and so has {taken[member]}; keep one of them")
                taken.setdefault(member, part)

    def _sources(self) -> dict[str, int]:
        form = "a list of at least one stream, such as [wiki.change]"
        if self.get("from") is None:
            self.wrong(self.line, f"derive has no from; it takes {form}")
        return self.words("from", form, MAXIMUM_SOURCES)

    def _expression(self, key: str) -> Expression | None:
        item = self.get(key)
        return None if item is None else self._cel(item, key)

    def _cel(self, item: Located, what: str) -> Expression | None:
        if isinstance(item.value, str) and item.value.strip():
            return Expression(item.value, item.line)
        if isinstance(item.value, bool | int | float):
            # `where: true` is an expression too.
            return Expression(
                "true" if item.value is True else "false" if item.value is False else str(item.value), item.line
            )
        self.wrong(item.line, f"{what} is {item.kind}; it takes an expression, such as event.wiki")
        return None

    def _named(self, key: str, listed: bool = False) -> Members:
        """A mapping from names to expressions; where `listed`, also a list of paths, which have their last names."""
        item = self.get(key)
        if item is None:
            return ()
        found: list[tuple[str, Located]] = []
        if isinstance(item.value, dict):
            found = list(item.value.items())
        elif listed and isinstance(item.value, list):
            for entry in item.value:
                match = _LAST_NAME.fullmatch(entry.value) if isinstance(entry.value, str) else None
                if match is None:
                    self.wrong(entry.line, f"{key} holds {entry.kind}; write {{name: expression}} where it is no path")
                else:
                    found.append((match[1], entry))
        if not found or len(found) > MAXIMUM_MEMBERS:
            form = f"a mapping of 1 to {MAXIMUM_MEMBERS} names to expressions, such as {{wiki: event.wiki}}"
            self.wrong(item.line, f"{key} is {item.kind if item.value else 'empty'}; it takes {form}")
            return ()
        members: list[tuple[str, Expression]] = []
        for member, entry in found:
            expression = self._cel(entry, f"{member} of {key}")
            if not _MEMBER.fullmatch(member):
                self.wrong(entry.line, f'"{member[:100]}" cannot be the name of a member; one is {_MEMBER_FORM}')
            elif expression is not None:
                members.append((member, expression))
        return tuple(members)

    def _window(self) -> Window | None:
        item = self.get("window")
        if item is None:
            return None
        parts = item.value if isinstance(item.value, dict) else {}
        shape = frozenset(parts)
        if shape not in ({"every"}, {"size", "every"}, {"gap"}, {"last"}):
            has = f"has {', '.join(parts)}" if parts else f"is {item.kind}"
            self.wrong(item.line, f"window {has}; it takes {_WINDOWS}")
            return None
        spans = {key: self._span(part, f"{key} of the window") for key, part in parts.items()}
        if not all(spans.values()):
            return None
        if "gap" in spans:
            return Window("gap", spans["gap"])
        if "last" in spans:
            return Window("last", spans["last"])
        size, step = spans.get("size", spans["every"]), spans["every"]
        if size < step or size > step * MAXIMUM_HOPS:
            reason = f"size is from one to {MAXIMUM_HOPS} times every; else events are in no window, or in too many"
            self.wrong(item.line, f"the window's {reason}")
            return None
        return Window("every", size, step)

    def _lookups(self) -> tuple[Lookup, ...]:
        item = self.get("lookup")
        if item is None:
            return ()
        form = "a mapping from a name to {in: a.stream, key: [event.id]}"
        if not isinstance(item.value, dict) or not 0 < len(item.value) <= MAXIMUM_LOOKUPS:
            self.wrong(item.line, f"lookup is {item.kind if item.value else 'empty'}; it takes {form}")
            return ()
        found = []
        for name, entry in item.value.items():
            parts = entry.value if isinstance(entry.value, dict) else {}
            if set(parts) != {"in", "key"} or not isinstance(parts["in"].value, str):
                self.wrong(entry.line, f"the lookup {name} is {entry.kind}; it takes {{in: a.stream, key: [event.id]}}")
            elif not _MEMBER.fullmatch(name) or name in _RESERVED:
                self.wrong(entry.line, f'"{name[:100]}" cannot be the name of a lookup; choose another')
            else:
                key = self._listed(parts["key"], f"key of {name}")
                found.append(Lookup(name, parts["in"].value, key, parts["in"].line))
        return tuple(found)

    def _listed(self, item: Located, what: str) -> tuple[Expression, ...]:
        """One expression, or a list of them."""
        entries = item.value if isinstance(item.value, list) else [item]
        if not 0 < len(entries) <= MAXIMUM_MEMBERS:
            self.wrong(item.line, f"{what} is empty; it takes a list of expressions, such as [event.id]")
        found = [self._cel(entry, what) for entry in entries]
        return tuple(one for one in found if one is not None)

    def _dedup(self) -> Dedup | None:
        item = self.get("dedup")
        if item is None:
            return None
        parts = item.value if isinstance(item.value, dict) else {}
        if set(parts) != {"by", "within"}:
            self.wrong(item.line, f"dedup is {item.kind}; it takes {{by: event.meta.id, within: 1h}}")
            return None
        by, within = self._listed(parts["by"], "by of dedup"), self._span(parts["within"], "within of dedup")
        return Dedup(by, within) if by and within else None

    def _span(self, item: Located | None, what: str, shortest: int = 1) -> int:
        """Milliseconds; 0 where there is none, or a wrong one."""
        return self.span(item, what, 0, LONGEST_SPAN, shortest)
