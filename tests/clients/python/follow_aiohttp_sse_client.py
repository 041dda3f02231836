import asyncio
import sys

from aiohttp import ClientError, ClientTimeout
from aiohttp_sse_client.client import EventSource


async def follow(url: str) -> None:
    headers: dict[str, str] = {}
    timeout = ClientTimeout(total=None, sock_read=60)
    while True:
        try:
            async with EventSource(url, headers=headers, timeout=timeout) as events:
                async for event in events:
                    if event.type == "message":
                        print(event.data, flush=True)
                    headers["Last-Event-Id"] = event.last_event_id
        except (ClientError, ConnectionError, TimeoutError) as problem:
            print(problem, file=sys.stderr)
        await asyncio.sleep(2)


asyncio.run(follow(sys.argv[1]))
