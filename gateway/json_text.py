"""Reads and writes JSON (RFC 8259) for the modules that the client shares: with orjson where it is installed, else with
the standard library. So the client needs no compiled package, and the server pays nothing for that.

Both ways mean the same, but for a lone surrogate in an escape: orjson refuses it, and the standard library does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from datetime import date, time
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

SMALLEST_INTEGER = -(2**63)
LARGEST_INTEGER = 2**63 - 1


def integer(digits: str) -> int | float:
    """A number without fraction or exponent. Beyond 64 bits it is a double: `int` would take quadratic time, or refuse
    over 4,300 digits."""
    if len(digits) <= 20:
        number = int(digits)
        if SMALLEST_INTEGER <= number <= LARGEST_INTEGER:
            return number
    return float(digits)


def plain_loads(text: str | bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError."""
    if isinstance(text, str):
        text = text.encode()  # Refuses halves of pairs.
    try:
        # Not `json.loads`: that would guess UTF-16 and UTF-32.
        return _DECODER.decode(text.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None


def plain_dumps(value: Any) -> bytes:
    """The shortest JSON text of a value. What is no finite number is null; dates, times, UUIDs, enums and dataclasses
    are written as orjson does. Raises TypeError for anything else that JSON cannot hold."""
    try:
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise TypeError(f"a string is not Unicode: {error.reason}") from None
    except (RecursionError, ValueError):
        raise TypeError("nested too deep") from None


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("the names of members must be strings")
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return _plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    raise TypeError(f"JSON has no form for a value of type {type(value).__name__}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


_DECODER = json.JSONDecoder(parse_int=integer, parse_constant=_refuse_constant)

loads: Callable[[str | bytes], Any] = plain_loads
dumps: Callable[[Any], bytes] = plain_dumps
try:
    import orjson
except ModuleNotFoundError:
    pass
else:
    # Not wrapped: a record is read in a microsecond.
    loads, dumps = orjson.loads, orjson.dumps


def loads_any(text: str | bytes) -> Any:
    """As `loads`, also for what RFC 8259 allows and orjson refuses: half a character in an escape, and numbers beyond a
    double, which are infinite. Raises ValueError."""
    try:
        return loads(text)
    except ValueError:
        return plain_loads(text)
