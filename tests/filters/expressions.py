"""Expressions made of others."""

from __future__ import annotations

from hypothesis import strategies as st


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
