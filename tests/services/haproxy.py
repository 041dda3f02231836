"""A real HAProxy with the configuration that OPERATING.md shows."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from loadtests.machine import free_port

GUIDE = Path(__file__).parent.parent.parent / "docs" / "OPERATING.md"
CHECK = "option httpchk GET /healthz"
WAIT = 60.0


def haproxy_program() -> str | None:
    """Where HAProxy is, if anywhere."""
    return shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def shown() -> str:
    """The configuration in the guide."""
    section = GUIDE.read_text().partition("\n### HAProxy\n")[2].partition("\n## ")[0]
    return textwrap.dedent("\n".join(line for line in section.splitlines() if line.startswith("    "))) + "\n"


class HAProxy:
    """HAProxy with the guide's configuration. Addresses alone are replaced, and the check where another is given."""

    def __init__(self, program: str, directory: Path, ports: Sequence[int], check: str = CHECK) -> None:
        directory.mkdir()
        self.port = free_port()
        self._socket = directory / "stats"
        self._errors = directory / "errors"
        text = shown()
        addresses = [f"10.0.0.{number}:8080" for number in range(1, len(ports) + 1)]
        replaced = dict(zip(addresses, (f"127.0.0.1:{port}" for port in ports), strict=True))
        replaced |= {"bind :80": f"bind 127.0.0.1:{self.port}", CHECK: check}
        for word, replacement in replaced.items():
            assert text.count(word) == 1, word
            text = text.replace(word, replacement)
        file = directory / "haproxy.cfg"
        file.write_text(f"global\n    stats socket {self._socket} level user\n{text}")
        self._command = [program, "-W", "-f", str(file)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """What it wrote."""
        return self._errors.read_text()

    def start(self) -> None:
        """Returns when it listens. A warning about the configuration is a failure."""
        checked = subprocess.run(
            [*self._command[:1], "-c", *self._command[2:]], capture_output=True, text=True, timeout=WAIT, check=False
        )
        assert checked.returncode == 0, checked.stderr
        assert "WARNING" not in checked.stderr, checked.stderr
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(self._command, stdout=errors, stderr=errors)
        deadline = time.monotonic() + WAIT
        while not self._socket.exists():
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, "HAProxy has not started"
            time.sleep(0.02)

    def servers(self) -> dict[str, tuple[str, str]]:
        """Each server of the back end: its status, and what its last check gave."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(WAIT)
            connection.connect(str(self._socket))
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        rows = csv.DictReader(text.removeprefix("# ").strip().splitlines())
        found = [row for row in rows if row["pxname"] == "gateways" and row["svname"] != "BACKEND"]
        return {
            row["svname"]: (row["status"], f"{row['check_status'].lstrip('* ')} {row['check_code']}") for row in found
        }

    def stop(self) -> None:
        """End it, and its worker."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT)
