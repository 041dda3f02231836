"""An object store that speaks S3 for real: SeaweedFS in one process, which a test kills, halts and starts again."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import httpx
from pyarrow import fs

from tests.services.kafka import free_port
from tests.services.process import ServiceProcess
from tests.services.programs import ENVIRONMENT

START_SECONDS = 90.0
PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
BUCKET = "archives"
RIGHTS = {"writer": ("Admin", "Read", "Write", "List", "Tagging"), "reader": ("Read", "List")}
"""Who may do what; names are access keys."""


def seaweed_program() -> Path | None:
    """The program, where it is installed."""
    program = ENVIRONMENT / "bin" / "weed"
    return program if program.exists() else None


class ObjectStore(ServiceProcess):
    """A store with one bucket in a directory, and its users."""

    def __init__(self, directory: Path, program: Path) -> None:
        super().__init__()
        self.port = free_port()
        identities = [
            {"name": name, "credentials": [{"accessKey": name, "secretKey": f"of-{name}"}], "actions": list(actions)}
            for name, actions in RIGHTS.items()
        ]
        (directory / "users.json").write_text(json.dumps({"identities": identities}))
        (directory / "data").mkdir()
        ports = [f"-{name}={free_port()}" for name in (*PORTS, "s3.port.grpc")]
        self._command = [
            str(program), "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports,
            "-filer", "-s3", f"-s3.port={self.port}", f"-s3.config={directory / 'users.json'}", "-s3.port.iceberg=0",
            "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=8", "-master.volumeSizeLimitMB=64",
        ]  # fmt: skip
        self._directory = directory

    def options(self, user: str = "writer") -> dict[str, str]:
        """How delta-rs reaches it, in the words of the setting."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": f"of-{user}",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        """Start it where it does not run, and let it go on where it was halted."""
        if self.go_on():
            return
        with (self._directory / "log").open("ab") as log:
            self.process = process = subprocess.Popen(self._command, cwd=self._directory, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert process.poll() is None, (self._directory / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the object store does not take files"
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            if httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=1).status_code != 200:
                return False
            files = fs.S3FileSystem(
                access_key="writer", secret_key="of-writer", endpoint_override=f"127.0.0.1:{self.port}", scheme="http",
                region="us-east-1", allow_bucket_creation=True, connect_timeout=1, request_timeout=5,
            )  # fmt: skip
            files.create_dir(BUCKET)
            with files.open_output_stream(f"{BUCKET}/ready") as out:
                out.write(b"yes")
        except (httpx.HTTPError, OSError):
            return False
        return True
