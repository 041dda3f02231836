"""The table of settings: sources, precedence, bounds, messages."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.eventlog.open import FORM
from gateway.settings.configuration import configure, load_settings
from gateway.settings.document import settings_table
from gateway.settings.table import BY_KEY, SETTINGS, Settings


def mistakes(
    flags: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    file: dict[str, Any] | None = None,
) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(flags or {}, environment or {}, file or {})
    return caught.value.mistakes


def test_the_defaults_are_those_of_the_table() -> None:
    settings = load_settings({}, {}, {})
    assert settings == Settings()
    assert (settings.log, settings.port, settings.admin_port) == ("sqlite:///var/events.db", 8080, 9090)
    assert (settings.heartbeat, settings.ring_bytes, settings.workers) == (15.0, 268_435_456, 1)
    assert settings.schema_repositories == ("config/schemas",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


def test_flag_and_variable_are_derived_from_the_key() -> None:
    setting = BY_KEY["ring_bytes"]
    assert (setting.flag, setting.variable) == ("--ring-bytes", "GATEWAY_RING_BYTES")
    schemas = BY_KEY["schema_repositories"]
    assert (schemas.flag, schemas.variable) == ("--schemas", "GATEWAY_SCHEMAS")
    assert (BY_KEY["kafka"].flag, BY_KEY["kafka"].variable) == (None, None)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_every_default_lies_within_its_bounds(setting: Any) -> None:
    if setting.kind == "mapping":
        assert setting.default == {}
        return
    value = setting.default
    settings = load_settings({setting.key: value}, {}, {})
    assert getattr(settings, setting.key) == value


def test_precedence() -> None:
    file: dict[str, Any] = {"port": (1001, "f:1"), "host": ("file", "f:2"), "workers": (3, "f:3")}
    environment = {"GATEWAY_PORT": "1002", "GATEWAY_HOST": "variable"}
    settings = load_settings({"port": "1003"}, environment, file)
    assert (settings.port, settings.host, settings.workers) == (1003, "variable", 3)


def test_what_is_empty_is_as_if_not_given() -> None:
    flags = {"port": None, "schema_repositories": ()}
    settings = load_settings(flags, {"GATEWAY_PORT": ""}, {"port": (None, "f:1")})
    assert settings == Settings()


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("ring_bytes", "256MiB", 268_435_456),
        ("ring_bytes", "65536", 65536),
        ("heartbeat", "0.5", 0.5),
        ("heartbeat", "500ms", 0.5),
        ("heartbeat", "2m", 120.0),
        ("retry", "3s", 3000),
        ("access_log", "true", True),
        ("access_log", "0", False),
        ("log_level", "DEBUG", "debug"),
        ("schema_repositories", "a, b", ("a", "b")),
        ("log", "kafka://a:9092,[::1]:9093", "kafka://a:9092,[::1]:9093"),
        ("config", "x.yaml", "x.yaml"),
    ],
)
def test_texts_are_converted(key: str, text: str, expected: object) -> None:
    settings = load_settings({key: text}, {}, {})
    assert getattr(settings, key) == expected
    assert type(getattr(settings, key)) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("port", "65536", "a whole number from 0 to 65535"),
        ("jwks", "http://issuer.example/keys", "which anyone on the network could change"),
        ("jwks", "http://127.0.0.1.evil.example/keys", "which anyone on the network could change"),
        ("jwks", "ftp://issuer.example/keys", "an https:// URL"),
        ("jwks", "https://", "an https:// URL"),
        ("jwks", "https://[::1/keys", "an https:// URL"),
        ("jwks", "https://user:word@issuer.example/keys", "a user or a password"),
        ("token_algorithms", "RS256,none", 'names "none"; it takes some of RS256'),
        ("token_algorithms", "HS256", 'names "HS256"'),
        ("token_cookie", "a b", "not the name of a cookie"),
        ("token_max_bytes", "255", "a whole number of bytes from 256"),
        ("intake_token", "maybe", "none or required"),
        ("retry", "0", 'retry is "0"; it takes a whole number of milliseconds from 100'),
        ("port", "http", '"http"'),
        ("port", "80.5", "a whole number"),
        ("port", "٨٠", "a whole number"),
        ("port", True, "true"),
        ("port", [1], "a list"),
        ("heartbeat", "nan", "a number of seconds from 0.05 to 3600"),
        ("heartbeat", "-1", "a number of seconds"),
        ("heartbeat", float("inf"), "a number of seconds"),
        ("ring_bytes", "1KB", "from 65536 to"),
        ("ring_bytes", "1h", "bytes"),
        ("access_log", "perhaps", "true or false"),
        ("log_level", "loud", "debug or info or warning or error"),
        ("log_format", 3, "text or json"),
        ("schema_repositories", "a,,b", "a list of at least one directory"),
        ("schema_repositories", [1], "a list of at least one directory"),
        ("exempt_networks", [1], "a list of strings (network)"),
        ("host", "  ", "a string"),
        ("log", "postgres://x", FORM),
        ("log", "sqlite://events.db", "three slashes"),
        ("log", "sqlite:///", "names no path"),
        ("log", "kafka://broker", 'names "broker"'),
        ("log", "kafka://a:1,b:0", 'names "b:0"'),
        ("log", "kafka://", "host:port"),
        ("limits", "redis://:secret@/", "is not the URL of a Redis"),
        ("limits", "http://x", "limits takes memory://"),
        ("limits", "here", "memory://"),
        ("limits", "redis://h:1/0?socket_timeout=9", "a parameter behind its ? other than db, ssl_ca_certs"),
        ("limits", "redis://h:1/0?ssl_ca_certs=/ca.pem", "ssl_ca_certs, which works with rediss:// only"),
        ("limits", "rediss://h:1/0?ssl_ca_certs=", "an ssl_ca_certs that is empty"),
        ("limits", "rediss://h:1/0?ssl_cert_reqs=maybe", "an ssl_cert_reqs other than none or required"),
        ("limits", "unix:///r.sock?db=x", "a db that is not a number"),
    ],
)
def test_wrong_values_are_told_with_their_source(key: str, value: Any, told: str) -> None:
    setting = BY_KEY[key]
    by_flag = mistakes(flags={key: value})
    assert by_flag[0].startswith(f"{setting.flag}: ")
    assert told in by_flag[0]
    assert mistakes(file={key: (value, "gateway.yaml:7")})[0].startswith("gateway.yaml:7: ")
    if isinstance(value, str) and setting.variable:
        assert mistakes(environment={setting.variable: value})[0].startswith(f"{setting.variable}: ")


HUGE = [10**400, -(10**400), "9" * 401, "-" + "9" * 400, "9" * 400 + ".5", "9" * 5_000]


@pytest.mark.parametrize("number", HUGE, ids=lambda number: f"{type(number).__name__} {str(number)[:2]}")
@pytest.mark.parametrize("key", ["port", "heartbeat", "ring_bytes", "retry"])
def test_a_number_beyond_all_bounds_is_a_mistake_like_others(key: str, number: int | str) -> None:
    (told,) = mistakes(file={key: (number, "gateway.yaml:7")})
    assert told.startswith(f"gateway.yaml:7: {key} is ")
    assert "…" in told
    assert "; it takes a" in told
    assert len(told) < 250
    assert mistakes(flags={key: str(number)})[0].startswith(f"--{key.replace('_', '-')}: {key} is ")
    assert mistakes(environment={BY_KEY[key].variable or "": str(number)})[0].startswith(f"{BY_KEY[key].variable}: ")


@pytest.mark.parametrize(
    "text",
    ["port: {}", "heartbeat: {}", "limit_networks: {{a: {{networks: [10.0.0.0/8], streams: {}}}}}",
     "schema_registry: {{url: 'http://registry', timeout: {}}}", "kafka: {{connections_max_idle_ms: {}}}",
     "streams: {{a: {{topics: [b], partitions: {}}}}}"],
)  # fmt: skip
@pytest.mark.parametrize("number", ["9" * 401, "-" + "9" * 400, "0x" + "f" * 900])
def test_a_number_beyond_all_bounds_in_the_file(tmp_path: Path, text: str, number: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("\n" + text.format(number) + "\n")
    with pytest.raises(ConfigurationError) as caught:
        configure({"config": str(path)}, {})
    told = next(one for one in caught.value.mistakes if one.startswith(f"{path}:2:"))
    assert "it takes " in told or " takes seconds" in told
    assert len(told) < len(f"{path}") + 250


def test_kafka_is_a_mapping_of_the_file() -> None:
    settings = load_settings({}, {"GATEWAY_KAFKA": "x"}, {"kafka": ({"security_protocol": "SSL"}, "f:1")})
    assert settings.kafka == {"security_protocol": "SSL"}
    assert "a mapping" in mistakes(file={"kafka": (3, "f:1")})[0]


def test_static_tokens_are_a_mapping_of_the_file() -> None:
    found = mistakes(file={"static_tokens": ({"a": {"sha256": "x"}}, "f:3")})
    assert found == [
        "f:3: static_tokens: a: sha256 takes 64 hexadecimal digits in quotes; `gateway token hash` gives them"
    ]


def test_each_entry_is_told_of() -> None:
    broken = {"a": {"sha256": "x"}, "b": 5}
    first, second = mistakes(file={"static_tokens": (broken, "f:3")})
    assert (first[:22], second[:22]) == ("f:3: static_tokens: a:", "f:3: static_tokens: b ")
    assert len(mistakes(file={"limit_networks": ({"a": {}, "b": {"networks": ["x"]}}, "f:3")})) == 2
    found = mistakes(environment={"GATEWAY_TRUSTED_PROXIES": "10.0.0.0/8,one,10.0.0.0/33"})
    assert ['"one"' in found[0], '"10.0.0.0/33"' in found[1]] == [True, True]
    same = {"sha256": "0" * 64, "read": ["x"]}
    (text,) = mistakes(file={"static_tokens": ({"a": same, "b": same}, "f:3")})
    assert "the same token" in text


def test_unknown_keys_of_the_file() -> None:
    assert mistakes(file={"prot": (1, "f:4")}) == ["f:4: there is no setting prot; did you mean port?"]
    assert mistakes(file={"stream": (1, "f:4")}) == ["f:4: there is no setting stream; did you mean streams?"]
    assert "docs/OPERATING.md" in mistakes(file={"qqqqqq": (1, "f:4")})[0]
    assert mistakes(file={"config": ("x", "f:4")}) == ["f:4: config cannot be set in the file; use --config"]


def test_settings_that_do_not_fit_together() -> None:
    assert (
        "flush_bytes (70000) is more than ring_bytes (65536)"
        in mistakes(flags={"flush_bytes": 70_000, "ring_bytes": 65_536})[0]
    )
    assert mistakes(environment={"GATEWAY_ADMIN_PORT": "8080"})[0].startswith("GATEWAY_ADMIN_PORT: ")
    assert "not less than" in mistakes(flags={"flush_interval": 1, "heartbeat": 1})[0]
    assert mistakes(flags={"request_head_max": 65_536}) == [
        "--request-head-max: request_line_max (262144) is not less than request_head_max (65536); "
        "the first line is a part of the head",
        "--request-head-max: last_event_id_max (65536) is not less than request_head_max (65536); "
        "the id comes in the head",
    ]
    assert "keep_alive (20) is not less than head_timeout (10)" in mistakes(flags={"keep_alive": 20})[0]
    assert "max_connection_age (10)" in mistakes(flags={"max_connection_age": 10})[0]
    assert "more than intake_max_bytes (2048)" in mistakes(flags={"intake_max_bytes": 2048})[0]
    both_free = load_settings({"port": 0, "admin_port": 0}, {}, {})
    assert both_free.port == both_free.admin_port == 0


def test_all_mistakes_of_all_sources_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("prot: 1\nstreams:\n  a: {partitions: 0}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        configure({"config": str(path), "workers": "0"}, {"GATEWAY_HEARTBEAT": "x"})
    places = sorted(line.split(": ")[0] for line in caught.value.mistakes)
    assert places == sorted(["--workers", "GATEWAY_HEARTBEAT", f"{path}:1", f"{path}:3"])


def test_a_missing_file_names_who_asked_for_it(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    with pytest.raises(ConfigurationError) as caught:
        configure({}, {"GATEWAY_CONFIG": str(path)})
    assert caught.value.mistakes[0].startswith(f"GATEWAY_CONFIG: {path}: there is no such file")


def test_the_missing_default_file_says_how_to_write_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"config/gateway\.yaml: .*; `gateway init` writes one"):
        configure({}, {})


def test_configure_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("port: 8081\nstreams:\n  a: {sample: x}\n", encoding="utf-8")
    configured = configure({"config": str(path)}, {"PATH": "/bin"})
    assert configured.settings.port == 8081
    assert configured.settings.config == str(path)
    assert list(configured.catalog.streams) == ["a"]
    assert len(configured.warnings) == 1


def test_the_table_has_every_setting() -> None:
    table = settings_table()
    assert len(table.splitlines()) == len(SETTINGS) + 2
    for setting in SETTINGS:
        assert all(not name or f"`{name}`" in table for name in (setting.flag, setting.variable))
        assert setting.help in table


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({"jwks": "keys.json"}, "jwks needs token_audience and token_issuer"),
        ({"jwks": "keys.json", "token_issuer": "i"}, "jwks needs token_audience and token_issuer"),
        ({"token_write_claim": "read_streams"}, "token_read_claim and token_write_claim are both read_streams"),
        ({"intake_token": "required"}, "no token would be accepted"),
    ],
)
def test_settings_of_tokens_fit_together(file: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({}, {}, {key: (value, f"f:{number}") for number, (key, value) in enumerate(file.items(), 1)})
    assert caught.value.mistakes == [mistake for mistake in caught.value.mistakes if told in mistake]
    assert caught.value.mistakes[0].startswith("f:1: ")


@pytest.mark.parametrize(
    "place", ["keys.json", "https://issuer.example/keys", "http://127.0.0.1:8/k", "http://[::1]/k"]
)
def test_keys_come_from_a_file_or_from_where_nobody_changes_them(place: str) -> None:
    assert load_settings({"jwks": place, "token_audience": "a", "token_issuer": "i"}, {}, {}).jwks == place


def test_nobody_may_be_exempt() -> None:
    assert load_settings({}, {}, {"exempt_networks": ([], "file:1")}).exempt_networks == ()
    with pytest.raises(ConfigurationError, match="a list of at least one directory"):
        load_settings({}, {}, {"schema_repositories": ([], "file:1")})


def test_a_setting_that_was_replaced_is_accepted_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("filter_max_cost: 50000\nstreams:\n  a: {}\n")
    flags = {"config": str(path), "filter_max_cost": "7"}
    configured = configure(flags, {"GATEWAY_FILTER_MAX_COST": "9"})
    assert configured.settings.filter_max_steps == 5_000
    told = [warning for warning in configured.warnings if "filter_max_steps takes its place" in warning]
    assert [warning.split(":")[0] for warning in told] == ["--filter-max-cost", "GATEWAY_FILTER_MAX_COST", str(path)]


def test_a_line_of_the_file_that_a_variable_replaces_is_told(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("log: kafka://k:9092\nport: 8080\nhost: 127.0.0.1\nstreams: {x: {description: One.}}\n")
    given = {"GATEWAY_LOG": "sqlite:///x.db", "GATEWAY_PORT": "8080", "GATEWAY_HOST": "0.0.0.0"}
    found = configure({"config": str(file), "host": "::1"}, given)
    assert found.settings.log == "sqlite:///x.db"
    # One that says the same, and a flag, which is seen, are no surprise.
    assert found.warnings == [f"{file}:1: log is not used, since the variable GATEWAY_LOG is set"]
