"""The setting `explorer`: what the page takes of it, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.routes.explorer import ExplorerRoutes
from gateway.routes.house import House, contrast, read_house

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def client(house: House) -> httpx.AsyncClient:
    routes = ExplorerRoutes(house=house)
    app = Starlette(routes=[Route("/", routes.page), Route("/explorer/{version}/{name}", routes.file)])
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", headers={"accept": "text/html"})


@pytest.mark.asyncio
async def test_nothing_given_changes_nothing() -> None:
    assert read_house({}) == House()
    async with client(House()) as visitor:
        page = (await visitor.get("/")).text
    assert "<title>Event gateway</title>" in page
    assert "house.css" not in page
    assert not re.search(r"\{(title|logo|footer|styles|modules|version|trials)\}", page)


@pytest.mark.asyncio
async def test_title_logo_colours_and_footer_are_the_operators(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_bytes(SVG)
    house = read_house(
        {
            "title": "Events of <Ministry> & {footer}",
            "logo": str(logo),
            "accent": "#7A1FA2",
            "contact": "events@example.org",
            "licence": "CC0 1.0",
            "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/",
        }
    )
    async with client(house) as visitor:
        page = (await visitor.get("/")).text
        # The operator's style is the last one, so its colours hold.
        styles = re.findall(r'rel="stylesheet" href="([^"]+)"', page)
        assert styles[-1].endswith("/house.css")
        style = (await visitor.get(styles[-1])).text
        [image] = re.findall(r'src="([^"]+/logo\.svg)"', page)
        answer = await visitor.get(image)
    assert page.count("Events of &lt;Ministry&gt; &amp; {footer}") == 3
    assert 'href="mailto:events@example.org"' in page
    assert '<a href="https://creativecommons.org/publicdomain/zero/1.0/" rel="noopener">CC0 1.0</a>' in page
    assert "--accent: light-dark(#7a1fa2, #4fd1c1)" in style
    assert "--on-accent: light-dark(#ffffff, #06131f)" in style
    assert answer.content == SVG
    assert answer.headers["content-type"] == "image/svg+xml"
    # Opened by itself it is a document, in which nothing runs.
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_another_house_has_other_addresses() -> None:
    assert ExplorerRoutes(house=read_house({"accent": "#7a1fa2"})).version != ExplorerRoutes().version


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"titel": "x"}, "explorer has no titel"),
        ({"title": "a\nb"}, "title takes a text of one line"),
        ({"title": 3}, "title takes a text"),
        ({"title": "x" * 201}, "at most 200 characters"),
        ({"accent": "red"}, "accent takes a colour such as #0f766e"),
        ({"accent": "#fff} body{display:none"}, "accent takes a colour"),
        ({"accent": "#ffee88"}, "can hardly be read on #ffffff: its contrast is 1.2"),
        ({"accent_dark": "#222222"}, "take a lighter one"),
        ({"contact": "javascript:alert(1)"}, "contact takes an e-mail address"),
        ({"contact": 'https://x" onclick="y'}, "contact takes an e-mail address"),
        ({"licence": "x", "licence_url": "http://x"}, "begins with https://"),
        ({"licence_url": "https://x.org"}, "without a licence"),
        ({"logo": "logo.exe"}, "whose name ends in .svg, .png, .webp"),
        ({"logo": "/nowhere/logo.png"}, "logo cannot be read"),
    ],
)
def test_what_is_no_setting_is_refused_with_the_reason(given: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_house(given)


def test_a_logo_is_bounded(tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(b"x" * 131_073)
    with pytest.raises(ValueError, match="at most 131072 bytes"):
        read_house({"logo": str(logo)})


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
