"""What somebody does with the client that openapi-python-client makes: ADDRESS TITLE EVENT..., events of a schema.

Sends the first event by itself and the others in a list, and tells in JSON what all operations gave.
"""

import json
import sys

from described import Client
from described.api.documents import asyncapi, openapi
from described.api.intake import send
from described.api.schemas import get_schema, list_schemas, list_versions
from described.api.service import health, readiness
from described.api.streams import get_stream, list_streams, subscribe
from described.models import Sent

address, title, *texts = sys.argv[1:]
stream = json.loads(texts[0])["meta"]["stream"]
events = [Sent.from_dict(json.loads(text)) for text in texts]


def data_of(line: str) -> list[dict[str, object]]:
    """The event of a line of server-sent events; the data of their end are none."""
    data = json.loads(line[6:]) if line.startswith("data: {") else {}
    return [data] if "meta" in data else []


with Client(base_url=address, timeout=20, raise_on_unexpected_status=True) as client:
    one = send.sync_detailed(client=client, body=events[0])
    many = send.sync_detailed(client=client, body=events[1:])
    stranger = Sent.from_dict(events[0].to_dict())
    stranger.meta.stream = "nobody"
    refused = send.sync_detailed(client=client, body=stranger)
    text = subscribe.sync(stream, client=client, since="1h", limit=len(events), filter_='event.type != "categorize"')
    first = next(frame for frame in text.split("\n\n") if '"meta"' in frame)
    last_id = next(line[4:] for line in first.splitlines() if line.startswith("id: "))
    endless = []
    # What it makes reads a response to its end; one without an end is asked for by its parts.
    with client.get_httpx_client().stream(**subscribe._get_kwargs(stream, last_event_id=last_id)) as response:
        for line in response.iter_lines():
            endless += data_of(line)
            if len(endless) == len(events) - 1:
                break
    found = get_stream.sync(stream, client=client)
    told = {
        "sent": [one.status_code, many.status_code],
        "refused": [refused.status_code, len(refused.parsed.invalid)],
        "finite": [event for line in text.splitlines() for event in data_of(line)],
        "endless": endless,
        "streams": [one.name for one in list_streams.sync(client=client)],
        "stream": found.to_dict(),
        "unknown": get_stream.sync("nobody", client=client).status,
        "schemas": [one.title for one in list_schemas.sync(client=client)],
        "versions": list_versions.sync(title, client=client).versions,
        "schema": get_schema.sync(title, "latest", client=client).to_dict()["title"],
        "health": health.sync_detailed(client=client).status_code,
        "readiness": readiness.sync_detailed(client=client).status_code,
        "documents": [
            openapi.sync(client=client).to_dict()["openapi"],
            asyncapi.sync(client=client).to_dict()["asyncapi"],
        ],
    }
print(json.dumps(told))
