"""The container image, without an engine: what its Dockerfile says, and its build stage done in a directory. What that
makes is tried in an empty folder, as after `pip install`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings.table import Settings
from tests.end_to_end.process import ROOT, WAIT, environment
from tests.packaging.image import build, copied, health_check, stages
from tests.services.kafka import free_port

pytestmark = pytest.mark.end_to_end

READY = 4 * WAIT
"""The demo makes an hour of history first."""
WRITES = """
import os, sys

def note(event, arguments):
    writes = event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("os.mkdir", "os.rename", "os.remove", "sqlite3.connect"):
        sys.stderr.write(f"WRITES {os.path.abspath(os.fsdecode(arguments[0]))}\\n")

sys.addaudithook(note)
"""
"""As sitecustomize.py: tells what a program would write to. SQLite writes beside what it opens."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage makes."""
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def call(installed: Path, folder: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(installed / "bin" / "gateway"), *words]
    return subprocess.run(
        command, cwd=folder, env=environment(), input=given, capture_output=True, text=True, check=False, timeout=READY
    )


class Running:
    """A server in a folder, and what it says."""

    def __init__(self, installed: Path, folder: Path, *words: str, **variables: str) -> None:
        self.port = free_port()
        ports = {"GATEWAY_PORT": str(self.port), "GATEWAY_ADMIN_PORT": "0"}
        self._errors = folder.parent / "errors"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [installed / "bin" / "gateway", *words],
                cwd=folder,
                env=environment() | ports | variables,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.address = f"http://127.0.0.1:{self.port}"

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def ready(self) -> None:
        deadline = time.monotonic() + READY
        while True:
            try:
                if self.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self._process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.errors
            time.sleep(0.05)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """One request, whose answer may take its time."""
        return httpx.get(self.address + path, timeout=WAIT, **more)

    def becomes_healthy(self) -> None:
        """Wait until the health check is passed: it waits for no more than two seconds itself."""
        deadline = time.monotonic() + WAIT
        while self.check_health() != 0:
            assert time.monotonic() < deadline, self.errors

    def check_health(self) -> int:
        """The status of the image's health check."""
        python, *words = health_check()
        assert python == "python"
        return subprocess.run(
            [sys.executable, *words],
            env={"GATEWAY_PORT": str(self.port)},
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=WAIT,
        ).returncode

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WAIT)

    def clear_up(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def running() -> Iterator[list[Running]]:
    """What a test starts; ends with it."""
    started: list[Running] = []
    yield started
    for each in started:
        each.clear_up()


def test_the_base_is_pinned_and_that_of_both_stages() -> None:
    first, last = stages()
    assert first.base == last.base
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", first.base)


def test_it_runs_without_rights_and_ends_in_order() -> None:
    last = stages()[-1]
    names = [instruction.name for instruction in last.instructions]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last.value("USER"))
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert last.value("STOPSIGNAL") == "SIGTERM"
    assert last.value("ENTRYPOINT").startswith("["), "without a shell between, or the signal would not arrive"


def test_any_user_of_group_0_writes_the_volume() -> None:
    """OpenShift runs an image as a user that it has never heard of, in group 0."""
    (made,) = re.findall(r"install (-d [^&]*) /srv/gateway/var", " ".join(stages()[-1].values("RUN")))
    words = dict(zip((found := made.split()[1:])[::2], found[1::2], strict=True))
    assert words["-g"] in ("root", "0")
    mode = int(words["-m"], 8)
    assert mode & 0o070 == 0o070
    assert mode & 0o002 == 0, "and nobody else"
    if os.geteuid() != 0:
        return
    volume = Path(tempfile.mkdtemp())  # Not tmp_path, which is of its owner alone.
    try:
        os.chown(volume, 10001, 0)
        volume.chmod(mode)
        writes = ["sh", "-c", "touch events.db && mkdir more"]
        for user, group, status in ((10001, 10001, 0), (1234567, 0, 0), (1234567, 1234567, 1)):
            done = subprocess.run(
                writes, cwd=volume, user=user, group=group, extra_groups=[], stderr=subprocess.DEVNULL, check=False
            )
            assert done.returncode == status, (user, group)
            shutil.rmtree(volume / "more", ignore_errors=True)
            (volume / "events.db").unlink(missing_ok=True)
    finally:
        shutil.rmtree(volume)


def test_what_it_copies_is_there_and_no_tests_or_secrets_are() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    used = {source for stage in stages() for sources, _ in copied(stage) for source in sources}
    assert used == allowed
    assert all((ROOT / name).exists() for name in used)


def test_each_command_says_what_to_do_in_an_empty_folder(installed: Path, folder: Path) -> None:
    for line in ("serve", "check", "canary", "produce s", "schemas check", "mirror http://h s"):
        words = line.split()
        done = call(installed, folder, *words)
        assert done.returncode == 1, words
        assert "`gateway init` writes one with samples" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
    assert re.fullmatch(r"gateway, version \d+\.\d+\.\d+\n", call(installed, folder, "--version").stdout)


def test_a_folder_is_made_to_begin_with(installed: Path, folder: Path, running: list[Running]) -> None:
    done = call(installed, folder, "init")
    assert done.returncode == 0
    assert "gateway check" in done.stdout
    assert call(installed, folder, "init").stderr == "gateway init: config exists already; nothing was written\n"
    assert "no mistakes" in call(installed, folder, "check").stdout
    assert "no mistakes" in call(installed, folder, "schemas", "check", "--no-strict").stdout
    assert "CREATE TABLE" in call(installed, folder, "schemas", "sql", "wiki/change", "--dialect", "postgres").stdout
    server = Running(installed, folder, "serve")
    running.append(server)
    server.ready()
    event = server.get("/v2/schemas/wiki/change/1.0.0").json()["examples"][0]
    event["meta"]["stream"] = "wiki.change"
    assert httpx.post(f"{server.address}/v1/events", json=event, timeout=WAIT).status_code == 201
    tail = call(
        installed, folder, "tail", "wiki.change", "--server", server.address, "--since", "2000-01-01", "--limit", "1"
    )
    assert tail.returncode == 0
    assert '"/wiki/change/1.0.0"' in tail.stdout


def test_the_demo_runs_anywhere(installed: Path, folder: Path, running: list[Running]) -> None:
    demo = Running(installed, folder, "demo")
    running.append(demo)
    demo.ready()
    page = demo.get("/", headers={"accept": "text/html"})
    assert page.status_code == 200
    scripts = re.findall(r'src="([^"]+\.js)"', page.text)
    assert scripts
    assert all(demo.get(f"/{script.lstrip('/')}").status_code == 200 for script in scripts)
    assert call(installed, folder, "tail", "wiki.change", "--server", demo.address, "--limit", "2").returncode == 0
    assert demo.stop() == 0


def test_it_is_healthy_writes_to_its_volume_alone_and_drains(
    installed: Path, folder: Path, running: list[Running], tmp_path: Path
) -> None:
    assert call(installed, folder, "init").returncode == 0
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(WRITES)
    (tmp_path / "var").mkdir()
    log = f"sqlite:///{tmp_path}/var/events.db"
    server = Running(installed, folder, "serve", GATEWAY_LOG=log, PYTHONPATH=str(tmp_path / "hook"))
    running.append(server)
    server.ready()
    server.becomes_healthy()
    # The drain takes as long as httpx waits for the next bytes by itself.
    with httpx.stream("GET", f"{server.address}/v2/stream/wiki.change", timeout=WAIT) as response:
        lines = response.iter_lines()
        assert next(lines).startswith(":")
        server._process.send_signal(signal.SIGTERM)
        for _ in lines:  # To its end, which is one in order.
            pass
    assert server._process.wait(WAIT) == 0
    assert server.check_health() != 0
    written = set(re.findall(r"^WRITES (.*)$", server.errors, re.MULTILINE)) - {os.devnull}
    assert written
    assert {path for path in written if not path.startswith(str(tmp_path / "var"))} == set()


def test_no_variable_of_the_image_takes_precedence_over_a_mounted_configuration() -> None:
    last = stages()[-1]
    assert [value for value in last.values("ENV") if "GATEWAY_" in value] == []
    # The embedded log is in the volume all the same.
    assert f"{last.value('WORKDIR')}/{Settings().log.removeprefix('sqlite:///')}" == f"{last.value('VOLUME')}/events.db"


def test_all_that_builds_and_runs_it_is_locked() -> None:
    """Nothing is looked up at the index but by its hash: also what builds the gateway."""
    commands = [value for value in stages()[0].values("RUN") if " pip " in value]
    locked = [command for command in commands if "--require-hashes" in command]
    assert len(locked) == 2
    for command in commands:
        if command not in locked:
            assert "--no-deps" in command
            assert "--no-build-isolation" in command or "--no-index" in command
