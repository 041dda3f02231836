"""Expressions made of others, and what CEL itself says of them."""

from __future__ import annotations

from typing import Any

from cel_expr_python import cel
from hypothesis import strategies as st

from gateway.filters.subject import EVERYTHING, Subject, environment


def composed(leaves: st.SearchStrategy[str], max_leaves: int) -> st.SearchStrategy[str]:
    """The leaves, joined by the operators of logic."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("({}) && ({})".format, inner, inner),
            st.builds("({}) || ({})".format, inner, inner),
            st.builds("!({})".format, inner),
            st.builds("({}) ? ({}) : ({})".format, inner, inner, inner),
        ),
        max_leaves=max_leaves,
    )


def judged(text: str, event: dict[str, Any]) -> bool:
    """What CEL says, asked without anything before it."""
    result = environment().compile(text).eval(Subject(event, "t", 0, 0, 0, None).activation(EVERYTHING))
    return result.type() == cel.Type.BOOL and result.value() is True
