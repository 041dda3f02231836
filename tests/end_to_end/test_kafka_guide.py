"""The steps of docs/KAFKA.md on a Kafka with Avro, from a folder with nothing in it to a first event."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import sys
import time
from pathlib import Path

import fastavro
import pytest

from gateway.forms.frame import framed
from tests.end_to_end.kafka import open_producer
from tests.end_to_end.process import ROOT, WAIT, environment
from tests.eventlog.kit import create_topic
from tests.services.kafka import free_port
from tests.services.registry import small_registry

pytestmark = [pytest.mark.kafka, pytest.mark.end_to_end]

GUIDE = (ROOT / "docs/KAFKA.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SHELL = [text for language, text in BLOCKS if language == "sh"]
TOPIC = "shop.orders"
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "item", "type": "string"}, {"name": "pieces", "type": "int"}],
}
MOST_SECONDS = 150.0
"""From the empty folder to the event, without the installation; far below the five minutes, with room for three
processes that start on a busy machine."""


async def test_from_nothing_to_an_event_in_avro(kafka: str, tmp_path: Path, curl: str) -> None:
    assert curl
    install, init, check, serve, read = SHELL
    assert "pip install" in install  # tests/packaging does such steps.
    program = tmp_path / "bin" / "gateway"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
    program.chmod(0o755)
    port = free_port()
    own = {"GATEWAY_PORT": str(port), "GATEWAY_ADMIN_PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
    given = environment() | own | {"PATH": f"{program.parent}:{os.environ['PATH']}"}

    async def start(text: str, folder: Path) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("sh", "-ec", text),
            cwd=folder,
            env=given,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def says(text: str, folder: Path) -> str:
        async with asyncio.timeout(2 * WAIT):
            while True:
                process = await start(text, folder)
                output = (await process.communicate())[0].decode()
                if process.returncode == 0:
                    return output
                # A broker that has no core may be silent for seconds; nothing else keeps a command from its work.
                assert re.search(r"within [\d.]+ s\b", output), output

    with small_registry() as registry:
        number = registry.add(f"{TOPIC}-value", ORDER)
        file = io.BytesIO()
        fastavro.schemaless_writer(file, fastavro.parse_schema(ORDER), {"item": "tea", "pieces": 3})
        await create_topic(kafka, TOPIC)
        async with open_producer(kafka) as producer:
            await producer.values(TOPIC, [framed(number, file.getvalue())])
        began = time.monotonic()
        # The topics of other tests are on this broker, too.
        here = init.replace("broker:9092", f"{kafka} --topics {TOPIC}").replace("http://registry:8081", registry.url)
        await says(here, tmp_path)
        folder = tmp_path / "my-gateway"
        assert "format: avro" in (folder / "config" / "gateway.yaml").read_text()
        checked = await says(check, folder)
        assert TOPIC in checked
        assert "tea" in checked
        server = await start(f"exec {serve}", folder)
        try:
            retry = read.replace("curl -sN", "curl -sN --retry 100 --retry-connrefused --retry-delay 1")
            # An empty line is a heartbeat.
            lines = (await says(retry.replace(":8080", f":{port}"), folder)).split()
            event = json.loads(lines[0])
        finally:
            server.terminate()
            await server.communicate()
        assert event == {"item": "tea", "pieces": 3}
        took = time.monotonic() - began
        print(f"from the empty folder to the event: {took:.1f} s")  # noqa: T201
        assert took < MOST_SECONDS
