"""Follows the redirects of a server. httpx could, but reads their bodies to the end, which a server need not send."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from gateway.client.answer import as_it_is

MOST_REDIRECTS = 20
"""Redirects of one request that are followed."""


async def send(
    client: httpx.AsyncClient, request: httpx.Request, auth: Callable[[httpx.Request], httpx.Request] | None
) -> httpx.Response:
    """The answer that is no redirect, with its body still to be read. Raises httpx.TooManyRedirects."""
    for _ in range(1 + MOST_REDIRECTS):
        response = await client.send(request, stream=True, auth=auth, follow_redirects=False)
        if response.next_request is None:
            return response
        await response.aclose()
        # It has the headers of the request before, without those that are not for another server.
        request, auth = response.next_request, as_it_is
    raise httpx.TooManyRedirects("too many redirects", request=request)
