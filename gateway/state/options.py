"""The settings of views."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from gateway.model.setting import integer, row


@dataclass(frozen=True)
class ViewOptions:
    """Where views are kept, and how large one may be."""

    view_directory: str | None = row(
        "text",
        None,
        "path",
        "directory of the files that views are kept in; by default beside the embedded log (`events.db-views`), with "
        "Kafka `var/views`",
    )
    view_keys: int = integer(
        10_000_000, "keys", "keys of one view, deleted ones within its history included", 1, 1_000_000_000
    )


def directory_of(options: ViewOptions, log: str) -> Path:
    """Where views of the log at this URL are kept."""
    if options.view_directory is not None:
        return Path(options.view_directory)
    embedded = "sqlite:///"
    return Path(f"{unquote(log.removeprefix(embedded))}-views") if log.startswith(embedded) else Path("var/views")
