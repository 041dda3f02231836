"""A recording of a terminal for the README, as a picture that moves: `scripts/recording`."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from contextlib import suppress
from fcntl import ioctl
from io import StringIO
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.end_to_end.process import ROOT, WAIT, GatewayProcess, environment

PICTURE = ROOT / "scripts" / "pictures" / "terminal.svg"
ADDRESS = "http://127.0.0.1:8080"
COMMANDS = (
    """gateway tail wiki.change --quiet --limit 12 --filter 'event.wiki == "enwiki" && !event.bot'""",
    f"curl -N '{ADDRESS}/v2/stream/wiki.change?fields=title,user&limit=2'",
)
WIDTH, HEIGHT = 104, 40
TYPING = 1.2
"""Seconds from one command to what it says first."""
LONGEST_PAUSE = 0.6
"""Seconds; what takes longer is shown as if it took so long."""
THEME = TerminalTheme(
    (22, 27, 34),
    (214, 221, 228),
    [
        (72, 79, 88),
        (255, 123, 114),
        (86, 211, 140),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (78, 205, 196),
        (177, 186, 196),
    ],
)
TEMPLATE = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas, monospace; }}
.{unique_id}-title {{ font: bold 18px system-ui, sans-serif; }}
@keyframes appear {{ from {{ opacity: 0; }} }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


async def shown(command: str, variables: dict[str, str]) -> list[tuple[float, str]]:
    """The lines that a command writes to a terminal, each with the seconds since its start."""
    terminal, inner = pty.openpty()
    ioctl(inner, TIOCSWINSZ, pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command, stdin=inner, stdout=inner, stderr=DEVNULL, env=variables
    )
    os.close(inner)
    began, text, lines = time.monotonic(), b"", []
    with suppress(OSError):  # The terminal is closed when the command ends.
        while part := await _read(terminal):
            *whole, text = (text + part).split(b"\n")
            lines += [(time.monotonic() - began, line.decode().rstrip("\r")) for line in whole]
    os.close(terminal)
    assert await process.wait() == 0, command
    return lines


async def _read(terminal: int) -> bytes:
    async with asyncio.timeout(WAIT):
        return await asyncio.to_thread(os.read, terminal, 1 << 16)


def draw(lines: list[tuple[float, Text]]) -> str:
    """The terminal, in which each line appears at its time, in seconds."""
    console = Console(width=WIDTH, record=True, file=StringIO(), force_terminal=True, color_system="truecolor")
    for _, line in lines:
        line.truncate(WIDTH, overflow="ellipsis")
        console.print(line, no_wrap=True, crop=True, highlight=False)
    svg = console.export_svg(title="Event gateway", theme=THEME, code_format=TEMPLATE, unique_id="terminal")
    times = "\n".join(
        f'[clip-path="url(#terminal-line-{number})"] {{ animation: appear 1ms {moment:.2f}s backwards; }}'
        for number, (moment, _) in enumerate(lines)
    )
    # Who wants no motion sees all of it at once.
    return svg.replace("</style>", f"@media (prefers-reduced-motion: no-preference) {{\n{times}\n}}\n</style>", 1)


async def main() -> None:
    """Make it."""
    lines: list[tuple[float, Text]] = []
    clock = 0.0
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "gateway").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
        (folder / "gateway").chmod(0o755)
        demo = GatewayProcess(folder / "demo", "--log", f"sqlite:///{folder}/demo.db", command="demo")
        variables = {
            **environment(),
            "PATH": f"{folder}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "GATEWAY_SERVER": demo.address,
        }
        try:
            await demo.start()
            for command in COMMANDS:
                if lines:
                    lines.append((clock, Text()))
                lines.append((clock, Text.assemble(("$ ", "bold green"), (command, "bold"))))
                clock += TYPING
                last = 0.0
                for moment, line in await shown(command.replace(ADDRESS, demo.address), variables):
                    clock += min(LONGEST_PAUSE, moment - last) if last else 0
                    last = moment
                    lines.append((clock, Text.from_ansi(line)))
                clock += TYPING
        finally:
            demo.clear_up()
    PICTURE.write_text(draw(lines))


if __name__ == "__main__":
    asyncio.run(main())
