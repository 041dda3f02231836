"""A real nginx with the repository's configuration, before gateways that tests start."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.machine import free_port

CONFIGURATION = Path(__file__).parent.parent.parent / "config" / "nginx"
UPSTREAMS = ("gateway-1:8080", "gateway-2:8080")
START_SECONDS = 60.0
HTTP2_LINE = (1, 25, 1)
"""The first version in which HTTP/2 has a line of its own."""
RESOLVE = (1, 27, 3)
"""The first that looks the names of an upstream up again."""


def nginx_program() -> str | None:
    """Where nginx is, if anywhere."""
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True, timeout=START_SECONDS).stderr
    return tuple(int(part) for part in said.rpartition("/")[2].split()[0].split("."))


def at_ports(ports: Sequence[int]) -> dict[str, str]:
    """What is replaced for gateways at these ports. An address needs no lookup, for which older nginx has no word."""
    return {
        f"server {name} max_fails=0 resolve;": f"server 127.0.0.1:{port} max_fails=0;"
        for name, port in zip(UPSTREAMS, ports, strict=True)
    }


def by_name(port: int, resolver: int) -> dict[str, str]:
    """What is replaced where the gateways have one port, and addresses that the resolver at another knows."""
    names = {f"server {name} ": f"server {name.partition(':')[0]}:{port} " for name in UPSTREAMS}
    return names | {"resolver 127.0.0.11 ": f"resolver 127.0.0.1:{resolver} "}


class Nginx:
    """nginx with the files of config/nginx. Addresses alone are replaced, and each must be found."""

    def __init__(self, program: str, directory: Path, replaced: Mapping[str, str], certificate: Path) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self._directory = directory
        shutil.copytree(CONFIGURATION, directory, dirs_exist_ok=True)
        (directory / "enabled").mkdir()
        (directory / "tls.conf").rename(directory / "enabled" / "tls.conf")
        (directory / "certificates").mkdir()
        shutil.copy(certificate, directory / "certificates" / "server.pem")
        self._replace("nginx.conf", {**replaced, "listen 8080 ": f"listen 127.0.0.1:{self.port} "})
        self._replace("enabled/tls.conf", {"listen 8443 ": f"listen 127.0.0.1:{self.tls_port} "})
        if _version(program) < HTTP2_LINE:
            self._replace("enabled/tls.conf", {" ssl backlog": " ssl http2 backlog", "    http2 on;\n": ""})
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f" {kind}_temp_path {kind};" for kind in kinds)
        self._replace("nginx.conf", {"http {": f"http {{{paths}", "/dev/stdout": "access.log"})
        # Its workers write into a directory of the tests, which another user may not enter.
        user = " user root;" if os.geteuid() == 0 else ""
        self._replace("nginx.conf", {"worker_processes auto;": f"worker_processes 1;{user}"})
        arguments = ["-p", f"{directory}/", "-c", "nginx.conf", "-e", "stderr"]
        self._command = [program, *arguments, "-g", "daemon off; pid nginx.pid;"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """The lines of the access log."""
        return (self._directory / "access.log").read_text()

    def start(self) -> None:
        """Returns when it listens."""
        with (self._directory / "errors").open("wb") as errors:
            self._process = subprocess.Popen(self._command, stderr=errors, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not (self._directory / "nginx.pid").exists() or not (self._directory / "nginx.pid").read_text():
            said = (self._directory / "errors").read_text()
            assert self._process.poll() is None, f"nginx has ended: {said}"
            assert "[warn]" not in said, said
            assert time.monotonic() < deadline, f"nginx has not started: {said}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)

    def _replace(self, name: str, words: Mapping[str, str]) -> None:
        path = self._directory / name
        text = path.read_text()
        for word, replacement in words.items():
            assert text.count(word) == 1, f"{name}: {word!r}"
            text = text.replace(word, replacement)
        path.write_text(text)
