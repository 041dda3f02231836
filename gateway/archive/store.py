"""Where the files of a table are: a directory, or an object store.

Arrow's own file systems are used, and not those of delta-rs: these hold Python's global lock while they wait for a
store.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import fs

COPY_BYTES = 8 * 1024 * 1024
"""Of a file on its way to a store."""
CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 3.0, 20.0, 3
"""Bounds of a request to a store."""


def _file_system(uri: str, options: Mapping[str, str]) -> tuple[str, Any]:
    """The path in its file system, and the file system. S3 is reached by the options of delta-rs, the others by what
    the environment says."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri, fs.LocalFileSystem()
    if scheme not in ("s3", "s3a"):
        system, path = fs.FileSystem.from_uri(f"abfs://{rest}" if scheme in ("az", "azure", "adl") else uri)
        return path, system
    given = {name.lower().removeprefix("aws_"): value for name, value in options.items()}
    endpoint = given.get("endpoint_url") or given.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL") or ""
    protocol, _, host = endpoint.rpartition("://")
    return rest.rstrip("/"), fs.S3FileSystem(
        access_key=given.get("access_key_id"),
        secret_key=given.get("secret_access_key"),
        session_token=given.get("session_token") or given.get("token"),
        region=given.get("region") or given.get("default_region") or os.environ.get("AWS_REGION"),
        endpoint_override=host.rstrip("/") or None,
        scheme=protocol or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        background_writes=False,
    )


class Store:
    """The place where the files of a table are: a directory, or what `options` reach. Raises OSError."""

    def __init__(self, uri: str, options: Mapping[str, str]) -> None:
        self.uri = uri
        self.is_local = "://" not in uri
        self._system = fs.SubTreeFileSystem(*_file_system(uri, options))

    def spool(self) -> IO[bytes]:
        """A local file to write to, until its name is known. What a crash leaves of it, `vacuum` takes."""
        if not self.is_local:
            return tempfile.TemporaryFile()
        Path(self.uri).mkdir(parents=True, exist_ok=True)
        return open(Path(self.uri, f"spool-{uuid.uuid4().hex}.parquet"), "w+b")

    def keep(self, spooled: IO[bytes], path: str) -> int:
        """Put a spooled file at its path, so that it outlives a crash; returns its size in bytes."""
        spooled.flush()
        size = spooled.tell()
        if self.is_local:
            whole = Path(self.uri, path)
            whole.parent.mkdir(exist_ok=True)
            os.fsync(spooled.fileno())
            os.rename(spooled.name, whole)
            for directory in (whole.parent, whole.parent.parent):
                _sync_directory(directory)
        else:
            spooled.seek(0)
            with self._system.open_output_stream(path) as out:
                shutil.copyfileobj(spooled, out, COPY_BYTES)
        return size

    def discard(self, spooled: IO[bytes]) -> None:
        """Close a spooled file, and delete it if it was not kept."""
        with suppress(OSError):  # What waits to be written may not fit on the disk.
            spooled.close()
        if self.is_local:
            with suppress(OSError):
                os.unlink(spooled.name)

    def open(self, path: str) -> Any:
        """A file to read. Raises FileNotFoundError."""
        return self._system.open_input_file(path)

    def delete(self, path: str) -> None:
        """Delete a file that no commit names; what cannot be deleted stays for `vacuum`."""
        with suppress(OSError, pa.ArrowException):
            self._system.delete_file(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
