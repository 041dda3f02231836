import sys
import time

import requests
from requests_sse import EventSource

url, last_id = sys.argv[1], ""
while True:
    try:
        with EventSource(url, latest_event_id=last_id, timeout=60) as events:
            for event in events:
                if event.type == "message":
                    print(event.data, flush=True)
                last_id = event.last_event_id
    except requests.RequestException as problem:
        print(problem, file=sys.stderr)
    time.sleep(2)
