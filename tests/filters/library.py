"""What Google's C++ library says of an expression: the oracle of these tests, and part of nothing else."""

from __future__ import annotations

from functools import cache
from typing import Any

from cel_expr_python import cel

from gateway.filters.subject import Subject
from gateway.filters.values import INT_MAX, INT_MIN, double

_NAMES = [(cel.Type.BOOL, "bool"), (cel.Type.INT, "int"), (cel.Type.UINT, "uint"), (cel.Type.DOUBLE, "double"),
          (cel.Type.STRING, "string"), (cel.Type.BYTES, "bytes")]  # fmt: skip


@cache
def _environment() -> Any:
    types = cel.Type
    return cel.NewEnv(variables={"event": types.DYN, "topic": types.STRING, "partition": types.INT,
                                 "offset": types.INT, "timestamp": types.INT, "key": types.DYN})  # fmt: skip


def library_compile(text: str) -> Any | None:
    """None where it refuses the text."""
    try:
        return _environment().compile(text)
    except Exception:
        return None


def library_value(compiled: Any, subject: Subject) -> tuple[str, Any]:
    """The type and the value; of what is no scalar, the type alone."""
    names = ("topic", "partition", "offset", "timestamp", "key")
    values = {"event": _fitted(subject.event), **{name: getattr(subject, name) for name in names}}
    try:
        result = compiled.eval(_environment().Activation(values))
    except Exception:
        return "error", None
    kind = result.type()
    if kind == cel.Type.NULL:
        return "null", None
    if kind == cel.Type.ERROR:
        return "error", None
    for known, name in _NAMES:
        if kind == known:
            return name, result.value()
    return str(kind.name()).lower().split("<")[0], None


def _fitted(value: Any) -> Any:
    """With doubles for integers beyond 64 bits, which the library cannot take."""
    if isinstance(value, dict):
        return {name: _fitted(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_fitted(member) for member in value]
    return double(value) if type(value) is int and not INT_MIN <= value <= INT_MAX else value
