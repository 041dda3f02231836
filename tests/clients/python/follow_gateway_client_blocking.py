import sys

from gateway.client import FilePositions, subscribe_blocking

with subscribe_blocking(sys.argv[1], store=FilePositions("position")) as events:
    for event in events:
        print(event.data.decode(), flush=True)
