"""The commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gateway.commands import check
from gateway.commands.cli import COMMANDS as MODULES
from gateway.commands.cli import main
from gateway.settings.relations import told_memory
from gateway.settings.table import SETTINGS, Settings

COMMANDS = sorted(MODULES)
GOOD = """
streams:
  page.edit:
    description: Every edit.
    topics: [one.page.edit]
"""
BROKEN = """\
prot: 1
heartbeat: fast
ring_bytes: 1.0e999
streams:
  page.edit:
    topics: [one]
    resume: sideways
  page.create:
    stream_aliases: [page.edit]
"""


def run(*arguments: str, text: str | None = None) -> Result:
    """A command, without the variables of whoever runs the tests."""
    clean = {setting.variable: None for setting in SETTINGS if setting.variable}
    return CliRunner(env=clean).invoke(main, list(arguments), input=text, catch_exceptions=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration without mistakes."""
    (tmp_path / "schemas").mkdir()
    path = tmp_path / "gateway.yaml"
    path.write_text(f"log: sqlite:///{tmp_path}/events.db\nschema_repositories: [{tmp_path}/schemas]\n{GOOD}")
    return path


def test_check_of_a_good_configuration(config: Path) -> None:
    result = run("check", "--config", str(config))
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == f"{config}: 1 stream, no mistakes"


def test_check_tells_the_memory_as_a_start_does(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = told_memory(Settings(), None)
    monkeypatch.setattr(check, "memory_limit", lambda: 1 << 40)
    assert run("check", "--config", str(config)).output.splitlines()[0] == told
    monkeypatch.setattr(check, "memory_limit", lambda: 300 << 20)
    warning, line, _ = run("check", "--config", str(config)).output.splitlines()
    assert warning.startswith("warning: ")
    assert "300 MB" in warning
    assert line == told


def test_check_of_the_configuration_that_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    result = run("check")
    assert result.exit_code == 0, result.output
    assert "warning" not in result.output


def test_check_prints_every_mistake_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    result = run("check", "--config", str(path))
    assert result.exit_code == 1
    for line, word in ((1, "did you mean port"), (2, "heartbeat"), (3, "ring_bytes"), (7, "resume"), (9, "page.edit")):
        assert any(one.startswith(f"{path}:{line}: ") and word in one for one in result.output.splitlines()), (
            line,
            result.output,
        )
    # The number of line 3 is none of JSON, and none that the setting takes.
    assert "6 mistakes" in result.output


def test_check_of_a_broken_syntax(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("streams:\n  a: [\n")
    result = run("check", "--config", str(path))
    assert result.exit_code == 1
    assert f"{path}:" in result.output


def test_check_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    result = run("check", "--config", str(path))
    assert result.exit_code == 1
    assert f"--config: {path}" in result.output


def test_check_warns_of_keys_that_are_not_used(config: Path) -> None:
    config.write_text(config.read_text() + "    destination_event_service: eventgate\n")
    result = run("check", "--config", str(config))
    assert result.exit_code == 0
    assert f"warning: {config}:8: " in result.output


def test_check_warns_of_a_stream_whose_ids_could_not_come_back(config: Path) -> None:
    config.write_text(config.read_text() + "    partitions: 40\n")
    assert "last_event_id_max" not in run("check", "--config", str(config)).output
    config.write_text(f"last_event_id_max: 700\n{config.read_text()}")
    result = run("check", "--config", str(config))
    assert result.exit_code == 0
    assert re.search(r"warning: .*40 partitions, more than last_event_id_max \(700\)", result.output)


def test_check_of_a_stream_whose_schema_is_nowhere(config: Path) -> None:
    config.write_text(config.read_text() + "    schema_title: page/edit\n")
    result = run("check", "--config", str(config))
    assert result.exit_code == 1
    assert "page/edit" in result.output


def test_check_tells_the_line_of_a_schema_that_is_nowhere(config: Path) -> None:
    config.write_text(config.read_text() + "    schema_title: /^page/\n")
    result = run("check", "--config", str(config))
    assert result.output.splitlines()[0].startswith(f"{config}:8: page.edit: schema_title is /^page/, which matches no")
    assert "no title" in result.output


@pytest.mark.parametrize("command", ["check", "serve"])
def test_an_error_stream_that_takes_nothing(command: str, config: Path) -> None:
    for name, told in (("page.edit", "takes no events"), ("page.edti", "did you mean page.edit?")):
        result = run(command, "--config", str(config), "--error-stream", name)
        assert result.exit_code == 1
        assert result.output.startswith(f"--error-stream: error_stream is {name}, ")
        assert told in result.output


def test_without_any_schema_repository_streams_can_be_read(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    lines = [line for line in config.read_text().splitlines() if "schema_repositories" not in line]
    config.write_text("\n".join([*lines, "    schema_title: page/edit", ""]))
    result = run("check", "--config", str(config))
    assert result.exit_code == 0
    assert f"warning: {config}:7: page.edit: schema_title is page/edit, which is in no schema" in result.output


def test_the_help_of_all() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert {"check", "demo", "produce", "serve"} <= set(COMMANDS)
    assert all(name in result.output for name in COMMANDS)
    assert run("-h").output == result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_can_be_read(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith(f"Usage: main {command}")
    found = main.get_command(click.Context(main), command)
    assert found is not None
    assert found.help
    assert found.name == command
    assert max(map(len, lines)) <= 110
    assert not any(word in result.output for word in ("None", "Sentinel", "<gateway", "schema_repositories "))


def test_serve_knows_every_flag() -> None:
    output = run("serve", "--help").output
    assert all(setting.flag is None or f"{setting.flag} " in output for setting in SETTINGS)
    words = " ".join(output.split())
    assert "--heartbeat SECONDS silence after which a stream sends a heartbeat [0.05 to 3600; default: 15]" in words
    assert "--log-format text|json" in words
    assert "default: sqlite:///var/events.db" in words
    assert "default: sqlite:///var/events.db" not in run("demo", "--help").output


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag(command: str) -> None:
    result = run(command, "--prot", "1")
    assert result.exit_code == 2
    assert "--prot" in result.output


def test_an_unknown_command() -> None:
    result = run("serv")
    assert result.exit_code == 2
    assert "serv" in result.output


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_bad_flag_is_told_before_anything_is_opened(command: str, config: Path) -> None:
    result = run(command, "--config", str(config), "--port", "http", "--heartbeat", "-1")
    assert result.exit_code == 1
    assert "--port: " in result.output
    assert "--heartbeat: " in result.output
    assert not (config.parent / "events.db").exists()


def test_the_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("gateway, version ")


def test_init_writes_what_a_newcomer_needs_and_no_more(tmp_path: Path) -> None:
    result = run("init", str(tmp_path))
    assert result.exit_code == 0
    config = tmp_path / "config"
    assert sorted(path.name for path in config.iterdir()) == ["gateway.yaml", "schemas"]
    assert (config / "schemas/wiki/change/1.0.0.yaml").is_file()
    place = ["--config", str(config / "gateway.yaml"), "--schemas", str(config / "schemas")]
    assert "no mistakes" in run("check", *place).output
    again = run("init", str(tmp_path))
    assert again.exit_code == 1
    assert again.output == f"gateway init: {config} exists already; nothing was written\n"


def test_produce_into_an_unknown_stream(config: Path) -> None:
    result = run("produce", "page.edti", "--config", str(config), text="{}\n")
    assert result.exit_code == 1
    assert "did you mean page.edit?" in result.output


def test_produce_into_a_stream_that_takes_nothing(config: Path) -> None:
    result = run("produce", "page.edit", "--config", str(config), text='{"a":1}\nno json\n')
    assert result.exit_code == 1
    assert result.output == "gateway produce: page.edit takes no events, since it has no schema_title\n"


def test_produce_validates_each_line_behind_those_passed_over(tmp_path: Path) -> None:
    assert run("init", str(tmp_path)).exit_code == 0
    config = tmp_path / "config"
    place = ["--config", str(config / "gateway.yaml"), "--schemas", str(config / "schemas")]
    place += ["--log", f"sqlite:///{tmp_path}/events.db"]
    result = run("produce", "wiki.change", "--skip", "1", *place, text='not looked at\n{"a":1}\nno json\n')
    assert result.exit_code == 1
    assert "line 2: /$schema: it is missing" in result.output
    assert "line 3: not JSON" in result.output
    assert "0 stored, 2 invalid" in result.output
    short = run("produce", "wiki.change", "--skip", "5", *place, text="one\n")
    assert "the input has 1 line, and --skip passes over 5" in short.output
    array = run("produce", "wiki.change", *place, text="[{},\n{}\n{}]")
    assert array.exit_code == 1
    assert "event 2 (line 2): /$schema: it is missing" in array.output
    assert "gateway produce: line 3: neither a comma nor the end of the array follows the event" in array.output
    assert "event 3 is the first that may not be stored: continue with the same input and --skip 2" in array.output


def test_produce_takes_paths_for_key_and_timestamp(config: Path) -> None:
    for flag in ("--key", "--timestamp"):
        result = run("produce", "page.edit", flag, "a..b", "--config", str(config), text="{}\n")
        assert result.exit_code == 1
        assert f"{flag}: 'a..b' is not a path" in result.output
    assert not (config.parent / "events.db").exists()


def test_mirror_into_an_unknown_stream(config: Path) -> None:
    result = run("mirror", "http://127.0.0.1:1/v2/stream/x", "page.edti", "--config", str(config))
    assert result.exit_code == 1
    assert "did you mean page.edit?" in result.output


def test_a_demo_of_what_is_no_address_serves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "demo.db"
    result = run("demo", "--from", "stream.example/v2", "--log", f"sqlite:///{log}")
    assert result.exit_code == 1
    assert "'stream.example/v2' is not an address" in result.output
    assert "The gateway serves" not in result.output
    assert not log.exists()


def test_a_mirror_into_a_stream_that_is_not_json(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("schema_registry: {url: 'http://127.0.0.1:1'}\nstreams: {orders: {format: avro}}\n")
    result = run("mirror", "http://127.0.0.1:1/v2/stream/x", "orders", "--config", str(config))
    assert (result.exit_code, "orders is avro, and what is copied is JSON" in result.output) == (1, True)


def test_a_mirror_of_what_is_no_address(config: Path) -> None:
    result = run("mirror", "stream.example/v2", "page.edit", "--config", str(config))
    assert result.exit_code == 1
    assert "'stream.example/v2' is not an address" in result.output


def test_a_mirror_whose_arguments_are_no_text_or_in_the_wrong_order(config: Path) -> None:
    swapped = run("mirror", "page.edit", "http://127.0.0.1:1/v2/stream/x", "--config", str(config))
    assert (swapped.exit_code, "the address comes before the stream" in swapped.output) == (1, True)
    for more in (("http://127.0.0.1:1/\udcff",), ("http://127.0.0.1:1/", "--name", "\udcff")):
        result = run("mirror", more[0], "page.edit", *more[1:], "--config", str(config))
        assert (result.exit_code, "\\udcff' is not " in result.output) == (1, True)


def test_a_mirror_from_what_is_no_time(config: Path) -> None:
    result = run("mirror", "http://127.0.0.1:1/", "page.edit", "--since", "soon", "--config", str(config))
    assert result.exit_code == 2
    assert "'soon' is not a time" in result.output


def test_mistakes_come_in_the_order_of_their_lines() -> None:
    lines = ["f.yaml:10: c", "f.yaml:2:7: b", "no place: e", "f.yaml:2:3: a", "schemas/x.yaml:1: d", "f.yaml:2:7: b"]
    expected = ["f.yaml:2:3: a", "f.yaml:2:7: b", "f.yaml:10: c", "schemas/x.yaml:1: d", "no place: e"]
    assert check.in_order(lines) == expected


def test_check_tells_all_mistakes_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    assert run("init", str(tmp_path)).exit_code == 0
    config = tmp_path / "config" / "gateway.yaml"
    config.write_text(
        "heartbet: 15\n"
        "error_stream: nope\n"
        "streams:\n"
        "  wiki.change:\n"
        "    schema_title: wiki/chang\n"
        "    archive: true\n"
        "    foo: bar\n"
        "views:\n"
        "  v: {stream: nothing, key: a}\n"
        "rules:\n"
        "  r: {}\n"
    )
    result = run("check", "--config", str(config), "--schemas", str(tmp_path / "config" / "schemas"))
    assert result.exit_code == 1
    told = re.findall(rf"^(?:warning: )?{re.escape(str(config))}:(\d+): (.*)$", result.output, re.MULTILINE)
    assert [int(line) for line, _ in told] == [7, 1, 2, 5, 6, 9, 11, 11, 11]
    assert "did you mean heartbeat?" in told[1][1]
    assert "did you mean wiki/change?" in told[3][1]
    assert "8 mistakes" in result.output


def test_check_says_nothing_of_the_rest_where_a_setting_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("schemas: 5\nport: x\nstreams:\n  a: {schema_title: b}\nviews:\n  v: {stream: nothing, key: a}\n")
    result = run("check", "--config", str(config))
    assert result.exit_code == 1
    assert re.findall(r"gateway.yaml:(\d+)", result.output) == ["1", "2", "6"]


def test_a_client_loads_no_server() -> None:
    """Of what a command does not need nothing is loaded: it would take a second."""
    program = (
        "import sys; from gateway.commands.cli import main; main.get_command(None, 'tail')\n"
        "assert not {'gateway.app.gateway', 'gateway.settings.table', 'uvicorn', 'yaml'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_command_that_is_not_there() -> None:
    assert "Error: No such command 'tial'. Did you mean 'tail'?" in run("tial").output
    assert "Error: No such command 'chek'. Did you mean 'check'?" in run("schemas", "chek").output
    assert "Error: No such command 'x'.\n" in run("x").output
