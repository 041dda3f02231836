"""Proxies and certificates that the environment names: chosen as curl chooses, and told by their variable if wrong."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from gateway.errors import InvalidEnvironment
from gateway.outbound.environment import Proxies, trusted_authorities, without_secrets


def proxies(**variables: str) -> Proxies:
    """Of variables in upper case."""
    named = {name.removesuffix("_PROXY").lower(): value for name, value in variables.items()}
    return Proxies(named, variables)


def asks(no_proxy: str, address: str) -> bool:
    """Whether a proxy is asked for an address."""
    url = httpx.URL(address)
    chosen = proxies(ALL_PROXY="http://p:1", NO_PROXY=no_proxy).choose(url.scheme, url.raw_host.decode(), url.port)
    return chosen is not None


@pytest.mark.parametrize(
    ("no_proxy", "address"),
    [
        ("*", "http://any.test"),
        ("a.test,  b.test", "http://b.test"),
        ("a.test b.test", "http://b.test"),
        ("example.org", "http://example.org"),
        ("example.org", "http://deep.down.EXAMPLE.org."),
        (".example.org", "http://example.org"),
        ("*.example.org", "http://www.example.org"),
        ("bücher.example", "http://xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "http://bücher.example"),
        ("localhost", "http://localhost:8080"),
        ("example.org:8080", "http://example.org:8080"),
        ("example.org:443", "https://example.org"),
        ("https://example.org", "https://example.org"),
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("10.0.0.0/8", "http://10.200.3.4"),
        ("10.1.2.3/8", "http://10.200.3.4"),
        ("::1", "http://[::1]:8080"),
        ("[::1]", "http://[::1]:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("0:0:0:0:0:0:0:1", "http://[::1]"),
        ("fd00::/8", "http://[fd12:3456::1]"),
        ("[fd00::]/8", "http://[fd12:3456::1]"),
        ("[fd00::/8]", "http://[fd12:3456::1]"),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]"),
    ],
)
def test_no_proxy_names_it(no_proxy: str, address: str) -> None:
    assert not asks(no_proxy, address)


@pytest.mark.parametrize(
    ("no_proxy", "address"),
    [
        ("", "http://any.test"),
        (" , ,", "http://any.test"),
        (".", "http://any.test"),
        ("example.org", "http://badexample.org"),
        ("example.org", "http://example.org.evil.test"),
        ("example.org:8080", "http://example.org"),
        ("http://example.org", "https://example.org"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("10.0.0.0/8", "http://ten.test"),
        ("10.0.0.0/8", "http://[fd00::1]"),
        ("0.0.1", "http://127.0.0.1"),
        ("::1", "http://[::2]"),
        ("[::1]:80", "http://[::1]:8080"),
    ],
)
def test_no_proxy_does_not_name_it(no_proxy: str, address: str) -> None:
    assert asks(no_proxy, address)


@pytest.mark.parametrize(
    ("entry", "right"),
    [("10.0.0.0/99", "10.0.0.0/8"), ("host/8", "fd00::/8"), ("[::1", "[::1]:8080"), ("[host]", "[::1]:8080"),
     ("a:b:c", "example.org"), ("host:port", "example.org")],
)  # fmt: skip
def test_what_no_proxy_cannot_mean_is_told(entry: str, right: str) -> None:
    with pytest.raises(InvalidEnvironment) as told:
        asks(f"a.test,{entry}", "http://127.0.0.1")
    assert str(told.value).startswith(f"NO_PROXY: '{entry}' is not a ")
    assert right in str(told.value)


def test_no_proxy_says_nothing_where_there_is_no_proxy() -> None:
    assert proxies(NO_PROXY="10.0.0.0/99").choose("http", "h", None) is None


def test_the_proxy_of_the_scheme_goes_before_that_of_all() -> None:
    chosen = proxies(HTTP_PROXY="one:1", ALL_PROXY="http://two:2")
    assert chosen.choose("http", "h", None).url == "http://one:1"  # type: ignore[union-attr]
    assert str(chosen.choose("https", "h", None)) == "the proxy http://two:2 (ALL_PROXY)"


def test_the_variable_is_named_as_it_was_written() -> None:
    assert str(Proxies({"http": "p:1"}, {"http_proxy": "p:1", "HTTP_PROXY": "q"}).choose("http", "h", None)) == (
        "the proxy http://p:1 (http_proxy)"
    )
    assert "the system's proxy for http" in str(Proxies({"http": "p:1"}, {}).choose("http", "h", None))


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("socks://127.0.0.1:1080/", "socks5://"),
        ("socks4://127.0.0.1:1080", "socks5://"),
        ("ftp://127.0.0.1:21", "http:// or https://"),
        ("http://", "http://127.0.0.1:3128"),
        ("http://:3128", "http://127.0.0.1:3128"),
        ("http://p:99999", "http://127.0.0.1:3128"),
        ("http://p:0", "http://127.0.0.1:3128"),
        ("http://[::1", "http://127.0.0.1:3128"),
        ("http//p:3128", "http://127.0.0.1:3128"),
        ("http://p q:3128", "http://127.0.0.1:3128"),
        ("http://p\n:3128", "http://127.0.0.1:3128"),
        ("http://user:se#cret@p:3128", "%23 for #"),
        ("http://user:se/cret@p:3128", "%2F for /"),
        ("http://p:3128/path", "http://127.0.0.1:3128"),
        ("\udcff", "http://127.0.0.1:3128"),
    ],
)
def test_a_proxy_that_cannot_be_asked_is_told(value: str, right: str) -> None:
    chosen = proxies(ALL_PROXY=value)
    with pytest.raises(InvalidEnvironment) as told:
        chosen.choose("http", "h", None)
    message = str(told.value)
    assert message.startswith("ALL_PROXY=")
    assert right in message
    assert message.isprintable()
    assert not any(secret in message for secret in ("user", "se#", "se/", "cret"))


def test_a_socks_proxy_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    with pytest.raises(
        InvalidEnvironment, match=r"ALL_PROXY=socks5://127\.0\.0\.1:1080: .*pip install 'httpx\[socks\]'"
    ):
        proxies(ALL_PROXY="socks5://127.0.0.1:1080").choose("https", "h", None)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:password@host:1/", "http://host:1"),
        ("user:password@host:1", "host:1"),
        ("http://u:p@ss@host", "http://host"),
        ("http://u:a://b@host", "http://host"),
        ("http://host/secret?token=1", "http://host…"),
        ("http://user:password", "http://…"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("", ""),
    ],
)
def test_no_secret_is_shown(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def default() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def refused(**variables: object) -> str:
    with pytest.raises(InvalidEnvironment) as told:
        trusted_authorities({name: str(value) for name, value in variables.items()}, default)
    return str(told.value)


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "nonsense").write_text("no certificate")
    assert refused(SSL_CERT_FILE=tmp_path / "gone").startswith(
        f"SSL_CERT_FILE={tmp_path}/gone: No such file or directory; name a file with certificates of authorities (PEM)"
    )
    assert "it holds no certificate" in refused(SSL_CERT_FILE=tmp_path / "nonsense")
    assert "SSL_CERT_FILE" in refused(SSL_CERT_FILE=tmp_path)
    assert refused(SSL_CERT_DIR=tmp_path / "gone").startswith(f"SSL_CERT_DIR={tmp_path}/gone: No such file")
    assert "openssl rehash" in refused(SSL_CERT_DIR=tmp_path / "empty")
    assert "Not a directory" in refused(SSL_CERT_DIR=tmp_path / "nonsense")


def test_certificates_that_may_not_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ssl, "create_default_context", forbid)
    monkeypatch.setattr(ssl, "SSLContext", lambda _: type("Context", (), {"load_verify_locations": forbid})())
    assert refused(SSL_CERT_FILE="/root/ca.pem").startswith("SSL_CERT_FILE=/root/ca.pem: Permission denied; ")


def test_a_key_log_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "gone" / "keys"))
    variables = {"SSLKEYLOGFILE": str(tmp_path / "gone" / "keys")}
    with pytest.raises(InvalidEnvironment, match=r"SSLKEYLOGFILE=.*/gone/keys: No such file"):
        trusted_authorities(variables, ssl.create_default_context)


def test_certificates_of_a_file_and_of_a_directory_count(tmp_path: Path) -> None:
    certificate = Path(httpx.create_ssl_context.__globals__["__file__"])  # any file: no certificate
    assert "no certificate" in refused(SSL_CERT_FILE=certificate)
    bundle = tmp_path / "ca.pem"
    bundle.write_text(ssl.DER_cert_to_PEM_cert(default_authority()))
    context = trusted_authorities({"SSL_CERT_FILE": str(bundle)}, default)
    assert context.cert_store_stats()["x509"] == 1
    assert context.check_hostname
    (tmp_path / "0a1b2c3d.0").write_text(bundle.read_text())
    both = trusted_authorities({"SSL_CERT_FILE": str(bundle), "SSL_CERT_DIR": f"{tmp_path}"}, default)
    assert both.verify_mode == ssl.CERT_REQUIRED
    assert trusted_authorities({"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}, default).cert_store_stats()["x509"] == 0


def default_authority() -> bytes:
    """One that httpx brings along."""
    return httpx.create_ssl_context(trust_env=False).get_ca_certs(binary_form=True)[0]
