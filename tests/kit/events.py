"""Events that a number tells from others."""

from __future__ import annotations

import orjson


def numbered(number: object, /, **members: object) -> bytes:
    """The text of an event: `n`, and these members."""
    return orjson.dumps({"n": number, **members})
