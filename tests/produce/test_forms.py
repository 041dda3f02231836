"""`gateway produce` into a stream with schemas in a registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.commands.cli import main
from gateway.eventlog.sqlite.log import SqliteLog
from gateway.forms.frame import framed
from gateway.model.record import TopicPartition
from tests.eventlog.kit import take
from tests.services.registry import SmallRegistry, small_registry

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "n", "type": "int"}]}


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    with small_registry(first_id=5) as registry:
        registry.add("orders-value", ORDER)
        yield registry


def produced(path: Path, registry: SmallRegistry, *events: Any, **more: Any) -> Result:
    """What the command says of these lines."""
    stream = {"format": "avro", "schema_title": "registry/orders-value", **more}
    config, lines = path / "gateway.yaml", path / "lines"
    config.write_text(json.dumps({"schema_registry": {"url": registry.url}, "streams": {"orders": stream}}))
    lines.write_text("".join(json.dumps(event) + "\n" for event in events))
    log, schemas = f"sqlite:///{path / 'log.db'}", ("--schemas", str(path))
    return CliRunner().invoke(main, ["produce", "orders", str(lines), "--config", str(config), "--log", log, *schemas])


def order(n: Any) -> dict[str, Any]:
    return {"$schema": "/registry/orders-value/1.0.0", "n": n}


def test_lines_are_validated_and_written_in_the_form_of_the_stream(tmp_path: Path, registry: SmallRegistry) -> None:
    result = produced(tmp_path, registry, order(1), order("x"), order(2), {"n": 3})
    assert "line 2: /n: " in result.output
    assert "line 4: /$schema: it is missing" in result.output

    async def stored() -> list[bytes | None]:
        log = SqliteLog(tmp_path / "log.db")
        await log.open()
        reader = await log.reader({TopicPartition("orders", 0): 0})
        found = [record.value for record in await take(reader, 2)]
        await reader.close()
        await log.close()
        return found

    assert asyncio.run(stored()) == [framed(5, b"\x02"), framed(5, b"\x04")]


def test_without_the_schema_nothing_is_written(tmp_path: Path, registry: SmallRegistry) -> None:
    registry.away = True
    result = produced(tmp_path, registry, order(1))
    assert (result.exit_code, "the schema registry does not give registry/orders-value" in result.output) == (1, True)
    assert not (tmp_path / "log.db").exists()


def test_cloudevents_are_sent_over_http(tmp_path: Path, registry: SmallRegistry) -> None:
    result = produced(tmp_path, registry, order(1), format="cloudevents", schema_title="x")
    assert (result.exit_code, "which are sent over HTTP" in result.output) == (1, True)
