"""The programs of docs/CLIENTS.md that read a range as a table."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import duckdb
import pytest

from gateway.catalog.stream import Stream
from gateway.times import parse_time
from tests.routes.kit import running, stored

GUIDE = (Path(__file__).parent.parent / "docs" / "CLIENTS.md").read_text()
SECTION = GUIDE.partition("## Yesterday in a file\n")[2].partition("\n## ")[0]
CHANGES = Stream("wiki.change", ("wiki.change",), schema_title="wiki/change")
DAY = parse_time("2026-03-01", 0)


def block(begin: str) -> str:
    """The indented lines that begin so."""
    lines = SECTION[SECTION.index(f"    {begin}") :].splitlines()
    size = next((at for at, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    return "\n".join(line[4:] for line in lines[:size])


async def test_the_table_of_curl_is_what_duckdb_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(block("curl").replace("\\\n", " ").partition(" > ")[0])
    data = dict(pair.split("=", 1) for flag, pair in pairwise(words) if flag == "-d")
    (url,) = (word for word in words if word.startswith("http"))
    async with running(streams=[CHANGES]) as site:
        edits = [("enwiki", False, 5), ("enwiki", True, 7), ("dewiki", False, None), ("enwiki", False, 10)]
        for number, (wiki, bot, new) in enumerate(edits):
            more = {} if new is None else {"length": {"new": new}}
            site.put("wiki.change", stored(number, DAY + number, wiki=wiki, bot=bot, title='a,"b"', **more))
        answer = await site.get(urlsplit(url).path, params=data, headers={"accept": "text/csv"})
        assert "gateway-warning" not in answer.headers
    (tmp_path / "yesterday.csv").write_bytes(answer.content)
    monkeypatch.chdir(tmp_path)
    found = duckdb.sql(block("SELECT"))
    assert found is not None
    assert found.fetchall() == [("enwiki", 2, 15), ("dewiki", 1, None)]


@pytest.mark.parametrize("begin", ["import pandas", "url <-"])
async def test_the_addresses_of_the_others_give_a_table(begin: str) -> None:
    (url,) = re.findall(r'"(http[^"]+)"', block(begin))
    async with running(streams=[CHANGES]) as site:
        site.put("wiki.change", stored(0, DAY, title="A", wiki="enwiki"))
        params = dict(parse_qsl(urlsplit(url).query))
        answer = await site.get(urlsplit(url).path, params=params, headers={"accept": "text/csv"})
    assert answer.text == "meta.dt,wiki,title\r\n,enwiki,A\r\n"
