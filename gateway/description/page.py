"""`/docs`: the OpenAPI document as a page. One response, without scripts or anything from elsewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from gateway.description.parts import Json

DEEPEST = 6
"""Levels of a schema that are shown."""
_CODE = re.compile(r"`([^`]+)`")
_TITLES = {"path": "in the path", "query": "query", "header": "header"}


def style() -> str:
    """The style of the page: colours and type are those of the explorer."""
    room = resources.files("gateway")
    base = (room / "explorer" / "base.css").read_text()
    return base + (room / "description" / "page.css").read_text()


def page(document: Json, base: str) -> str:
    """The page; `base` is the address that the gateway was asked under, with a slash at its end.
    Links are relative, since a proxy may serve the gateway under a path."""
    operations = [(path, method, one) for path, item in document["paths"].items() for method, one in item.items()]
    groups = [
        (tag, [entry for entry in operations if tag["name"] in entry[2]["tags"]]) for tag in document.get("tags", ())
    ]
    schemas = document["components"]["schemas"]
    info = document["info"]
    links = "".join(_group_links(tag["name"], entries) for tag, entries in groups)
    named = "".join(f'<li><a href="#schema-{escape(name)}">{escape(name)}</a></li>' for name in schemas)
    sections = "".join(
        f'<section><h2 id="{escape(tag["name"])}">{escape(tag["name"].capitalize())}</h2>'
        f"<p class=lead>{_text(tag['description'])}</p>"
        + "".join(_operation(document, path, method, operation, base) for path, method, operation in entries)
        + "</section>"
        for tag, entries in groups
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}: API reference</title>"
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="explorer/newest/icon.svg" type="image/svg+xml"><style>{style()}</style></head><body>'
        '<a class="skip" href="#reference">To the reference</a>'
        '<header class="top"><a class="home" href="./">'
        '<img src="explorer/newest/icon.svg" alt="" width="26" height="26">'
        f' {escape(info["title"])}</a><nav aria-label="Formats"><a class="to-contents" href="#contents">Contents</a>'
        '<a href="./">Explorer</a>'
        '<a href="openapi.json">OpenAPI</a><a href="asyncapi.json">AsyncAPI</a></nav></header>'
        f'<div class="columns"><nav class="contents" id="contents" aria-label="Contents">{links}'
        f'<div><p class="group"><a href="#components">Bodies and events</a></p><ul>{named}</ul></div></nav>'
        f'<main id="reference" tabindex="-1"><h1>API reference '
        f'<span class="count">{escape(info["version"])}</span></h1>'
        f"{_paragraphs(info['description'])}{sections}"
        '<section><h2 id="components">Bodies and events</h2><p class="lead">The schemas of bodies and events, '
        'of events the newest versions. <a href="v2/schemas">/v2/schemas</a> lists all versions.</p>'
        + "".join(_schema_section(name, schema) for name, schema in schemas.items())
        + "</section></main></div></body></html>\n"
    )


def _group_links(name: str, entries: list[tuple[str, str, Json]]) -> str:
    items = "".join(
        f'<li><a href="#{escape(one["operationId"])}">{escape(one["summary"])}</a></li>' for _, _, one in entries
    )
    return f'<div><p class="group"><a href="#{escape(name)}">{escape(name.capitalize())}</a></p><ul>{items}</ul></div>'


def _operation(document: Json, path: str, method: str, operation: Json, base: str) -> str:
    identity = escape(operation["operationId"])
    parameters = operation.get("parameters", [])
    body = operation.get("requestBody")
    return (
        f'<article aria-labelledby="{identity}"><h3 id="{identity}">{escape(operation["summary"])}'
        f'<a class="anchor" href="#{identity}" aria-label="Link to {escape(operation["summary"])}">#</a></h3>'
        f'<p class="route"><span class="method {method}">{method.upper()}</span> <code>{_breaking(path)}</code></p>'
        f"{_paragraphs(operation['description'])}{_try(path, method, operation, base)}"
        f"{_parameters(parameters) if parameters else ''}{_body(body) if body else ''}"
        f"{_responses(document, operation['responses'])}</article>"
    )


def _try(path: str, method: str, operation: Json, base: str) -> str:
    url = address(path, operation, base)
    if url is None:
        return ""
    command = curl(method, url, operation)
    links = ""
    if method == "get":
        links = f'<p class="try"><a href="{escape(url)}" rel="nofollow">Open</a>'
        if operation["operationId"] == "subscribe":
            stream = operation["parameters"][0]["example"]
            links += f' <a href="./?streams={quote(stream)}">Open in the explorer</a>'
        links += "</p>"
    return f'<pre tabindex="0"><code>{escape(command)}</code></pre>{links}'


def address(path: str, operation: Json, base: str) -> str | None:
    """The address of an operation with its examples in it; None where a part of the path has none."""
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            if "example" not in one:
                return None
            path = path.replace("{" + one["name"] + "}", quote(one["example"], safe=","))
    query = {"since": "10m", "limit": "10"} if operation["operationId"] == "subscribe" else {}
    return base.removesuffix("/") + path + (f"?{urlencode(query)}" if query else "")


def curl(method: str, url: str, operation: Json) -> str:
    """A command line that does it."""
    if method == "get":
        return f"curl {'-N ' if operation['operationId'] == 'subscribe' else ''}{shlex.quote(url)}"
    example = operation["requestBody"]["content"]["application/json"].get("example", {})
    data = orjson.dumps(example).decode()
    return f"curl {shlex.quote(url)} --json {shlex.quote(data)}"


def _parameters(parameters: list[Json]) -> str:
    rows = "".join(
        f"<div><dt><code>{escape(one['name'])}</code> <span class=count>{_TITLES[one['in']]}"
        f"{', required' if one.get('required') else ''}</span></dt>"
        f"<dd>{_text(one['description'])}{_constraints(one['schema'])}{_shown_example(one)}</dd></div>"
        for one in parameters
    )
    return f"<h4>Parameters</h4><dl>{rows}</dl>"


def _shown_example(one: Json) -> str:
    return (
        f' <span class="example">Example: <code>{escape(str(one["example"]))}</code></span>' if "example" in one else ""
    )


def _body(body: Json) -> str:
    rows = "".join(
        f"<div><dt><code>{escape(kind)}</code></dt><dd>{_text(_media(media['schema']))}</dd></div>"
        for kind, media in body["content"].items()
    )
    return f"<h4>Body</h4><dl>{rows}</dl>"


def _media(schema: Json) -> str:
    found = schema.get("description")
    return str(found) if found else "An event or an array of events."


def _responses(document: Json, responses: Json) -> str:
    rows = []
    for status, answer in sorted(responses.items()):
        response = document["components"]["responses"].get(_name(answer), answer)
        content = response.get("content", {})
        kinds = " ".join(f"<code>{escape(kind)}</code>" for kind in content)
        names = sorted({_name(media["schema"]) for media in content.values()} - {""})
        shapes = "".join(f' <a href="#schema-{escape(name)}">{escape(name)}</a>' for name in names)
        headers = " ".join(f"<code>{escape(name.lower())}</code>" for name in response.get("headers", ()))
        rows.append(
            f'<div><dt><span class="status s{status[0]}">{escape(status)}</span></dt>'
            f"<dd>{_text(response['description'])}"
            f'<span class="kinds">{kinds}{shapes}</span>'
            f"<details><summary>Headers</summary>{headers}</details></dd></div>"
        )
    return f'<h4>Responses</h4><dl class="answers">{"".join(rows)}</dl>'


def _name(schema: Json) -> str:
    items = schema.get("items")
    reference = schema.get("$ref") or (items.get("$ref", "") if isinstance(items, dict) else "")
    return str(reference).rpartition("/")[2]


def _schema_section(name: str, schema: Json) -> str:
    example = next(iter(schema.get("examples", ())), None)
    shown = ""
    if example is not None:
        text = orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()
        shown = f'<details><summary>Example</summary><pre tabindex="0"><code>{escape(text)}</code></pre></details>'
    return (
        f'<article aria-labelledby="schema-{escape(name)}">'
        f'<h3 id="schema-{escape(name)}"><code>{_breaking(name)}</code></h3>'
        f"{_paragraphs(schema.get('description', ''))}"
        f"<dl>{''.join(_members(schema, '', DEEPEST))}</dl>{shown}</article>"
    )


def _members(schema: Any, prefix: str, levels: int) -> Iterator[str]:
    """The members of an object, those of objects in it behind them."""
    if not isinstance(schema, dict) or not levels:
        return
    for kind in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(kind, ()):
            if isinstance(one, dict) and "$ref" in one:
                name = escape(_name(one))
                yield f'<div><dt>{kind}</dt><dd><a href="#schema-{name}">{name}</a></dd></div>'
            else:
                yield from _members(one, prefix, levels - 1)
    required = schema.get("required", ())
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, dict):
            needed = ", required" if name in required else ""
            yield (
                f"<div><dt><code>{_breaking(prefix + name)}</code> <span class=count>{escape(_kind(inner))}{needed}"
                f"</span></dt><dd>{_text(str(inner.get('description', '')))}{_constraints(inner)}</dd></div>"
            )
            yield from _members(inner, f"{prefix}{name}.", levels - 1)
            yield from _members(inner.get("items"), f"{prefix}{name}[].", levels - 1)


def _kind(schema: Json) -> str:
    kind = schema.get("type", _name(schema) or ("any" if "const" not in schema else ""))
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _constraints(schema: Json) -> str:
    words = []
    if "const" in schema:
        words.append(f"`{schema['const']}`")
    if "enum" in schema:
        words.append(" or ".join(f"`{value}`" for value in schema["enum"]))
    for key, word in _BOUNDS.items():
        if key in schema:
            words.append(f"{word} {schema[key]}")
    return f' <span class="count">{_text("; ".join(words))}</span>' if words else ""


_BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "maxLength": "maximum length",
    "format": "format",
    "default": "default",
}


def _text(text: str) -> str:
    """One line of text, with what stands between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in text.split("\n\n") if part)


def _breaking(text: str) -> str:
    """Where a long name may be broken."""
    return re.sub(r"([/.])", r"\1<wbr>", escape(text))
