"""Derived streams and rules beside the servers, as processes."""

from __future__ import annotations

import json
import os
import re
import signal
from functools import partial
from pathlib import Path

import orjson
import pytest

from gateway.eventlog.sqlite.log import SqliteLog
from gateway.model.record import NewRecord
from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, eventually
from tests.plain_http import http_client

CONFIGURATION = """
schema_repositories: [{schemas}, {own}]
streams:
  numbers: {{}}
  doubled: {{schema_title: row, derive: {{from: [numbers], select: {{n: event.n * {factor}}}}}}}
"""
ROW = {"type": "object", "properties": {"n": {"type": "integer"}, "meta": {"type": "object"}}}


pytestmark = pytest.mark.end_to_end


def write(directory: Path, factor: int = 2, more: str = "") -> Path:
    title = directory / "schemas" / "row" / "1.0.0.json"
    title.parent.mkdir(parents=True, exist_ok=True)
    title.write_bytes(orjson.dumps(ROW | {"$id": "/row/1.0.0", "title": "row"}))
    path = directory / "gateway.yaml"
    schemas = ROOT / "config" / "schemas"
    path.write_text(CONFIGURATION.format(schemas=schemas, own=directory / "schemas", factor=factor) + more)
    return path


async def put(path: Path, *numbers: int) -> None:
    log = SqliteLog(str(path))
    await log.open()
    await log.create("numbers", 1)
    events = [{"meta": {"dt": "2026-01-01T00:00:00Z", "id": str(number)}, "n": number} for number in numbers]
    await log.append("numbers", [NewRecord(orjson.dumps(event), None, 1_767_225_600_000) for event in events])
    await log.close()


async def rows(gateway: GatewayProcess, stream: str) -> list[int]:
    path = f"/v2/stream/{stream}?since=2025-01-01T00:00:00Z&until=2026-02-01T00:00:00Z"
    answer = await gateway.get(path, headers={"accept": "application/x-ndjson"})
    if answer.status_code != 200:
        return []  # The topic may not be there yet.
    return [told["n"] for line in answer.text.split() if "n" in (told := json.loads(line))]


async def come(gateway: GatewayProcess, expected: list[int], stream: str = "doubled") -> None:
    async def there() -> bool:
        return await rows(gateway, stream) == expected

    await eventually(there, f"{expected} in {stream}")


async def restarting(gateway: GatewayProcess) -> list[str]:
    told = json.loads(await gateway.inside("/readyz"))
    assert told["status"] == "ready"
    found: list[str] = told.get("restarting", [])
    return found


def begun(gateway: GatewayProcess) -> list[str]:
    """The process ids of the processing until now."""
    return re.findall(r"processing 1 derived stream and 0 rules in process (\d+)", gateway.errors)


async def lag_is(gateway: GatewayProcess, seconds: int | None) -> bool:
    """Whether the catalogue says so of the derived stream."""
    (doubled,) = [one for one in json.loads(await gateway.inside("/v2/streams")) if one["name"] == "doubled"]
    return bool(doubled["derivation"] == {"operator": "select", "version": 1, "lag": seconds})


async def reloaded(gateway: GatewayProcess, status: int) -> str:
    async with http_client(timeout=WAIT) as client:
        answer = await client.post(f"http://127.0.0.1:{gateway.admin_port}/-/reload")
    assert answer.status_code == status
    return answer.text


async def test_one_server_and_its_processing(tmp_path: Path, gateways: Launch) -> None:
    config, log = write(tmp_path), tmp_path / "events.db"
    gateway = gateways("--config", str(config), "--log", f"sqlite:///{log}")
    await gateway.start()
    await put(log, 1, 2)
    await come(gateway, [2, 4])

    async def is_told() -> bool:
        metrics = await gateway.metrics()
        return 'gateway_derive_rows_total{stream="doubled"} 2.0' in metrics and "gateway_log_up 1.0" in metrics

    await eventually(is_told, "the metrics of the processing")
    await eventually(partial(lag_is, gateway, 0), "the lag in the catalogue")
    assert len(begun(gateway)) == 1
    killed: set[str] = set()

    async def is_away() -> bool:
        # It is away for a second, and each time that it ends again for twice as long: a busy machine sees it, too.
        for process in set(begun(gateway)) - killed:
            os.kill(int(process), signal.SIGKILL)
            killed.add(process)
        return await restarting(gateway) == ["processing"] and await lag_is(gateway, None)

    await eventually(is_away, "the end of the processing is told, and nothing of its lag")
    await put(log, 3)
    await come(gateway, [2, 4, 6])

    async def is_back() -> bool:
        return await restarting(gateway) == []

    await eventually(is_back, "it is not away any more")
    assert "processing was killed by SIGKILL" in gateway.errors
    # Other rows under the same version are refused, and those of another begin.
    write(tmp_path, factor=3)
    assert "give it another `version`" in (await reloaded(gateway, 409))
    again = "  tripled: {schema_title: row, derive: {from: [numbers], select: {n: event.n * 3}}}\n"
    write(tmp_path, more=again)
    assert '"workers":["reloaded","reloaded"]' in (await reloaded(gateway, 200))
    await come(gateway, [3, 6, 9], "tripled")
    workers = gateway.workers()
    assert await gateway.stop() == 0
    assert not [pid for pid in workers if str(pid) in os.listdir("/proc")]


async def test_processing_that_is_off(tmp_path: Path, gateways: Launch) -> None:
    config = write(tmp_path)
    gateway = gateways("--config", str(config), "--log", f"sqlite:///{tmp_path}/events.db", "--processing", "off")
    await gateway.start()
    assert gateway.workers() == []
    assert await gateway.stop() == 0


async def test_one_server_that_begins_with_nothing_to_process(tmp_path: Path, gateways: Launch) -> None:
    """A reload brings the first derived stream, and another takes the last away; the server stays the same process."""
    config, log = write(tmp_path), tmp_path / "events.db"
    with_one = config.read_text()
    without = "".join(line for line in with_one.splitlines(keepends=True) if "doubled" not in line)
    config.write_text(without)
    gateway = gateways("--config", str(config), "--log", f"sqlite:///{log}")
    await gateway.start()
    assert gateway.workers() == []
    await put(log, 1, 2)
    config.write_text(with_one)
    await reloaded(gateway, 200)
    await come(gateway, [2, 4])

    async def is_told() -> bool:
        return 'gateway_derive_rows_total{stream="doubled"} 2.0' in await gateway.metrics()

    await eventually(is_told, "the metrics of the processing")
    (processing,) = re.findall(r"processing 1 derived stream .* in process (\d+)", gateway.errors)
    os.kill(int(processing), signal.SIGKILL)
    await put(log, 3)
    await come(gateway, [2, 4, 6])
    config.write_text(without)
    assert '"workers":["reloaded","reloaded"]' in (await reloaded(gateway, 200))

    async def is_gone() -> bool:
        return "processing has ended: nothing is left to do" in gateway.errors

    await eventually(is_gone, "the end of the processing")
    config.write_text(with_one)
    await reloaded(gateway, 200)
    await put(log, 4)
    await come(gateway, [2, 4, 6, 8])
    workers = gateway.workers()
    assert await gateway.stop() == 0
    assert not [pid for pid in workers if str(pid) in os.listdir("/proc")]
