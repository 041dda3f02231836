"""What the gateway says of itself to programs and people: OpenAPI, AsyncAPI, and a page. Pure."""
