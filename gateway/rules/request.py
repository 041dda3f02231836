"""Makes the requests of rules: only to the hosts of the declaration, within a time and a size.

Private networks can only be reached where the configuration names them. The addresses of a host are looked up here,
checked, and then used directly. So a name cannot change its meaning between the check and the request (DNS rebinding).
If the environment names a proxy for the host, the proxy looks the name up, and decides.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

from gateway.errors import GatewayError, InvalidEnvironment
from gateway.limits.networks import Address, Networks, plain
from gateway.outbound.certificates import why_refused
from gateway.outbound.environment import Proxies, read_proxies
from gateway.outbound.lookups import look_up_apart
from gateway.outbound.requests import Authorities, Outbound
from gateway.rules.attempt import Answer, Prepared

ANSWER_BYTES = 65_536
"""Bytes of an answer's body that are read, so that the connection can be used again; what is longer is cut off."""
KEPT_BYTES = 1_000
"""Bytes of it that are kept, for whoever reads the dead events."""
LOOKUP_SECONDS = 10.0
"""The addresses of a name are looked up again after so long."""
MOST_ADDRESSES = 4
"""Addresses of a host that are tried, one after the other."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
_HEADERS = ((b"accept", b"*/*"), (b"accept-encoding", b"identity"), (b"user-agent", b"event-gateway"))


class Forbidden(GatewayError):
    """A host has no address that rules may ask."""


class _Found(NamedTuple):
    addresses: list[str]
    until: float


@dataclass(slots=True)
class Egress:
    """A Sender over HTTP. `networks` are those of private addresses that may be asked."""

    networks: Networks
    proxies: Proxies = field(default_factory=read_proxies)
    _found: dict[tuple[str, int], _Found] = field(default_factory=dict)
    _direct: Outbound = field(init=False)
    _by_proxy: Outbound = field(init=False)

    def __post_init__(self) -> None:
        authorities = Authorities()
        # An address says nothing of who is asked: whether there is a proxy is decided by the name.
        self._direct = Outbound(authorities, Proxies({}, {}))
        self._by_proxy = Outbound(authorities, self.proxies)

    async def send(self, request: Prepared) -> Answer:
        """See Sender. A redirect is an answer like others, and nothing of it is followed."""
        try:
            async with asyncio.timeout(request.timeout / 1000):
                return await self._send(request)
        except TimeoutError:
            return Answer(None, f"no answer within {request.timeout / 1000:g} s")
        except (Forbidden, InvalidEnvironment) as error:
            return Answer(None, str(error))
        except socket.gaierror as error:
            return Answer(None, f"{request.host} cannot be looked up: {error.strerror or error}")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return Answer(None, _told(error))

    async def close(self) -> None:
        """Close all connections."""
        await self._direct.aclose()
        await self._by_proxy.aclose()

    async def _send(self, request: Prepared) -> Answer:
        if self.proxies.choose(request.scheme, request.host, request.port) is not None:
            return await self._ask(self._by_proxy, request, request.host, {})
        addresses = await self._addresses(request.host, request.port)
        connect = request.timeout / 1000 / len(addresses)
        more: dict[str, object] = {"timeout": {**httpx.Timeout(request.timeout / 1000).as_dict(), "connect": connect}}
        if request.scheme == "https" and _address(request.host) is None:
            more["sni_hostname"] = request.host
        for address in addresses[:-1]:
            # Nothing was sent where no connection came about; another address of the host may be up.
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._ask(self._direct, request, address, more)
        return await self._ask(self._direct, request, addresses[-1], more)

    async def _ask(self, transport: Outbound, request: Prepared, host: str, more: Mapping[str, object]) -> Answer:
        url = httpx.URL(scheme=request.scheme, host=host, port=request.port, raw_path=request.target.encode())
        timeout = httpx.Timeout(request.timeout / 1000).as_dict()
        sent = httpx.Request(
            request.method,
            url,
            headers=[(b"host", request.authority.encode()), *_HEADERS, *request.headers],
            content=request.body if request.body is not None else b"" if request.method in ("POST", "PUT") else None,
            extensions={"timeout": timeout, **more},
        )
        response = await transport.handle_async_request(sent)
        try:
            body = await _beginning(response)
        finally:
            await response.aclose()
        return Answer(response.status_code, retry_after=response.headers.get("retry-after"), body=body[:KEPT_BYTES])

    async def _addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be asked. Raises Forbidden, socket.gaierror."""
        loop = asyncio.get_running_loop()
        found = self._found.get((host, port))
        if found is None or found.until < loop.time():
            look_up_apart()
            answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = _Found(self._allowed(host, (str(answer[4][0]) for answer in answers)), loop.time() + LOOKUP_SECONDS)
            self._found[host, port] = found
        return found.addresses

    def _allowed(self, host: str, addresses: Iterable[str]) -> list[str]:
        known = [address for text in dict.fromkeys(addresses) if (address := _address(text)) is not None]
        allowed = [address for address in known if is_public(address) or plain(address) in self.networks]
        if not allowed:
            where = ", ".join(str(address) for address in known[:MOST_ADDRESSES])
            raise Forbidden(f"{host} is {where}, which no rule_networks names; private addresses are asked only there")
        return [str(address) for address in allowed[:MOST_ADDRESSES]]


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet; of one that stands for another, whether that one does."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            return False
        if address in _NAT64 or (address in _COMPATIBLE and inner is None):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


async def _beginning(response: httpx.Response) -> bytes:
    """As much of the body as is read; as it comes, so that nothing is expanded."""
    body = b""
    async for part in response.aiter_raw(8192):
        body += part
        if len(body) >= ANSWER_BYTES:
            break
    return body


def _told(error: Exception) -> str:
    """For a person; what went wrong is not always said by the error."""
    why = why_refused(error)
    if why is not None:
        return str(why)
    kinds = {
        httpx.ConnectError: "the connection is refused, or fails",
        httpx.ReadError: "the connection is reset",
        httpx.WriteError: "the connection is reset",
        httpx.RemoteProtocolError: "what it answers is no HTTP",
        httpx.LocalProtocolError: "the request cannot be written as HTTP",
    }
    known = next((text for kind, text in kinds.items() if isinstance(error, kind)), type(error).__name__)
    detail = str(error)[:200]
    return f"{known}: {detail}" if detail else known
