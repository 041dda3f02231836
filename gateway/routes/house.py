"""The setting `explorer`: how an operator's explorer calls itself and looks, and what its footer says.

Every value becomes text of the page or a declaration of its style, so each is checked to be no more than that.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TITLE = "Event gateway"
LONGEST_TEXT = 200
LOGO_BYTES = 131_072
LEAST_CONTRAST = 4.5
"""Of texts in the accent colour against the page (WCAG 2.2, 1.4.3)."""
_TEXTS = ("title", "logo", "accent", "accent_dark", "contact", "licence", "licence_url")
_LOGOS = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}")
_LIGHT, _DARK = "#ffffff", "#1b1f23"
"""The sheets that the page's texts stand on, of `base.css`."""
_USUAL_ACCENTS = ("#0f766e", "#4fd1c1")


@dataclass(frozen=True, slots=True)
class House:
    """What the page takes of it. `logo` is a file's content and media type; the two accents are for light and dark."""

    title: str = TITLE
    logo: tuple[bytes, str] | None = None
    accents: tuple[str, str] | None = None
    contact: str = ""
    licence: str = ""
    licence_url: str = ""

    def style(self) -> str:
        """The style that takes the place of the page's own colours; empty where these hold."""
        if self.accents is None:
            return ""
        light, dark = self.accents
        on_light, on_dark = (_readable_on(accent) for accent in self.accents)
        return (
            f":root {{\n  --accent: light-dark({light}, {dark});\n  --on-accent: light-dark({on_light}, {on_dark});\n"
            "  --wash: color-mix(in srgb, var(--accent) 13%, var(--sheet));\n}\n"
        )

    def footer(self) -> str:
        """Contact and licence, as markup."""
        parts = []
        if self.contact:
            scheme = "" if self.contact.startswith("https://") else "mailto:"
            parts.append(f"Contact: {_link(scheme + self.contact, self.contact.removeprefix('https://'))}")
        if self.licence:
            shown = _link(self.licence_url, self.licence) if self.licence_url else html.escape(self.licence)
            parts.append(f"Licence of the data: {shown}")
        return " · ".join(parts)


def read_house(document: Mapping[str, Any]) -> House:
    """The setting. Raises ValueError with every mistake."""
    mistakes = [
        f"explorer has no {str(key)[:100]}; it takes {', '.join(_TEXTS)}" for key in document if key not in _TEXTS
    ]
    texts: dict[str, str] = {}
    for key in _TEXTS:
        value = document.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT or not value.isprintable():
            mistakes.append(f"explorer: {key} takes a text of one line, with at most {LONGEST_TEXT} characters")
        else:
            texts[key] = value.strip()
    mistakes += _wrong_links(texts)
    accents = _accents(texts, mistakes)
    logo = _logo(texts["logo"], mistakes) if "logo" in texts else None
    if mistakes:
        raise ValueError(*mistakes)
    return House(
        texts.get("title", TITLE),
        logo,
        accents,
        texts.get("contact", ""),
        texts.get("licence", ""),
        texts.get("licence_url", ""),
    )


def _wrong_links(texts: Mapping[str, str]) -> list[str]:
    mistakes = []
    contact, licence = texts.get("contact"), texts.get("licence_url")
    if contact is not None and not _is_web(contact) and not _ADDRESS.fullmatch(contact):
        mistakes.append("explorer: contact takes an e-mail address, or an address that begins with https://")
    if licence is not None and not _is_web(licence):
        mistakes.append("explorer: licence_url takes an address that begins with https://")
    if licence is not None and "licence" not in texts:
        mistakes.append("explorer has a licence_url without a licence; give the name of the licence, too")
    return mistakes


def _is_web(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme == "https" and bool(url.hostname) and text.isascii() and not re.search(r"[\s\"'<>`\\]", text)
    except ValueError:
        return False


def _accents(texts: Mapping[str, str], mistakes: list[str]) -> tuple[str, str] | None:
    """The colours for light and dark; of one that is not given the page's own."""
    if "accent" not in texts and "accent_dark" not in texts:
        return None
    colours = []
    for key, usual, sheet in zip(("accent", "accent_dark"), _USUAL_ACCENTS, (_LIGHT, _DARK), strict=True):
        colour = texts.get(key, usual).lower()
        if not _COLOUR.fullmatch(colour):
            mistakes.append(f"explorer: {key} takes a colour such as {usual} (in quotes)")
        elif (found := contrast(colour, sheet)) < LEAST_CONTRAST:
            mistakes.append(
                f"explorer: {key} can hardly be read on {sheet}: its contrast is {found:.1f}, and {LEAST_CONTRAST} is "
                f"needed; take a {'darker' if sheet == _LIGHT else 'lighter'} one"
            )
        colours.append(colour)
    return colours[0], colours[1]


def _logo(place: str, mistakes: list[str]) -> tuple[bytes, str] | None:
    path = Path(place)
    kind = _LOGOS.get(path.suffix.lower())
    if kind is None:
        mistakes.append(f"explorer: logo takes a file whose name ends in {', '.join(_LOGOS)}")
        return None
    try:
        with path.open("rb") as file:
            data = file.read(LOGO_BYTES + 1)
    except OSError as error:
        mistakes.append(f"explorer: logo cannot be read: {error.strerror}")
        return None
    if len(data) > LOGO_BYTES or not data:
        mistakes.append(f"explorer: logo takes a file of at most {LOGO_BYTES} bytes, and not an empty one")
    return data, kind


def contrast(one: str, other: str) -> float:
    """The contrast of two colours such as `#0f766e` (WCAG 2.2), from 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _readable_on(colour: str) -> str:
    return max("#ffffff", "#06131f", key=lambda ink: contrast(ink, colour))


def _link(address: str, words: str) -> str:
    return f'<a href="{html.escape(address)}" rel="noopener">{html.escape(words)}</a>'
