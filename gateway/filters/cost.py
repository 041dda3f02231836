"""The worst cost of one evaluation of an expression, estimated from its tree.

One unit is about 0.1 µs, measured with cel-expr-python 0.1.3. What an event holds is unknown, so each of its values
counts as a text of `NOMINAL_TEXT` characters and as a list of `NOMINAL_COUNT` elements, which are such values again.
What the expression itself builds (literals, concatenations, `map`) is followed exactly: there lies the danger of a
short text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.filters.pattern import NOMINAL_TEXT, pattern_cost
from gateway.filters.syntax import Call, Comprehension, Constant, Identifier, ListLiteral, MapLiteral, Node, Select

NOMINAL_COUNT = 64.0
NOMINAL_PATTERN_COST = 10_000.0
"""A pattern that a field of the event holds."""

_NODE = 0.5
_ITERATION = 1.0
_LIST_ELEMENT = 0.5
_MAP_ENTRY = 1.5
_TEXT_CONCATENATION = 30.0
_CHARACTER = 0.01
_COPIED_ELEMENT = 0.4
_SEARCHED_ELEMENT = 0.2
_TIME_FUNCTION = 10.0
_APPENDED_PAIR = 0.4
"""`map` and `filter` copy the list that they build at each step: the cost is quadratic in the length."""
_LARGE = 1e15

_TIME_FUNCTIONS = frozenset({"timestamp", "duration", "string"})


@dataclass(frozen=True, slots=True)
class Shape:
    """The largest that a value can be. `weight` is the cost of comparing it, `element` what it holds (nothing: itself),
    `pattern` the cost of matching against it when it is a regular expression."""

    length: float = 0.0
    count: float = 0.0
    weight: float = 0.5
    pattern: float = 0.0
    element: Shape | None = None

    @property
    def inside(self) -> Shape:
        return self.element or self


FIELD = Shape(length=NOMINAL_TEXT, count=NOMINAL_COUNT, weight=5.0, pattern=NOMINAL_PATTERN_COST)
SCALAR = Shape()
_TEXT_FUNCTION_RESULT = Shape(length=40.0, weight=1.0, pattern=NOMINAL_PATTERN_COST)


def estimate(root: Node, field: Shape = FIELD) -> float:
    """Units of one evaluation at its worst, where the values in the event are as large as `field`."""
    return _Estimator(field).visit(root, {})[1]


def field_of(text: int, count: int, weight: int) -> Shape:
    """The shape of a value in an event whose longest string, largest list and whole are so large; never below the
    nominal, so that a smaller event is never dearer than the expression was when it was accepted."""
    return Shape(
        length=max(FIELD.length, text),
        count=max(FIELD.count, count),
        weight=max(FIELD.weight, weight),
        pattern=FIELD.pattern,
    )


class _Estimator:
    def __init__(self, field: Shape) -> None:
        self._field = field

    def visit(self, node: Node, scope: dict[str, Shape]) -> tuple[Shape, float]:
        """The shape of the node's value, and the cost of it and all below it."""
        shape, cost = self._visit(node, scope)
        return shape, min(_LARGE, cost + _NODE)

    def _visit(self, node: Node, scope: dict[str, Shape]) -> tuple[Shape, float]:
        match node:
            case Constant(value):
                return _constant(value), 0.0
            case Identifier(name):
                return scope.get(name, self._field), 0.0
            case Select(operand, _, test_only):
                shape, cost = self.visit(operand, scope)
                return (SCALAR if test_only else shape.inside), cost
            case ListLiteral(elements):
                return self._collection(elements, elements, scope, _LIST_ELEMENT)
            case MapLiteral(keys, values, message):
                shape, cost = self._collection(keys + values, values, scope, _MAP_ENTRY)
                if message:
                    # It copies what it is made of, and a wrapper stands for the value in it.
                    return _largest([shape]), cost + shape.weight
                return shape, cost
            case Comprehension():
                return self._comprehension(node, scope)
            case Call(function, arguments):
                found = [self.visit(argument, scope) for argument in arguments]
                shape, cost = _call(function, [each for each, _ in found])
                return shape, cost + sum(each for _, each in found)
        return self._field, 0.0

    def _collection(
        self, nodes: tuple[Node, ...], held: tuple[Node, ...], scope: dict[str, Shape], each: float
    ) -> tuple[Shape, float]:
        found = {id(node): self.visit(node, scope) for node in nodes}
        shapes = [shape for shape, _ in found.values()]
        element = _join([found[id(node)][0] for node in held]) if held else SCALAR
        weight = min(_LARGE, 0.5 + sum(shape.weight for shape in shapes))
        # Iterating over a map gives its keys, selecting from it its values: the element is the larger of both.
        if len(nodes) > len(held):
            element = _join([element, *shapes])
        return Shape(count=float(len(held)), weight=weight, element=element), each * len(held) + sum(
            cost for _, cost in found.values()
        )

    def _comprehension(self, node: Comprehension, scope: dict[str, Shape]) -> tuple[Shape, float]:
        over, cost = self.visit(node.iterated, scope)
        initial, initial_cost = self.visit(node.initial, scope)
        count = over.count
        within = {**scope, node.variable: over.inside, node.accumulator: initial}
        if node.second_variable:
            within[node.second_variable] = over.inside
        _, condition_cost = self.visit(node.condition, within)
        step, step_cost = self.visit(node.step, within)
        cost += initial_cost + count * (_ITERATION + condition_cost + step_cost)
        accumulated = step
        if accumulates(node):
            cost += _APPENDED_PAIR * count * count
            accumulated = Shape(
                count=min(_LARGE, count * step.count), weight=min(_LARGE, count * step.weight), element=step.inside
            )
        result, result_cost = self.visit(node.result, {**scope, node.accumulator: accumulated})
        return result, cost + result_cost


def accumulates(node: Node) -> bool:
    """Whether it is a comprehension that builds a list (`map`, `filter`)."""
    return isinstance(node, Comprehension) and isinstance(node.initial, ListLiteral)


def _constant(value: object) -> Shape:
    if isinstance(value, str):
        return Shape(length=float(len(value)), weight=0.5 + _CHARACTER * len(value), pattern=pattern_cost(value))
    if isinstance(value, bytes):
        # Read as a pattern once it is turned into a text.
        text = value.decode("latin-1")
        return Shape(length=float(len(value)), weight=0.5 + _CHARACTER * len(value), pattern=pattern_cost(text))
    return SCALAR


def _call(function: str, shapes: list[Shape]) -> tuple[Shape, float]:
    match function, shapes:
        case "_?_:_", [_, yes, no]:
            return _join([yes, no]), 0.0
        case "_[_]", [container, _]:
            return container.inside, 0.0
        case "_+_", [left, right]:
            return _sum(left, right)
        case (("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_"), [left, right]):
            return SCALAR, min(left.weight, right.weight)
        case "@in", [item, container]:
            return SCALAR, container.count * (_SEARCHED_ELEMENT + min(item.weight, container.inside.weight) - 0.5)
        case "matches", [text, pattern]:
            return SCALAR, pattern.pattern * max(1.0, text.length / NOMINAL_TEXT) + _CHARACTER * text.length
        case (("dyn" | "bytes"), [only]):
            return only, _CHARACTER * only.length
        case "string", [only]:
            # Of bytes it gives the same characters, of a number a short text.
            return _join([only, _TEXT_FUNCTION_RESULT]), _TIME_FUNCTION + _CHARACTER * only.length
    if not function[0].isalpha():
        # The rest of the operators: arithmetic and logic.
        return SCALAR, 0.0
    cost = _CHARACTER * sum(shape.length for shape in shapes)
    if function in _TIME_FUNCTIONS or function.startswith("get"):
        cost += _TIME_FUNCTION
    return SCALAR, cost


def _sum(left: Shape, right: Shape) -> tuple[Shape, float]:
    length = min(_LARGE, left.length + right.length)
    count = min(_LARGE, left.count + right.count)
    cost = (
        _CHARACTER * length + _COPIED_ELEMENT * count + (_TEXT_CONCATENATION if left.length and right.length else 0.0)
    )
    shape = Shape(
        length=length,
        count=count,
        weight=min(_LARGE, left.weight + right.weight),
        # Pieces make a pattern whose cost nobody knows: `"a{10" + "00}"`.
        pattern=_LARGE if left.length and right.length else max(left.pattern, right.pattern),
        element=_join([shape.inside for shape in (left, right) if shape.count] or [SCALAR]),
    )
    return shape, cost


def _join(shapes: list[Shape]) -> Shape:
    """A shape at least as large as each of these."""
    first = shapes[0]
    if all(shape == first for shape in shapes[1:]):
        return first
    holders = [shape for shape in shapes if shape.count]
    if any(shape.element is None for shape in holders):
        # One of them is a field of an event, which holds fields without end.
        return _largest(shapes)
    element = _join([shape.inside for shape in holders]) if holders else None
    return replace(_maximum(shapes), element=element)


def _largest(shapes: list[Shape]) -> Shape:
    """A shape at least as large as each of these and all that they hold; it holds itself."""
    found: list[Shape] = []
    for shape in shapes:
        inner: Shape | None = shape
        while inner is not None:
            found.append(inner)
            inner = inner.element
    return _maximum(found)


def _maximum(shapes: list[Shape]) -> Shape:
    return Shape(
        length=max(shape.length for shape in shapes),
        count=max(shape.count for shape in shapes),
        weight=max(shape.weight for shape in shapes),
        pattern=max(shape.pattern for shape in shapes),
    )
