"""Recognises what keeps SQLite from using a file, by its own words and the system's."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from gateway.eventlog.trouble import Kind

LASTING = frozenset({Kind.NO_RIGHT, Kind.UNREADABLE, Kind.NEWER})
"""Troubles that do not pass: an operator must grant the right, or name another file. Disks get room, and locks are
released."""

_CODES = {
    sqlite3.SQLITE_FULL: Kind.DISK_FULL,
    sqlite3.SQLITE_BUSY: Kind.LOCKED,
    sqlite3.SQLITE_LOCKED: Kind.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Kind.LOCKED,
    sqlite3.SQLITE_READONLY: Kind.NO_RIGHT,
    sqlite3.SQLITE_PERM: Kind.NO_RIGHT,
    sqlite3.SQLITE_AUTH: Kind.NO_RIGHT,
    sqlite3.SQLITE_IOERR: Kind.DISK_FAILS,
    sqlite3.SQLITE_CORRUPT: Kind.UNREADABLE,
    sqlite3.SQLITE_NOTADB: Kind.UNREADABLE,
    # The file that was open is not there any more; the next use opens, or makes, the one that is.
    sqlite3.SQLITE_READONLY_DBMOVED: Kind.UNAVAILABLE,
}
_NUMBERS = {
    errno.EACCES: Kind.NO_RIGHT,
    errno.EPERM: Kind.NO_RIGHT,
    errno.EROFS: Kind.NO_RIGHT,
    errno.ENOSPC: Kind.DISK_FULL,
    errno.EDQUOT: Kind.DISK_FULL,
    errno.EIO: Kind.DISK_FAILS,
    errno.ENOTDIR: Kind.UNREADABLE,
    errno.EEXIST: Kind.UNREADABLE,
    errno.ELOOP: Kind.UNREADABLE,
}
"""Of the directory that the file is in."""


def kind_of(error: sqlite3.Error | OSError, path: Path) -> Kind:
    """Why the file at this path cannot be used."""
    if isinstance(error, OSError):
        return _NUMBERS.get(error.errno or 0, Kind.UNAVAILABLE)
    # The lower byte of an extended code is the code (sqlite.org/rescode.html).
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    code = extended & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN:
        return _unopened(path)
    return _CODES.get(extended) or _CODES.get(code, Kind.UNAVAILABLE)


def _unopened(path: Path) -> Kind:
    """SQLite says no more of what it cannot open; it may have run out of open files, which passes."""
    if path.is_dir():
        return Kind.UNREADABLE
    needed = [path.parent, *([path] if path.exists() else [])]
    return Kind.UNAVAILABLE if all(os.access(each, os.R_OK | os.W_OK) for each in needed) else Kind.NO_RIGHT
