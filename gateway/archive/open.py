"""Opens the archives of streams. Arrow and Delta are loaded only where there are such, since they are large."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gateway.archive.options import ArchiveOptions

if TYPE_CHECKING:
    from gateway.archive.archive import Archive

EXTRA = "archive"


def missing_libraries() -> list[str]:
    """Those that archives need and that are not installed."""
    return [name for name in ("pyarrow", "deltalake") if find_spec(name) is None]


def table_uri(place: str, stream: str) -> str:
    """Where the table of a stream is: its path ends with the stream's name."""
    return f"{place.removeprefix('file://').rstrip('/')}/{stream}"


def open_archive(options: ArchiveOptions, stream: str) -> Archive:
    """The archive of a stream. The store is asked at the first use, and not now."""
    from gateway.archive.archive import Archive
    from gateway.archive.store import Store
    from gateway.archive.table import Table

    assert options.archive is not None
    uri, words = table_uri(options.archive, stream), _words(options.archive_options)
    table = Table(uri, words)
    return Archive(stream, table, Store(uri, table.options))


def has_table(options: ArchiveOptions, stream: str) -> bool:
    """Whether there is a table of a stream, which may be archived no longer. Raises LogUnavailable."""
    table = open_archive(options, stream).table
    table.refresh()
    return table.version >= 0


def _words(options: Mapping[str, object]) -> dict[str, str]:
    """Options as delta-rs takes them: texts."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()}
