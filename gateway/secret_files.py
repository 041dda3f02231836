"""Reads secrets from files, as Docker, Kubernetes and systemd give them."""

from __future__ import annotations

import stat
from pathlib import Path

SECRET_BYTES = 65_536
"""A longer file is none that holds a secret."""


def read_secret(place: str) -> str:
    """The text of a file without the end of its last line. Raises ValueError, which says why it cannot be used and
    repeats nothing of it."""
    path = Path(place)
    try:
        # Opening a pipe that nobody writes to would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{place} is no regular file")
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES + 1)
        text = content.decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{place} cannot be read ({(error.strerror or str(error)).lower()})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{place} is not UTF-8") from None
    if len(content) > SECRET_BYTES:
        raise ValueError(f"{place} is longer than {SECRET_BYTES:,} bytes")
    if not text.strip():
        raise ValueError(f"{place} is empty")
    return text
