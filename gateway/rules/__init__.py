"""Rules: an HTTP request, or an event, for each event of a stream that matches."""
