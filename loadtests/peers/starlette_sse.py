"""What a Python team writes first: Starlette, sse-starlette, and a consumer of aiokafka for each client.

python -m loadtests.peers.starlette_sse PORT BROKERS
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import uvicorn
from aiokafka import AIOKafkaConsumer
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


def application(brokers: str) -> Starlette:
    """The newest events of `/TOPIC`."""

    async def events(topic: str) -> AsyncIterator[dict[str, str]]:
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers)
        await consumer.start()
        try:
            async for record in consumer:
                yield {"id": f"{record.partition}:{record.offset}", "data": record.value.decode()}
        finally:
            await consumer.stop()

    async def stream(request: Request) -> Response:
        return EventSourceResponse(events(request.path_params["topic"]))

    async def health(_: Request) -> Response:
        return PlainTextResponse("")

    return Starlette(routes=[Route("/healthz", health), Route("/{topic}", stream)])


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), log_level="warning")
