"""The commands of docs/TLS.md and docs/UPGRADES.md, run in a folder instead of the root.

What a test may not do on somebody's machine is done by small programs that note how they were called: apt-get, certbot,
systemctl, and the installation by pip, which tests/packaging/test_install_guide.py tries.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.machine import free_port
from tests.conftest import absent
from tests.end_to_end.process import ROOT, WAIT, environment
from tests.services.haproxy import haproxy_program
from tests.services.nginx import nginx_program

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]

DOMAIN = "events.example.org"
SYSTEM = ("/etc/", "/opt/", "/var/")
NOTES = '#!/bin/sh\necho "$(basename "$0") $*" >>{calls}\n'
CERTBOT = (
    NOTES
    + """\
lineage={root}/etc/letsencrypt/live/$DOMAIN
mkdir -p "$lineage"
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj "/CN=$DOMAIN" -keyout "$lineage/privkey.pem" \
    -out "$lineage/fullchain.pem" 2>/dev/null
while [ $# -gt 0 ]; do
    [ "$1" != --deploy-hook ] || RENEWED_LINEAGE=$lineage sh -ec "$2"
    shift
done
"""
)
PYTHON = (
    NOTES
    + """\
mkdir -p "$3/bin"
ln -sf {root}/bin/notes "$3/bin/pip"
printf '#!/bin/sh\\nexec "{python}" -m gateway "$@"\\n' >"$3/bin/gateway"
chmod +x "$3/bin/gateway"
"""
)


class Host:
    """A folder that stands for the root, with the repository's files in `repository`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._calls = root / "calls"
        self._calls.touch()
        programs = root / "bin"
        programs.mkdir()
        words = {"calls": str(self._calls), "root": str(root), "python": sys.executable}
        for name, text in {"certbot": CERTBOT, "python3": PYTHON, "notes": NOTES}.items():
            (programs / name).write_text(re.sub(r"\{(calls|root|python)\}", lambda found: words[found[1]], text))
            (programs / name).chmod(0o755)
        for name in ("apt-get", "systemctl", "curl"):
            (programs / name).symlink_to("notes")
        for folder in ("etc/nginx/sites-enabled", "etc/nginx/modules-enabled", "etc/haproxy", "etc/caddy",
                       "etc/systemd/system", "opt", "var/lib/haproxy", "var/www/html", "var/log/nginx",
                       "var/cache"):  # fmt: skip
            (root / folder).mkdir(parents=True)
        self.repository = root / "repository"
        for file in [*ROOT.glob("config/**/*"), ROOT / "pyproject.toml"]:
            if file.is_file():
                copy = self.repository / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self.here(file.read_text()))

    def here(self, text: str) -> str:
        """The text with the system's places in the folder."""
        for place in SYSTEM:
            text = re.sub(rf"(?<![\w/.]){place}", f"{self.root}{place}", text)
        return text

    def runs(self, text: str, **variables: str) -> str:
        """What the commands write; each must end well."""
        path = f"{self.root}/bin:/usr/sbin:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-ec", self.here(text)],
            cwd=self.repository,
            env=environment() | {"PATH": path, "PYTHONPATH": str(ROOT), "DOMAIN": DOMAIN} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * WAIT,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def calls(self) -> list[str]:
        """How the programs were called since they were asked for last."""
        found = self._calls.read_text().replace(str(self.root), "").splitlines()
        self._calls.write_text("")
        return found


@pytest.fixture
def host(tmp_path: Path, openssl: str) -> Host:
    assert openssl
    return Host(tmp_path)


def blocks(guide: str, heading: str) -> list[str]:
    """The commands under a heading of a guide."""
    section = (ROOT / "docs" / guide).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found
    return found


def test_the_service_is_installed_checked_and_upgraded(host: Host) -> None:
    install, start = blocks("TLS.md", "The service")
    host.runs(install)
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert (host.root / "opt/gateway").readlink() == Path(f"gateway-{version[1]}")
    assert (host.root / "etc/systemd/system/gateway@.service").is_file()
    assert [line.partition(" ")[0] for line in host.calls()] == ["apt-get", "python3", "pip", "pip"]
    assert "no mistakes" in host.runs(start)
    assert host.calls()[:2] == ["systemctl daemon-reload", "systemctl enable --now gateway@1"]

    (beside,), (restart, *_) = blocks("UPGRADES.md", "Before"), blocks("UPGRADES.md", "One after another")
    said = host.runs(beside)
    assert f"gateway, version {version[1]}" in said
    assert "no mistakes" in said
    host.calls()
    (host.root / "opt/gateway").unlink()
    host.runs(restart, VERSION=version[1])
    assert (host.root / "opt/gateway").readlink() == Path(f"gateway-{version[1]}")
    restarted, asked, again, *_ = host.calls()
    assert (restarted, again) == ("systemctl restart gateway@1", "systemctl restart gateway@2")
    assert "http://127.0.0.1:9091/readyz" in asked


def test_a_configuration_with_variables_is_checked_in_a_shell(host: Host) -> None:
    """The sentence on `gateway check` in both guides."""
    host.runs(blocks("TLS.md", "The service")[0])
    path = host.root / "etc/gateway/gateway.yaml"
    path.write_text(
        path.read_text() + "intake_token: required\nstatic_tokens: {a: {sha256: '${DIGEST}', read: ['*']}}\n"
    )
    (host.root / "etc/gateway/environment").write_text(f"DIGEST={'0' * 64}\n")
    (known,) = set(
        re.findall(
            r"`(set -a; .*?set \+a)`", "".join((ROOT / "docs" / name).read_text() for name in ("TLS.md", "UPGRADES.md"))
        )
    )
    check = "/opt/gateway/bin/gateway check --config /etc/gateway/gateway.yaml"
    assert "DIGEST is not set" in host.runs(f"{check} || true")
    assert "no mistakes" in host.runs(f"{known}; {check}")


def test_nginx(host: Host) -> None:
    if nginx_program() is None:
        absent("there is no nginx")
    (commands,) = blocks("TLS.md", "nginx")
    main = host.root / "etc/nginx/nginx.conf"
    # Its own places are root's alone.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {host.root}/{kind}; " for kind in kinds)
    main.write_text(
        f"include {host.root}/etc/nginx/modules-enabled/*.conf;\npid {host.root}/nginx.pid;\nerror_log stderr;\n"
        "events {\n    worker_connections 768;\n}\n"
        f"http {{ access_log off; {paths}include {host.root}/etc/nginx/sites-enabled/*; }}\n"
    )
    (host.root / "etc/nginx/sites-enabled/default").touch()
    # Ports that anybody may have, and that nobody has.
    repository = host.repository / "config/nginx/site.conf"
    ports = {"80": str(free_port()), "443": str(free_port())}
    repository.write_text(
        re.sub(r"(listen (?:\[::\]:)?)(80|443)\b", lambda m: m[1] + ports[m[2]], repository.read_text())
    )
    host.runs(commands.replace("nginx -t", f"nginx -t -p {host.root}/etc/nginx -c {main}"))
    assert "worker_connections 30000;" in main.read_text()
    assert not (host.root / "etc/nginx/sites-enabled/default").exists()
    site = (host.root / "etc/nginx/sites-enabled/gateway").read_text()
    assert DOMAIN in site
    assert "stream.example.org" not in site
    assert host.calls()[-2:] == ["systemctl reload nginx", "systemctl restart nginx"]


def test_haproxy_has_a_certificate_before_certbot_has(host: Host) -> None:
    if haproxy_program() is None:
        absent("there is no haproxy")
    (commands,) = blocks("TLS.md", "HAProxy")
    before, certbot, after = commands.partition("certbot certonly")
    host.runs(before)
    pem = host.root / "etc/haproxy/certificates/gateway.pem"
    first = pem.read_text()
    assert first.count("-----BEGIN") == 2
    assert pem.stat().st_mode & 0o077 == 0 or pem.parent.stat().st_mode & 0o077 == 0
    # It is ready to pass the challenge on before certbot asks.
    assert host.calls()[-1] == "systemctl restart haproxy"
    host.runs(certbot + after)
    renewed = pem.read_text()
    assert renewed.count("-----BEGIN") == 2
    assert renewed != first
    assert [line for line in host.calls() if line.startswith("systemctl")] == ["systemctl reload haproxy"]
    host.runs("haproxy -c -f /etc/haproxy/haproxy.cfg")


def test_caddy(host: Host) -> None:
    (commands,) = blocks("TLS.md", "Caddy")
    host.runs(commands)
    file = (host.root / "etc/caddy/Caddyfile").read_text()
    assert f"\n{DOMAIN} {{\n" in file
    assert "stream.example.org" not in file
    assert host.calls() == ["apt-get install -y caddy", "systemctl reload caddy"]
