import json
import sys

from pywikibot.comms.eventstreams import EventStreams

events = EventStreams(url=sys.argv[1], site=None, headers={"user-agent": "example/1.0 (me@example.org)"})
for event in events:
    print(json.dumps(event), flush=True)
