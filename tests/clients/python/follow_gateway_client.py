import asyncio
import sys

from gateway.client import FilePositions, subscribe


async def follow(url: str) -> None:
    async with subscribe(url, store=FilePositions("position")) as events:
        async for event in events:
            print(event.data.decode(), flush=True)


asyncio.run(follow(sys.argv[1]))
