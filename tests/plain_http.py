"""Requests of tests to processes of this machine."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no authority. Those of the system take 20 ms to be read, and httpx would read them for each client."""

WAIT = 60.0
"""Seconds until an answer counts as missing. httpx gives up after five, for which a busy machine may hold a process."""


def http_client(**options: Any) -> httpx.AsyncClient:
    """A client for plain HTTP, with the options of httpx, that asks no proxy."""
    return httpx.AsyncClient(**{"trust_env": False, "verify": NOBODY, "timeout": WAIT, **options})
