"""The operations of views as they are described, against what they answer."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.description.streams import SAME_AS_HEADER
from tests.description.kit import Record, operations
from tests.routes.viewing import START, page, viewing

OWN = "/v2/views/pages"
KEY = OWN + "/{wiki}/{title}"


async def test_each_status_of_a_view_can_be_had_and_is_described(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A"), page("B", 10)) as views:
        client = views.site.client
        record = Record((await client.get("/openapi.json")).json())
        for path in (OWN, f"{OWN}/enwiki/A", f"{OWN}/enwiki/A/history"):
            answer = record.add(await client.get(path))
            assert answer.status_code == 200
            again = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
            assert record.add(again).status_code == 304
            assert record.add(await client.get(path, params={"x": "1"})).status_code == 400
        assert record.add(await client.get("/v2/views")).status_code == 200
        assert record.add(await client.get(f"{OWN}/enwiki/C")).status_code == 404
        assert record.add(await client.get(f"{OWN}/enwiki/C/history")).status_code == 404
        assert record.add(await client.get(f"{OWN}/enwiki/A", params={"at": START - 1})).status_code == 410
        assert record.add(await client.get(OWN, params={"at": START - 1})).status_code == 410
        assert record.add(await client.get(OWN, headers={"accept": "image/png"})).status_code == 406
        async with client.stream("GET", OWN, headers={"accept": "text/event-stream"}) as stream:
            record.add(stream)
        described = {path for path, _, _ in operations(record.document) if path.startswith("/v2/views")}
        assert described == {"/v2/views", OWN, KEY, f"{KEY}/history"}
        assert "/v2/views/pages" in (await client.get("/docs")).text


async def test_parameters_of_a_view_are_those_that_are_read(tmp_path: Path) -> None:
    async with viewing(tmp_path, page("A")) as views:
        client = views.site.client
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path, template in ((OWN, OWN), (f"{OWN}/enwiki/A", KEY), (f"{OWN}/enwiki/A/history", f"{KEY}/history")):
            read: set[str] = set()
            for kind in ("application/json", "text/event-stream"):
                refused = (await client.get(path, params={"x": ""}, headers={"accept": kind})).json()
                known = re.search(r"there are: (.*)\)", refused["detail"])
                assert known is not None
                read.update(known[1].split(", "))
            told = paths[template]["get"]["parameters"]
            assert {one["name"] for one in told if one["in"] == "query"} == read - set(SAME_AS_HEADER)
            if read & set(SAME_AS_HEADER):
                (header,) = (one for one in told if one["name"] == "Last-Event-ID")
                assert all(f"`{name}`" in header["description"] for name in SAME_AS_HEADER)
