import sys
import time

import httpx
from httpx_sse import connect_sse

url, headers = sys.argv[1], {}
while True:
    try:
        with httpx.Client(timeout=60) as client, connect_sse(client, "GET", url, headers=headers) as events:
            events.response.raise_for_status()
            for event in events.iter_sse():
                if event.event == "message" and event.data:
                    print(event.data, flush=True)
                headers["Last-Event-ID"] = event.id
    except httpx.HTTPError as problem:
        print(problem, file=sys.stderr)
    time.sleep(2)
