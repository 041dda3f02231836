"""A grant: the streams that the holder of a token may read and write."""

from __future__ import annotations

from dataclasses import dataclass

MAXIMUM_GLOBS = 100
"""Patterns of stream names that a token may hold, for reading and for writing each."""
MAXIMUM_GLOB_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Grant:
    """`read` and `write` are globs over names of streams (`*` is any characters, `?` is one). Streams that match may
    be read beside the public ones, and written. `expires` is in milliseconds since the epoch."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    writes_public: bool = True
    """Whether streams that are public may be written also where `write` does not name them."""
    by_token: bool = False
    """Whether a token gave it; what is answered then is for its holder alone."""
    expires: int | None = None
    digest: bytes | None = None
    """Of the static token that gave it."""


NOBODY = Grant()
"""The grant of a request without a token."""
EVERYTHING = Grant(read=("*",), write=("*",))
"""On the admin port."""


def globs_of(value: object) -> tuple[str, ...]:
    """The globs in a list of strings, or in a string that separates them by spaces like `scope` (RFC 6749 section
    3.3). They are sorted and unique. Raises ValueError that says which form is expected."""
    items = value.split() if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) and item for item in items):
        raise ValueError("it takes a list of stream names, with * and ? as wildcards")
    if len(items) > MAXIMUM_GLOBS:
        raise ValueError(f"it has {len(items)} names of streams; it may have {MAXIMUM_GLOBS}")
    if any(len(item) > MAXIMUM_GLOB_CHARACTERS for item in items):
        raise ValueError(f"a name has more than {MAXIMUM_GLOB_CHARACTERS} characters")
    return tuple(sorted(set(items)))
