"""What cannot be read as it is declared is a mistake, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalog.load import read
from gateway.forms.check import check_forms
from gateway.forms.options import RegistryOptions, read_registry


def mistakes(path: Path, text: str, has_registry: bool) -> list[str]:
    file = path / "gateway.yaml"
    file.write_text(text)
    reading = read(file)
    return [one.removeprefix(f"{file}:") for one in reading.mistakes] + [
        one.removeprefix(f"{file}:") for one in check_forms(reading.catalog, reading.places, has_registry)
    ]


@pytest.mark.parametrize(
    ("text", "has_registry", "expected"),
    [
        ("streams:\n  a:\n    format: avro\n", True, []),
        ("streams:\n  a:\n    format: cloudevents\n    key_format: json\n", False, []),
        (
            "streams:\n  a:\n    format: arvo\n",
            True,
            ['3: a: format is "arvo"; it takes json, avro, protobuf, json-schema or cloudevents; did you mean avro?'],
        ),
        (
            "streams:\n  a:\n    key_format: 3\n",
            True,
            ["3: a: key_format is the number 3; it takes string, json, avro or protobuf"],
        ),
        (
            "streams:\n  a:\n    format: avro\n",
            False,
            ["3: a: its schemas are in a registry, and none is configured; set schema_registry: {url: …}"],
        ),
        (
            "streams:\n  a:\n    key_format: avro\n",
            False,
            ["3: a: its schemas are in a registry, and none is configured; set schema_registry: {url: …}"],
        ),
        (
            "streams:\n  a:\n    format: avro\n    schema_title: x\n",
            True,
            [
                "4: a: schema_title is x; events of the format avro are written by a schema of the registry, such as "
                "registry/a-value"
            ],
        ),
        ("streams:\n  a:\n    format: avro\n    schema_title: registry/a-value\n", True, []),
        ("streams:\n  a:\n    format: cloudevents\n    schema_title: x\n", True, []),
        (
            "streams:\n  a:\n    format: cloudevents\n    schema_title: /x/\n",
            True,
            ["4: a: schema_title is an expression; CloudEvents are of one schema, so name that"],
        ),
        (
            "streams:\n  a:\n    key_format: avro\n    message_key_fields: [n]\n    schema_title: x\n",
            True,
            ["4: a: keys in avro are read, and not written; leave message_key_fields out"],
        ),
        (
            "streams:\n  a:\n    error_stream: b\n  b:\n    format: cloudevents\n    schema_title: x\n",
            True,
            ["3: a: error_stream is b, whose format is cloudevents; what the gateway makes itself is JSON"],
        ),
        (
            "streams:\n  a:\n    topics: [t]\n  b:\n    topics: [t]\n    format: avro\n",
            True,
            ["5: the topic t is also one of a (line 3), with another format; give both the same format"],
        ),
    ],
)
def test_a_stream_that_cannot_be_read_is_a_mistake_with_its_place(
    tmp_path: Path, text: str, has_registry: bool, expected: list[str]
) -> None:
    assert mistakes(tmp_path, text, has_registry) == expected


def test_a_registry_is_read_with_its_secret_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    options = read_registry({"url": "http://r:8081/", "username": "u", "password_file": str(tmp_path / "secret")})
    assert options == RegistryOptions("http://r:8081", "u", "hidden")


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ({"ulr": "x"}, "has no ulr"),
        ({"username": "u"}, "has no url"),
        ({"url": "registry:8081"}, "takes an address"),
        ({"url": "http://u:hidden@r"}, "belong into username"),
        ({"url": "http://r", "username": "u"}, "belong together"),
        ({"url": "http://r", "password": "hidden", "username": "u", "token": "hidden"}, "one of them"),
        ({"url": "http://r", "timeout": 0}, "timeout takes seconds"),
        ({"url": "http://r", "token_file": "/nowhere"}, "cannot be read"),
        ({"url": "http://r", "password": 7}, "takes a text"),
    ],
)
def test_a_mistake_in_the_registry_is_told_without_its_secret(document: dict[str, object], part: str) -> None:
    with pytest.raises(ValueError, match=part) as caught:
        read_registry(document)
    assert "hidden" not in str(caught.value)
