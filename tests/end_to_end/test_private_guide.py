"""The steps of docs/PRIVATE.md, one after the other."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.conftest import Launch
from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, environment, eventually

pytestmark = pytest.mark.end_to_end

GUIDE = (ROOT / "docs/PRIVATE.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SHELL = [text for language, text in BLOCKS if language == "sh"]
PYTHON = [text for language, text in BLOCKS if language == "python"]
YAML = [text for language, text in BLOCKS if language == "yaml"]


class Reader:
    """Somebody with a shell, and perhaps tokens, against a gateway of the test."""

    def __init__(self, folder: Path, gateway: GatewayProcess) -> None:
        self._folder = folder
        self._gateway = gateway
        command = folder / "bin" / "gateway"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
        command.chmod(0o755)
        self.variables = {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    async def does(self, *command: str) -> str:
        """What it writes to its output; it must end well."""
        found = [
            part.replace("127.0.0.1:8080", f"127.0.0.1:{self._gateway.port}").replace(
                "127.0.0.1:9090", f"127.0.0.1:{self._gateway.admin_port}"
            )
            for part in command
        ]
        process = await asyncio.create_subprocess_exec(
            *found,
            cwd=self._folder,
            env=environment() | self.variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(WAIT):
            output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    async def says(self, text: str) -> str:
        """In the shell."""
        return await self.does("sh", "-ec", text)

    async def token(self, name: str) -> tuple[str, str]:
        """A new token and its hash."""
        said = await self.says(SHELL[0].replace("dashboard", name).strip() + " 2>entry; cat entry")
        found = re.search(rf'{name}: \{{sha256: "([0-9a-f]{{64}})"', said)
        assert found
        return said.splitlines()[0], found[1]


async def test_a_private_stream_from_the_first_step_to_the_last(gateways: Launch, tmp_path: Path, curl: str) -> None:
    assert curl
    own, schema, tokens, issuer = YAML
    path = tmp_path / "my.yaml"
    path.write_text(own.replace("[schemas]", f"[{tmp_path}/schemas]"))
    (tmp_path / "schemas" / "order").mkdir(parents=True)
    (tmp_path / "schemas" / "order" / "1.0.0.yaml").write_text(schema)
    gateway = gateways("--config", str(path), "--log", f"sqlite:///{tmp_path}/events.db")
    reader = Reader(tmp_path, gateway)
    dashboard, first = await reader.token("dashboard")
    shop, second = await reader.token("shop")
    with_tokens = tokens.replace("9f2c…", first).replace("51aa…", second)
    await gateway.start()
    path.write_text(path.read_text() + with_tokens)
    check, reload, with_token, without, inside = SHELL[1:]
    assert "no mistakes" in await reader.says(check.splitlines()[0])
    assert '"restart":[]' in (await reader.says(reload)).replace(" ", "")

    reader.variables |= {"TOKEN": dashboard, "SHOP_TOKEN": shop}
    said = await reader.says(with_token)
    assert "event: message" in said
    assert '"item": "tea"' in said
    assert await reader.does(sys.executable, "-W", "error", "-c", PYTHON[0]) == "tea\n"
    assert '"status":404' in await reader.says(without)
    assert "event: message" in await reader.says(inside)

    # Step 6: the reader's token is taken back.
    kept = yaml.safe_load(path.read_text())
    del kept["static_tokens"]["dashboard"]
    path.write_text(yaml.safe_dump(kept))
    await reader.says(reload)

    async def refused() -> bool:
        answer = await gateway.get("/v2/stream/orders?limit=1", headers={"authorization": f"Bearer {dashboard}"})
        return answer.status_code in (401, 404)

    await eventually(refused, "the token opens nothing any more")
    assert set(yaml.safe_load(issuer)) == {"jwks", "token_issuer", "token_audience"}
