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
BODY_SECONDS = 1.0
"""An answer's body has so long to come; the request has had its time until then."""
KEPT_BYTES = 1_000
"""Bytes of it that are kept, for whoever reads the dead events."""
LOOKUP_SECONDS = 10.0
"""The addresses of a name are looked up again after so long."""
MOST_ADDRESSES = 4
"""Addresses of a host that are tried, one after the other."""

NO_PROXIES = Proxies({}, {})
"""For hosts that are asked directly."""
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
    _authorities: Authorities = field(default_factory=Authorities)
    _idle: dict[bool, list[Outbound]] = field(default_factory=lambda: {True: [], False: []})
    """Transports without a request, which lead through a proxy or do not. A transport has one request at a time, and
    so one connection to a host: a pool looks at each of its connections several times in a request."""

    async def send(self, request: Prepared) -> Answer:
        """See Sender. A redirect is an answer like others, and nothing of it is followed."""
        try:
            async with asyncio.timeout(request.timeout / 1000) as deadline:
                return await self._send(request, deadline)
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
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()

    async def _send(self, request: Prepared, deadline: asyncio.Timeout) -> Answer:
        if self.proxies.choose(request.scheme, request.host, request.port) is not None:
            return await self._ask(True, request, request.host, {}, deadline)
        addresses = await self._addresses(request.host, request.port)
        connect = request.timeout / 1000 / len(addresses)
        more: dict[str, object] = {"timeout": {**httpx.Timeout(request.timeout / 1000).as_dict(), "connect": connect}}
        if request.scheme == "https" and _address(request.host) is None:
            more["sni_hostname"] = request.host
        for address in addresses[:-1]:
            # Nothing was sent where no connection came about; another address of the host may be up.
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._ask(False, request, address, more, deadline)
        return await self._ask(False, request, addresses[-1], more, deadline)

    async def _ask(
        self,
        by_proxy: bool,
        request: Prepared,
        host: str,
        more: Mapping[str, object],
        deadline: asyncio.Timeout,
    ) -> Answer:
        url = httpx.URL(scheme=request.scheme, host=host, port=request.port, raw_path=request.target.encode())
        timeout = httpx.Timeout(request.timeout / 1000).as_dict()
        sent = httpx.Request(
            request.method,
            url,
            headers=[(b"host", request.authority.encode()), *_HEADERS, *request.headers],
            content=request.body if request.body is not None else b"" if request.method in ("POST", "PUT") else None,
            extensions={"timeout": timeout, **more},
        )
        idle = self._idle[by_proxy]
        # An address says nothing of who is asked: whether there is a proxy was decided by the name.
        proxies = self.proxies if by_proxy else NO_PROXIES
        transport = idle.pop() if idle else Outbound(self._authorities, proxies)
        try:
            return await self._exchange(transport, sent, deadline)
        finally:
            idle.append(transport)

    async def _exchange(self, transport: Outbound, sent: httpx.Request, deadline: asyncio.Timeout) -> Answer:
        response = await transport.handle_async_request(sent)
        body = bytearray()
        # The status says what became of the request, whatever becomes of the rest of the answer.
        deadline.reschedule(None)
        try:
            with suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(BODY_SECONDS):
                    await _read_beginning(response, body)
        finally:
            with suppress(httpx.HTTPError):
                await response.aclose()
        after = response.headers.get("retry-after")
        return Answer(response.status_code, retry_after=after, body=bytes(body[:KEPT_BYTES]))

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


async def _read_beginning(response: httpx.Response, body: bytearray) -> None:
    """Read as much of the body as is wanted; as it comes, so that nothing is expanded."""
    async for part in response.aiter_raw():
        body += part
        if len(body) >= ANSWER_BYTES:
            return


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
