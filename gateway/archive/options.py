"""The options of the archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.model.setting import MAXIMUM_BYTES, integer, row, seconds

REFRESH_SECONDS = 10.0
"""Seconds after which a reader reads the index anew: so long may an answer hold what has been erased."""


@dataclass(frozen=True)
class ArchiveOptions:
    """See the help of each."""

    archive: str | None = row(
        "text",
        None,
        "path or URL",
        "place for the tables of archived streams: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`",
    )
    archive_options: Mapping[str, Any] = row(
        "mapping",
        {},
        "",
        "how the store of the archive is reached, in the words of delta-rs, such as `AWS_ENDPOINT_URL`",
        file_only=True,
    )
    archive_interval: float = seconds(
        600.0, "interval at which new records are archived; longer intervals make fewer files", 1, 86_400
    )
    archive_file_bytes: int = integer(
        67_108_864, "bytes", "size at which a file of the archive ends", 1 << 20, MAXIMUM_BYTES
    )
    archive_vacuum: float = seconds(
        86_400.0, "time for which replaced files stay, for readers of older versions", 3600, 31_536_000
    )
