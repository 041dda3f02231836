"""Attacks by those who want what a sick topic or broker cannot give. See Force."""

from __future__ import annotations

import json
from typing import Any

from tests.attacks.force import Force, get, post, stream
from tests.attacks.requests import next_event

TOPIC = "sick"


def _id(**place: Any) -> str:
    return json.dumps([{"topic": TOPIC, "partition": 1, **place}])


async def everything(force: Force) -> None:
    """Follow, replay, resume and write the sick topic, ask what there is of it, and do so again when that ends."""
    event = next_event(1)
    event["meta"]["stream"] = TOPIC
    requests = [
        get(stream(TOPIC)),
        get(stream(f"plain,{TOPIC}")),
        get(stream("*", since="1h")),
        get(stream(TOPIC, since="1h")),
        get(stream(TOPIC, since="1970-01-01", until="2100-01-01", limit=1000), accept="application/x-ndjson"),
        get(stream(TOPIC), Last_Event_ID=_id(offset=0)),
        get(stream(TOPIC), Last_Event_ID=_id(offset=2**40, timestamp=1)),
        get(stream(TOPIC), Last_Event_ID=_id(timestamp=5)),
        get("/v2/streams"),
        get(f"/v2/streams/{TOPIC}"),
        get("/explorer/rates"),
        get("/readyz"),
        post(json.dumps(event).encode(), "connection: close"),
    ]

    async def behave(number: int) -> None:
        request = requests[number % len(requests)]
        if number % 2:
            await force.follow(request, number)
        else:
            await force.ask(request, number)

    await force.crowd(force.options.count, behave, pause=0.2)
