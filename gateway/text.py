"""Makes text from untrusted clients safe for a terminal and a log line, and writes sizes and times for people."""

from __future__ import annotations

import json
import os
import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode that steer a terminal, reorder what stands beside them, or show nothing."""


def printable(text: str) -> str:
    """The text on one line; whatever would steer a terminal or turn the direction of text is written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def printable_json(data: bytes) -> bytes:
    """JSON that steers no terminal, and says the same: such characters stand in its texts alone, where escapes do too.
    What is no JSON steers none either."""
    if data.isascii() and data.decode().isprintable():
        return data
    return "".join(map(_escaped, data.decode("utf-8", "replace"))).encode()


def counted(number: int, noun: str) -> str:
    """A number with a noun that takes an s in the plural: `1 stream`, `2,000 streams`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def random_uuid() -> str:
    """A random UUID (RFC 9562 section 5.4), at a third of the price of `str(uuid.uuid4())`: each request has one."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def is_text(text: str) -> bool:
    """Whether it is one in every encoding of Unicode: of a command line, what is none is kept in halves of pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_bytes(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def span(milliseconds: float) -> str:
    """A length of time as people say it, its two largest units."""
    seconds = max(0, int(milliseconds // 1000))
    units = [("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60)]
    first = next((number for number, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for unit, count in units[first : first + 2] if count) or "0 s"


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped(character: str) -> str:
    if character in "\t\n\r" or unicodedata.category(character) not in _UNSAFE:
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
