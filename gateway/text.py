"""Makes text from untrusted clients safe for a terminal and a log line."""

from __future__ import annotations

import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode that steer a terminal, reorder what stands beside them, or show nothing."""


def printable(text: str) -> str:
    """The text on one line; whatever would steer a terminal or turn the direction of text is written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def is_text(text: str) -> bool:
    """Whether it is one in every encoding of Unicode: of a command line, what is none is kept in halves of pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
