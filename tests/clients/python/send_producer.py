import asyncio
import sys

from gateway.client import EventFailed, EventInvalid, Producer


async def send(producer, event):
    try:
        await producer.send(event)
    except (EventInvalid, EventFailed) as problem:
        print(problem, file=sys.stderr)


async def main(url):
    async with Producer(url) as producer:
        await asyncio.gather(*(send(producer, line) for line in sys.stdin.buffer))


asyncio.run(main(sys.argv[1]))
