"""Parses the text of an expression into a tree: the grammar and the macros of CEL (cel-spec, doc/langdef.md).

It takes one pass over the tokens. The parser is recursive and counts its depth. Nesting in the text and in the tree
counts alike, so that everything after the parser may be recursive too.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import InvalidExpression
from gateway.filters.lexer import Token, refusal, shorten, string_value, tokens
from gateway.filters.tree import Call, Constant, Has, ListOf, Loop, MapOf, Name, Node, Select, start
from gateway.filters.values import INT_MAX, INT_MIN, UINT_MAX, UInt

RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
})  # fmt: skip
KEYWORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
LEVELS: tuple[frozenset[str], ...] = (RELATIONS, frozenset("+-"), frozenset("*/%"))
"""The operators between two values, those that bind least first."""
MACROS = frozenset({("all", 2), ("exists", 2), ("exists_one", 2), ("map", 2), ("map", 3), ("filter", 2)})
"""With the number of their arguments."""
_LONGEST_NUMBER = 70
"""Digits; no number of 64 bits needs as many, whatever zeros it begins with."""
_WORDS = {
    "and": "'&&'", "or": "'||'", "not": "'!'", "is": "'=='", "eq": "'=='", "ne": "'!='", "<>": "'!='", ":": "'=='",
    "like": '.matches(), as in event.title.matches("^User")',
    "ilike": '.matches(), as in event.title.matches("(?i)^user")',
    "regexp": '.matches(), as in event.title.matches("^User")',
    "contains": '.contains(), as in event.title.contains("User")',
    "startswith": '.startsWith(), as in event.title.startsWith("User")',
    "endswith": '.endsWith(), as in event.title.endsWith("User")',
    "between": "two comparisons, with '&&'",
    "in": "'in', in small letters", "not in": "!(… in …)",
}  # fmt: skip
"""The spellings of other languages, and CEL's."""


def parse(text: str, depth: int) -> Node:
    """The tree, in which no more than `depth` nodes or brackets lie in each other. Raises InvalidExpression."""
    return _Parser(text, tokens(text), depth).whole()


class _Parser:
    def __init__(self, text: str, found: list[Token], depth: int) -> None:
        self._text = text
        self._tokens = found
        self._next = found[0]
        self._at = 0
        self._depth = depth

    def whole(self) -> Node:
        if self._next.kind == "end":
            raise refusal(self._text, 0, "the expression is empty")
        node = self._expression(0)
        if self._next.kind != "end":
            raise self._unexpected()
        return node

    def _expression(self, level: int) -> Node:
        self._check_depth(level)
        condition = self._either(level)
        token = self._take("?")
        if token is None:
            return condition
        first = self._either(level + 1)
        self._expect(":")
        return Call(token.position, "?:", (condition, first, self._expression(level + 1)))

    def _either(self, level: int) -> Node:
        sides, token = [self._both(level)], self._next
        while self._take("||"):
            sides.append(self._both(level))
        return sides[0] if len(sides) == 1 else Call(token.position, "||", tuple(sides))

    def _both(self, level: int) -> Node:
        sides, token = [self._binary(0, level)], self._next
        while self._take("&&"):
            sides.append(self._binary(0, level))
        return sides[0] if len(sides) == 1 else Call(token.position, "&&", tuple(sides))

    def _binary(self, rank: int, level: int) -> Node:
        if rank == len(LEVELS):
            return self._unary(level)
        left = self._binary(rank + 1, level)
        while (token := self._next).text in LEVELS[rank] and token.kind in {"sign", "name"}:
            self._advance()
            level = self._deeper(level)
            left = Call(token.position, token.text, (left, self._binary(rank + 1, level)))
        return left

    def _unary(self, level: int) -> Node:
        first = self._next
        if first.kind != "sign" or first.text not in {"!", "-"}:
            return self._member(level, None)
        count = 0
        while self._next.text == first.text and self._next.kind == "sign":
            last = self._next
            self._advance()
            count += 1
        # A minus before a number belongs to it: -9223372036854775808 is an int, though 9223372036854775808 is none.
        negative: Token | None = None
        if first.text == "-":
            if self._next.kind in {"int", "double"}:
                negative, count = last, count - 1
        elif self._next.text == "-" and self._tokens[self._at + 1].kind in {"int", "double"}:
            negative = self._next
            self._advance()
        # Pairs cancel each other, whatever they stand before (cel-spec has it for `!`; the C++ library for both).
        if count % 2 == 0:
            return self._member(level, negative)
        return Call(first.position, first.text + "_", (self._member(self._deeper(level), negative),))

    def _member(self, level: int, negative: Token | None) -> Node:
        node = self._primary(level, negative)
        while True:
            if token := self._take("."):
                level = self._deeper(level)
                name = self._selector()
                if self._take("("):
                    node = self._called(token.position + 1, name, node, self._list(")", level))
                else:
                    node = Select(token.position, node, name)
            elif token := self._take("["):
                level = self._deeper(level)
                node = Call(token.position, "[]", (node, self._expression(level)))
                self._expect("]")
            else:
                return node

    def _primary(self, level: int, negative: Token | None) -> Node:
        token = self._next
        self._advance()
        match token.kind:
            case "int" | "uint" | "double":
                return Constant((negative or token).position, self._number(token, negative is not None))
            case "string":
                return Constant(token.position, string_value(self._text, token))
            case "name" if token.text in KEYWORDS:
                return Constant(token.position, KEYWORDS[token.text])
            case "name" if token.text != "in":
                return self._named(token, token.text, level)
        match token.text:
            case "." if self._next.kind == "name":
                name = "." + self._next.text
                self._advance()
                return self._named(token, name, level)
            case "(":
                node = self._expression(level + 1)
                self._expect(")")
                return node
            case "[":
                return ListOf(token.position, tuple(self._list("]", level)))
            case "{":
                return MapOf(token.position, tuple(self._entries(level)))
        raise self._unexpected(token)

    def _named(self, token: Token, name: str, level: int) -> Node:
        if name.lstrip(".") in RESERVED:
            raise refusal(self._text, token.position, f"'{name}' is a reserved word")
        if self._take("("):
            return self._called(token.position, name.lstrip("."), None, self._list(")", level))
        return Name(token.position, name)

    def _called(self, position: int, function: str, target: Node | None, given: list[Node]) -> Node:
        if target is None and function == "has" and len(given) == 1:
            if not isinstance(given[0], Select):
                raise refusal(self._text, start(given[0]), "has() asks for the field of an object: has(event.name)")
            return Has(position, given[0].operand, given[0].field)
        if target is not None and (function, len(given)) in MACROS:
            variable = given[0]
            if not isinstance(variable, Name) or variable.name.startswith("."):
                reason = f"the first argument of {function}() is the name of a variable"
                raise refusal(self._text, start(variable), reason)
            return Loop(position, function, target, variable.name, given[-1], given[1] if len(given) == 3 else None)
        if target is None:
            return Call(position, function, tuple(given))
        return Call(position, function, (target, *given), member=True)

    def _list(self, closing: str, level: int) -> list[Node]:
        found: list[Node] = []
        while not self._take(closing):
            found.append(self._expression(level + 1))
            if not self._take(","):
                self._expect(closing)
                break
            if closing == ")" and self._next.text == ")":
                raise self._unexpected()
        return found

    def _entries(self, level: int) -> list[tuple[Node, Node]]:
        found: list[tuple[Node, Node]] = []
        while not self._take("}"):
            key = self._expression(level + 1)
            self._expect(":")
            found.append((key, self._expression(level + 1)))
            if not self._take(","):
                self._expect("}")
                break
        return found

    def _selector(self) -> str:
        token = self._next
        if token.kind not in {"name", "quoted"} or token.text in KEYWORDS or token.text == "in":
            raise self._unexpected()
        self._advance()
        if token.kind == "quoted" and self._next.text == "(":
            raise self._unexpected()
        return token.text.strip("`")

    def _number(self, token: Token, negative: bool) -> Any:
        if token.kind == "double":
            return -float(token.text) if negative else float(token.text)
        digits = token.text.rstrip("uU")
        if len(digits) > _LONGEST_NUMBER:
            raise refusal(self._text, token.position, "the number is too large")
        value = int(digits, 16 if digits.startswith("0x") else 10)
        if token.kind == "uint":
            if value > UINT_MAX:
                raise refusal(self._text, token.position, "the number is too large for a uint")
            return UInt(value)
        value = -value if negative else value
        if not INT_MIN <= value <= INT_MAX:
            raise refusal(self._text, token.position, "the number is too large for an int")
        return value

    def _check_depth(self, level: int) -> None:
        if level >= self._depth:
            reason = f"the expression is nested more than {self._depth} deep (filter_max_depth)"
            raise refusal(self._text, self._next.position, reason)

    def _deeper(self, level: int) -> int:
        self._check_depth(level + 1)
        return level + 1

    def _advance(self) -> None:
        # Behind the end there is the end.
        if self._at < len(self._tokens) - 1:
            self._at += 1
            self._next = self._tokens[self._at]

    def _take(self, sign: str) -> Token | None:
        token = self._next
        if token.text != sign or token.kind != "sign":
            return None
        self._advance()
        return token

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise self._unexpected()

    def _unexpected(self, token: Token | None = None) -> InvalidExpression:
        token = token or self._next
        if token.kind == "end":
            reason = "the expression ends too early"
        else:
            token = self._mistaken(token)
            meant = _WORDS.get(token.text.lower())
            hint = f"; did you mean {meant}?" if meant else self._hint(token)
            reason = f"'{shorten(token.text)}' is not expected here{hint}"
        return refusal(self._text, token.position, reason)

    def _hint(self, token: Token) -> str:
        """What may be meant where no word of another language stands."""
        before = self._tokens[max(0, self._tokens.index(token) - 1)]
        if token.kind == "name" and before.kind == "name" and token is not before:
            return "; texts stand in quotes, and conditions are joined by '&&' or '||'"
        if token.text == "," and any(one.text == "(" for one in self._tokens[: self._at]):
            return "; lists stand in square brackets: [1, 2]"
        return ""

    def _after(self, token: Token) -> str:
        return self._tokens[min(self._tokens.index(token) + 1, len(self._tokens) - 1)].text

    def _mistaken(self, token: Token) -> Token:
        """The unexpected token, or the one before it if that is the mistake: `not x`, `x <> y`."""
        before = self._tokens[max(0, self._tokens.index(token) - 1)]
        if token.text.lower() == "not" and self._after(token).lower() == "in":
            return Token(token.kind, "not in", token.position)
        if before.text.lower() == "not":
            return before
        if before.text + token.text == "<>":
            return Token("sign", "<>", before.position)
        return token
