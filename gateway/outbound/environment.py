"""Reads from the environment how to reach a server: proxies, and the authorities whose certificates are trusted.

The variables are those that curl, Go and Python share. Where these differ, the rules are curl's. A mistake in one is
reported once it matters, with its name and the right form, and never with a password.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from gateway.errors import InvalidEnvironment
from gateway.text import printable

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST = re.compile(r"(?:\[[^\[\]/?#@]{0,64}\]|[^:/?#@\[\]]{0,255})(?::[0-9]{1,5})?(?=[/?#]|$)")
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""The name under which OpenSSL looks for a certificate in a directory."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy for requests. `variable` is the environment variable that names it; `url` may hold a password."""

    url: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {without_secrets(self.url)} ({self.variable})"


def without_secrets(address: str) -> str:
    """The scheme, host and port of an address, whatever is wrong with it; of the rest, that there is some."""
    scheme = _SCHEME.match(address)
    begins = scheme[0] if scheme else ""
    rest = address[len(begins) :].rpartition("@")[2]
    host = _HOST.match(rest)
    shown = host[0] if host else ""
    return printable(f"{begins}{shown}{'' if shown == rest.rstrip('/') else '…'}")


class Proxies:
    """Which proxy is asked for an address. `named` is as urllib's getproxies gives it."""

    def __init__(self, named: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._named = named
        self._environment = environment

    def choose(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """The proxy for what `host` (a name in its ASCII form, or an address without brackets) has; None: none. Raises
        InvalidEnvironment."""
        kind = scheme if self._named.get(scheme) else "all"
        url = self._named.get(kind, "").strip()
        if not url or self._is_exempt(scheme, host, port or _DEFAULT_PORTS.get(scheme)):
            return None
        variable = self._variable(kind, self._named[kind])
        return Proxy(_checked(variable, url), variable)

    def _variable(self, kind: str, value: str) -> str:
        """The name as it was written; the lower case one goes before the other, as it does for urllib."""
        names = (f"{kind}_proxy", f"{kind}_proxy".upper())
        found = (name for name in names if self._environment.get(name) == value)
        return next(found, f"the system's proxy for {kind}")

    def _is_exempt(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether NO_PROXY names it: names with all below them, addresses, networks; each with a port perhaps."""
        listed = self._named.get("no", "")
        variable = self._variable("no", listed)
        return any(_matches(variable, entry, scheme, host, port) for entry in re.split(r"[\s,]+", listed) if entry)


def read_proxies() -> Proxies:
    """Those of the environment, or of the system where it keeps them elsewhere (macOS, Windows)."""
    return Proxies(getproxies(), os.environ)


def _checked(variable: str, value: str) -> str:
    """The address of a proxy, with its scheme."""
    url = value if "://" in value else f"http://{value}"

    def wrong(what: str) -> InvalidEnvironment:
        return InvalidEnvironment(f"{variable}={without_secrets(value)}: {what}")

    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme and scheme not in _PROXY_SCHEMES:
        socks = "; for SOCKS write socks5://" if scheme.startswith("socks") else ""
        raise wrong(f"{scheme}:// is not a supported kind of proxy; write http:// or https://{socks}")
    if not scheme or not host or port == 0 or not url.isprintable() or " " in url or not _is_plain(parts.path):
        raise wrong(
            "this is not the address of a proxy; write it as in http://127.0.0.1:3128, "
            "and what is special in a name or password as %40 for @, %2F for /, %23 for #"
        )
    if scheme.startswith("socks") and not _has_socks():
        raise wrong("for SOCKS the package socksio is missing (pip install 'httpx[socks]')")
    return url


def _is_plain(path: str) -> bool:
    """Whether nothing follows the host: a path is the rest of a password, as a rule."""
    return path in ("", "/")


def _has_socks() -> bool:
    try:
        import socksio  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        return False
    return True


def _matches(variable: str, entry: str, scheme: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    named, _, rest = entry.rpartition("://")
    if named and named.lower() not in (scheme, "all"):
        return False
    address = _address(host)
    if "/" in rest:
        network = _network(variable, rest)
        return address is not None and address.version == network.version and address in network
    name, wanted_port = _split_port(variable, rest)
    if wanted_port is not None and wanted_port != port:
        return False
    wanted = _address(name)
    if wanted is not None or address is not None:
        return wanted == address
    suffix = _ascii(name.removeprefix("*").strip("."))
    shown = _ascii(host.rstrip("."))
    return bool(suffix) and (shown == suffix or shown.endswith(f".{suffix}"))


def _network(variable: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, _, length = text.partition("/")
    try:
        return ipaddress.ip_network(f"{address.strip('[]')}/{length.rstrip(']')}", strict=False)
    except ValueError:
        raise InvalidEnvironment(
            f"{variable}: {printable(text)!r} is not a network; write it as in 10.0.0.0/8 or fd00::/8"
        ) from None


def _split_port(variable: str, text: str) -> tuple[str, int | None]:
    """A host, and the port for which alone it stands."""
    if _address(text) is not None:
        return text, None
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(\d{1,5}))?", text)
    plain = re.fullmatch(r"([^\[\]:]*)(?::(\d{1,5}))?", text)
    found = bracketed or plain
    if found is None or (bracketed and _address(bracketed[1]) is None):
        raise InvalidEnvironment(
            f"{variable}: {printable(text)!r} is not a host; write it as in example.org, 10.0.0.1 or [::1]:8080"
        )
    return found[1], None if found[2] is None else int(found[2])


def _address(host: str) -> Address | None:
    """An address for comparison: without its zone; IPv4 where it is written as IPv6."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _ascii(name: str) -> str:
    with suppress(UnicodeError):
        return name.encode("idna").decode().lower()
    return name.lower()


def trusted_authorities(environment: Mapping[str, str], otherwise: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """How servers are verified: by SSL_CERT_FILE and SSL_CERT_DIR, or else as `otherwise` says. Raises
    InvalidEnvironment."""
    file, directories = environment.get("SSL_CERT_FILE", ""), environment.get("SSL_CERT_DIR", "")
    if directories:
        _check_directories(directories)
    try:
        named = bool(file or directories)
        context = ssl.create_default_context(cafile=file or None, capath=directories or None) if named else otherwise()
    except OSError as error:
        if file:
            _check_file(file)
        # What is left for it to open (ssl.create_default_context).
        key_log = printable(environment.get("SSLKEYLOGFILE", ""))
        raise InvalidEnvironment(
            f"SSLKEYLOGFILE={key_log}: {error.strerror}; name a file that can be written, or unset it"
        ) from error
    if file and not directories and not context.cert_store_stats()["x509"]:
        raise _wrong_file(file, "it holds no certificate")
    return context


def _check_file(file: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError as error:
        raise _wrong_file(file, "it holds no certificate") from error
    except OSError as error:
        raise _wrong_file(file, error.strerror or str(error)) from error


def _wrong_file(file: str, why: str) -> InvalidEnvironment:
    return InvalidEnvironment(
        f"SSL_CERT_FILE={printable(file)}: {why}; name a file with certificates of authorities (PEM), or unset it"
    )


def _check_directories(directories: str) -> None:
    """OpenSSL looks into them when it needs a certificate, and does not say that they are not there."""
    for directory in filter(None, directories.split(os.pathsep)):
        try:
            named = any(_HASHED.fullmatch(entry.name) for entry in Path(directory).iterdir())
            why = "it holds no certificate under the name of its hash (`openssl rehash` makes those)"
        except OSError as error:
            named, why = False, error.strerror or str(error)
        if not named:
            raise InvalidEnvironment(
                f"SSL_CERT_DIR={printable(directory)}: {why}; name a directory of certificates, or unset it"
            )
