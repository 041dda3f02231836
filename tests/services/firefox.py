"""The Firefox of the system, driven by WebDriver BiDi: https://www.w3.org/TR/webdriver-bidi/."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Ping, Request, TextMessage

WAIT = 40.0
"""Seconds until what is sure to come counts as missing."""
PREFERENCES: dict[str, Any] = {
    # It asks nobody for anything by itself.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    # Nor what is on its own pages.
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    # Another name than localhost, where a page on plain http is given less.
    "network.dns.localDomains": "gateway.test",
}


def firefox_program() -> str | None:
    """Where Firefox is, if anywhere. What is only called `firefox` may be a snap, which reads no profile of ours."""
    return shutil.which("firefox-esr")


class Refused(Exception):
    """Firefox has answered with an error."""


class _Wire:
    """Texts over a WebSocket: one is sent at a time, and the answer is the next with its number."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.notices: list[dict[str, Any]] = []
        """What came of itself."""
        self._reader, self._writer = reader, writer
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, address: str) -> _Wire:
        """Connect, and take what comes."""
        place = urlsplit(address)
        wire = cls(*await asyncio.open_connection(place.hostname, place.port))
        wire._writer.write(wire._protocol.send(Request(host=place.netloc, target="/session")))
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wire._reading = asyncio.create_task(wire._read(accepted))
        async with asyncio.timeout(WAIT):
            await accepted
        return wire

    async def call(self, method: str, **parameters: Any) -> Any:
        """The result of a command. Raises Refused, and TimeoutError."""
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        text = json.dumps({"id": number, "method": method, "params": parameters})
        self._writer.write(self._protocol.send(TextMessage(data=text)))
        async with asyncio.timeout(WAIT):
            return await answer

    async def _read(self, accepted: asyncio.Future[None]) -> None:
        text = ""
        while data := await self._reader.read(65536):
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                match event:
                    case AcceptConnection():
                        accepted.set_result(None)
                    case Ping():
                        self._writer.write(self._protocol.send(event.response()))
                    case TextMessage():
                        text += event.data
                        if event.message_finished:
                            self._take(json.loads(text))
                            text = ""
        for answer in self._answers.values():
            answer.cancel()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("id") is None:
            self.notices.append(message)
        elif (answer := self._answers.pop(message["id"])).cancelled():
            pass
        elif message["type"] == "success":
            answer.set_result(message["result"])
        else:
            answer.set_exception(Refused(f"{message['error']}: {message['message']}"))

    async def close(self) -> None:
        """End it."""
        self._writer.transport.abort()
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await self._reading


class Window:
    """A window with a page."""

    def __init__(self, wire: _Wire, context: str) -> None:
        self._wire, self._context = wire, context

    async def open(self, address: str) -> None:
        """Load a page."""
        await self._wire.call("browsingContext.navigate", context=self._context, url=address, wait="interactive")

    async def evaluate(self, expression: str) -> Any:
        """What an expression of JavaScript gives, or its promise; as JSON has it."""
        result = await self._wire.call(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression}) ?? null))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert result["type"] == "success", result["exceptionDetails"]["text"]
        return json.loads(result["result"]["value"])

    async def until(self, expression: str, what: str) -> None:
        """Wait until an expression holds; asked for each time that the page is drawn."""
        script = f"""new Promise((done, failed) => {{
            const end = performance.now() + {WAIT * 800};
            const ask = () => {{
                if ({expression}) done(true);
                else if (performance.now() > end) done(false);
                else setTimeout(ask, 30);
            }};
            ask();
        }})"""
        if not await self.evaluate(script):
            shown = await self.evaluate("document.body.innerText.slice(0, 1500)")
            raise AssertionError(f"{what}: not in time; the page says {shown}")

    async def type(self, text: str) -> None:
        """Press keys, one after another; they come to what has the focus."""
        keys = [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")]
        await self._wire.call(
            "input.performActions", context=self._context, actions=[{"type": "key", "id": "keys", "actions": keys}]
        )

    async def paste(self) -> None:
        """Press Control and V."""
        keys = [("keyDown", "\ue009"), ("keyDown", "v"), ("keyUp", "v"), ("keyUp", "\ue009")]
        actions = [{"type": kind, "value": key} for kind, key in keys]
        await self._wire.call(
            "input.performActions", context=self._context, actions=[{"type": "key", "id": "keys", "actions": actions}]
        )

    async def click(self, button: str) -> None:
        """Click a button with these words, where it is seen."""
        words = json.dumps(button)
        found = (
            "[...document.querySelectorAll('button')]"
            f".find(one => one.innerText.trim() === {words} && one.offsetParent)"
        )
        # What it belongs to may be loaded when it is first opened.
        await self.until(f"{found} !== undefined", f"there is a button {button}")
        x, y = await self.evaluate(
            f"(() => {{ const box = {found}.getBoundingClientRect();"
            " return [Math.floor(box.x + box.width / 2), Math.floor(box.y + box.height / 2)]; })()"
        )
        steps = [
            {"type": "pointerMove", "x": x, "y": y},
            *({"type": f"pointer{way}", "button": 0} for way in ("Down", "Up")),
        ]
        await self._wire.call(
            "input.performActions",
            context=self._context,
            actions=[{"type": "pointer", "id": "mouse", "actions": steps}],
        )

    async def close(self) -> None:
        """Close it."""
        await self._wire.call("browsingContext.close", context=self._context)


class Firefox:
    """A Firefox that runs, with a profile that is new."""

    def __init__(self, process: Process, wire: _Wire) -> None:
        self._process, self._wire = process, wire
        self._forgiven: list[str] = []

    @classmethod
    async def start(cls, program: str, directory: Path) -> Firefox:
        """Returns when it can be told what to do."""
        profile = directory / "profile"
        profile.mkdir(parents=True)
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
        (profile / "user.js").write_text("".join(lines))
        options = ["--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
        process = await asyncio.create_subprocess_exec(
            program,
            *options,
            stdout=DEVNULL,
            stderr=PIPE,
            env={**os.environ, "HOME": str(directory), "MOZ_CRASHREPORTER_DISABLE": "1"},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(WAIT):
                wire = await _Wire.open(await cls._address(process))
            await wire.call("session.new", capabilities={})
            await wire.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        except BaseException:
            await cls._end(process)
            raise
        return cls(process, wire)

    @staticmethod
    async def _address(process: Process) -> str:
        assert process.stderr is not None
        async for line in process.stderr:
            _, _, address = line.decode(errors="replace").partition("WebDriver BiDi listening on ")
            if address:
                return address.strip()
        raise AssertionError("Firefox has ended")

    async def window(self) -> Window:
        """Another window, which is seen beside the others."""
        opened = await self._wire.call("browsingContext.create", type="window")
        return Window(self._wire, opened["context"])

    @property
    def complaints(self) -> list[str]:
        """What pages logged as errors and warnings, and exceptions that nothing caught, but for what is forgiven."""
        entries = [one["params"] for one in self._wire.notices if one["method"] == "log.entryAdded"]
        said = [one["text"] for one in entries if one["level"] in ("error", "warn")]
        return [text for text in said if not any(words in text for words in self._forgiven)]

    def forgive(self, words: str) -> None:
        """What Firefox itself says of something that a test does, and no page could help; whenever it says so."""
        self._forgiven.append(words)

    @property
    def requests(self) -> list[str]:
        """The addresses that pages asked for."""
        sent = [one["params"] for one in self._wire.notices if one["method"] == "network.beforeRequestSent"]
        return [one["request"]["url"] for one in sent]

    async def close(self) -> None:
        """End it, and all that it started."""
        await self._wire.close()
        await self._end(self._process)

    @staticmethod
    async def _end(process: Process) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await process.wait()
