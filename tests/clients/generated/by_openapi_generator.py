"""What somebody does with the Python client that openapi-generator makes: ADDRESS TITLE EVENT..., as its neighbour."""

import json
import sys

import described
from described.api import DocumentsApi, IntakeApi, SchemasApi, ServiceApi, StreamsApi
from described.models import SendRequest, Sent

address, title, *texts = sys.argv[1:]
stream = json.loads(texts[0])["meta"]["stream"]
events = [Sent.from_json(text) for text in texts]


def data_of(line: str) -> list[dict[str, object]]:
    """The event of a line of server-sent events; the data of their end are none."""
    data = json.loads(line[6:]) if line.startswith("data: {") else {}
    return [data] if "meta" in data else []


def refusal_of(call, *arguments) -> described.ApiException:
    """An answer that is an error."""
    try:
        call(*arguments)
    except described.ApiException as refused:
        return refused
    raise AssertionError("that was taken")


with described.ApiClient(described.Configuration(host=address)) as client:
    intake, streams, schemas = IntakeApi(client), StreamsApi(client), SchemasApi(client)
    service, documents = ServiceApi(client), DocumentsApi(client)
    one = intake.send_with_http_info(SendRequest(events[0]))
    many = intake.send_with_http_info(SendRequest(events[1:]))
    stranger = Sent.from_dict(events[0].to_dict())
    stranger.meta.stream = "nobody"
    refused = refusal_of(intake.send, SendRequest(stranger))
    text = streams.subscribe(stream, since="1h", limit=len(events), filter='event.type != "categorize"')
    first = next(frame for frame in text.split("\n\n") if '"meta"' in frame)
    last_id = next(line[4:] for line in first.splitlines() if line.startswith("id: "))
    endless = []
    response = streams.subscribe_without_preload_content(stream, last_event_id=last_id)
    for line in response:
        endless += data_of(line.decode())
        if len(endless) == len(events) - 1:
            break
    response.close()
    told = {
        "sent": [one.status_code, many.status_code],
        "refused": [refused.status, len(refused.data.invalid)],
        "finite": [event for line in text.splitlines() for event in data_of(line)],
        "endless": endless,
        "streams": [one.name for one in streams.list_streams()],
        "stream": json.loads(streams.get_stream(stream).to_json()),
        "unknown": refusal_of(streams.get_stream, "nobody").data.status,
        "schemas": [one.title for one in schemas.list_schemas()],
        "versions": schemas.list_versions(title).versions,
        "schema": schemas.get_schema(title, "latest")["title"],
        "health": service.health_with_http_info().status_code,
        "readiness": service.readiness_with_http_info().status_code,
        "documents": [documents.openapi()["openapi"], documents.asyncapi()["asyncapi"]],
    }
print(json.dumps(told))
