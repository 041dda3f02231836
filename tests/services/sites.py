"""The web servers with TLS that docs/TLS.md sets up, each with the file of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx

from loadtests.machine import free_port
from tests.conftest import absent
from tests.services.haproxy import haproxy_program
from tests.services.nginx import nginx_program

CONFIGURATION = Path(__file__).parent.parent.parent / "config"
CACHED_CADDY = CONFIGURATION.parent / ".cache" / "caddy" / "caddy"
PORTS = (8081, 8082)
"""Those of the gateways in the files."""
NAME = "stream.example.org"
START_SECONDS = 60.0

ROOT_ALONE = "    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n"
NGINX = """\
worker_processes 1;
error_log stderr;
pid nginx.pid;
events { worker_connections 768; }
http {
    # As Debian's does, for all sites.
    gzip on;
    # Its own place is root's alone.
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include site.conf;
}
"""


class Ports(NamedTuple):
    """Where a site listens."""

    secure: int
    plain: int


def replaced(path: Path, words: Mapping[str, str]) -> str:
    """A file of the repository with other addresses; each must be found."""
    text = path.read_text()
    for word, replacement in words.items():
        assert word in text, f"{path.name}: {word!r}"
        text = text.replace(word, replacement)
    return text


def nginx(directory: Path, ports: Ports, gateways: list[int], certificate: Path) -> list[str]:
    """Debian's."""
    program = nginx_program() or absent("there is no nginx")
    words = {
        "listen 80;": f"listen 127.0.0.1:{ports.plain};",
        "    listen [::]:80;\n": "",
        "listen 443 ": f"listen 127.0.0.1:{ports.secure} ",
        "    listen [::]:443 ssl http2 backlog=4096;\n": "",
        f"/etc/letsencrypt/live/{NAME}/fullchain.pem": str(certificate),
        f"/etc/letsencrypt/live/{NAME}/privkey.pem": str(certificate),
        "/var/cache/nginx-gateway": str(directory / "cache"),
        "/var/log/nginx/gateway.log": str(directory / "access.log"),
        "/var/www/html": str(directory),
        **_gateways(gateways, "    server 127.0.0.1:{} max_fails=0;\n"),
    }
    (directory / "site.conf").write_text(replaced(CONFIGURATION / "nginx" / "site.conf", words))
    shutil.copy(CONFIGURATION / "nginx" / "gateway.conf", directory)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(user + NGINX)
    return [program, "-p", f"{directory}/", "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]


def haproxy(directory: Path, ports: Ports, gateways: list[int], certificate: Path) -> list[str]:
    """Debian's, too."""
    program = haproxy_program() or absent("there is no haproxy")
    words = {
        "maxconn 60000": "maxconn 1000",
        # Only root can become another user.
        ROOT_ALONE: ROOT_ALONE if os.geteuid() == 0 else "",
        "bind :80\n": f"bind 127.0.0.1:{ports.plain}\n",
        "bind :443 ssl crt /etc/haproxy/certificates/": f"bind 127.0.0.1:{ports.secure} ssl crt {certificate}",
        "    server one 127.0.0.1:8081\n": f"    server one 127.0.0.1:{gateways[0]}\n",
        "    server two 127.0.0.1:8082\n": f"    server two 127.0.0.1:{gateways[1]}\n" if gateways[1:] else "",
    }
    (directory / "haproxy.cfg").write_text(replaced(CONFIGURATION / "haproxy" / "haproxy.cfg", words))
    return [program, "-db", "-f", str(directory / "haproxy.cfg")]


def caddy(directory: Path, ports: Ports, gateways: list[int], certificate: Path) -> list[str]:
    """Debian's, out of its package."""
    program = shutil.which("caddy") or (str(CACHED_CADDY) if CACHED_CADDY.exists() else absent("there is no caddy"))
    options = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\thttp_port {ports.plain}\n}}\n"
    words = {
        f"{NAME} {{": f"https://127.0.0.1:{ports.secure} {{\n\ttls {certificate} {certificate}",
        "127.0.0.1:8081 127.0.0.1:8082": " ".join(f"127.0.0.1:{port}" for port in gateways),
    }
    (directory / "Caddyfile").write_text(options + replaced(CONFIGURATION / "caddy" / "Caddyfile", words))
    return [program, "run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]


SITES: dict[str, Callable[[Path, Ports, list[int], Path], list[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
}


def _gateways(ports: list[int], line: str) -> dict[str, str]:
    """The line of each gateway; of one that is not there, none."""
    given = [line.format(port) for port in ports] + [""] * (len(PORTS) - len(ports))
    return dict(zip((line.format(port) for port in PORTS), given, strict=True))


class Site:
    """A web server before these gateways."""

    def __init__(self, kind: str, directory: Path, gateways: list[int], certificate: Path) -> None:
        directory.mkdir()
        self.ports = Ports(free_port(), free_port())
        self.directory = directory
        self._command = SITES[kind](directory, self.ports, gateways, certificate)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For clients."""
        return f"https://127.0.0.1:{self.ports.secure}"

    @property
    def said(self) -> str:
        """What it wrote."""
        return (self.directory / "errors").read_text()

    def start(self) -> None:
        """Returns when it listens."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory)}
        with (self.directory / "errors").open("wb") as errors:
            self._process = subprocess.Popen(self._command, cwd=self.directory, env=own, stdout=errors, stderr=errors)
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process.poll() is None, self.said
            try:
                httpx.get(f"http://127.0.0.1:{self.ports.secure}", trust_env=False)
            except httpx.ConnectError:
                assert time.monotonic() < deadline, self.said
                time.sleep(0.02)
            except httpx.TransportError:
                return  # It listens, and wants TLS.
            else:
                return

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
