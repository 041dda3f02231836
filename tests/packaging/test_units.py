"""The unit of systemd, as systemd itself reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.commands.cli import main
from gateway.process.supervisor import STOP_SECONDS
from gateway.settings.table import SETTINGS
from tests.conftest import absent
from tests.end_to_end.process import ROOT

PLACE = ROOT / "config" / "systemd"
UNIT = (PLACE / "gateway@.service").read_text()
MOST_EXPOSED = 15
"""In tenths, as `systemd-analyze security` counts: 0 may do nothing, 100 all."""


@pytest.fixture
def analyze(tmp_path: Path) -> list[str]:
    """`systemd-analyze`, and an instance of the unit whose program is one that is."""
    program = shutil.which("systemd-analyze") or absent("there is no systemd-analyze")
    unit = tmp_path / "gateway@1.service"
    unit.write_text(UNIT.replace("/opt/gateway/bin/gateway", "/bin/true"))
    return [program, str(unit)]


def test_systemd_understands_it(analyze: list[str]) -> None:
    program, unit = analyze
    done = subprocess.run([program, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if Path(unit).name in line] == []


def test_it_may_do_little(analyze: list[str]) -> None:
    program, unit = analyze
    options = ["security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED}"]
    done = subprocess.run([program, *options, unit], capture_output=True, text=True, check=False)
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        absent("this systemd-analyze cannot look at files")
    assert done.returncode == 0, done.stdout[-300:]


def test_its_sample_has_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(PLACE / "gateway.yaml")])
    assert ended.value.code in {0, None}


def test_it_has_time_to_drain_and_is_not_ended_before() -> None:
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    drain = next(setting.default for setting in SETTINGS if setting.key == "drain_time")
    assert int(seconds) >= drain + STOP_SECONDS
    # The supervisor alone gets SIGTERM.
    assert "\nKillMode=mixed\n" in UNIT


def test_the_guide_and_the_web_servers_go_by_its_ports_and_paths() -> None:
    guide = (ROOT / "docs/TLS.md").read_text()
    (ports,) = re.findall(r"--port (\d+)%i --admin-port (\d+)%i", UNIT)
    for number in (1, 2):
        public, admin = (f"{port}{number}" for port in ports)
        assert public in guide
        assert admin in guide
        for name in ("nginx/site.conf", "haproxy/haproxy.cfg", "caddy/Caddyfile"):
            assert f"127.0.0.1:{public}" in (ROOT / "config" / name).read_text()
    for path in ("/opt/gateway/bin/gateway", "/etc/gateway/gateway.yaml", "/etc/gateway/environment"):
        assert path in UNIT
        assert path in guide
    named = re.findall(r"(?<![\w/])config/[\w./@-]+\w", guide)
    assert len(named) >= 6
    for name in named:
        assert (ROOT / name).exists(), name
