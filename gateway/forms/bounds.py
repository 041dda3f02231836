"""The bounds of a conversion: nobody has checked the values, and a few bytes could stand for very many."""

from __future__ import annotations

from gateway.errors import BadRecord

SCHEMA_BYTES = 1024 * 1024
"""The most bytes of a schema's text, with all that it refers to."""
SCHEMA_TYPES = 50_000
"""The most types, fields and symbols of a schema."""
SCHEMA_DEPTH = 100
"""How deep types may lie in each other in the text of a schema. A type that holds itself is one."""
REFERENCES = 100
"""The most schemas that one schema refers to, directly or not."""
NAME_CHARACTERS = 1000
"""The longest name of a type, a member or a symbol."""

_ALLOWED = 1024 * 1024
_FACTOR = 64


def allowance(size: int) -> int:
    """The bytes of JSON that a value of `size` bytes may become: a megabyte, and 64 times its own bytes."""
    return _ALLOWED + _FACTOR * size


def too_large() -> BadRecord:
    """A value that would become more than that."""
    return BadRecord("it would become far more JSON than it has bytes")


class UnusableSchema(Exception):
    """A schema that nothing can be read with; the message says why."""
