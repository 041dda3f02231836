/** The same subscription for programs. Each works as it is pasted. Pure. */

import { dotnet, go, java, r, rust } from "./languages.js";
import { parseTime, writeTime } from "./times.js";

const HOUR = 3_600_000;

/** @typedef {{name: string, language: string, text: string, note: string}} Snippet */

/** @param {string} text */
const shell = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** @param {string} url @returns {Snippet[]} */
export function snippetsOf(url) {
  const quoted = JSON.stringify(url);
  return [
    { name: "URL", language: "text", text: url, note: "For EventSource, or any client of server-sent events." },
    {
      name: "curl",
      language: "shell",
      text: `curl -N ${shell(url)}`,
      note: "With -H 'Accept: application/x-ndjson', an event a line.",
    },
    {
      name: "JavaScript",
      language: "js",
      text: `const events = new EventSource(${quoted});
events.onmessage = (message) => console.log(JSON.parse(message.data));
events.addEventListener("gap", (gap) => console.warn("gone:", gap.data));
events.addEventListener("end", () => events.close());`,
      note: "In a browser. It reconnects by itself, after the last event.",
    },
    {
      name: "Node",
      language: "js",
      text: `// npm install eventsource; then: node follow.mjs
import { EventSource } from "eventsource";

const events = new EventSource(${quoted});
events.onmessage = (message) => console.log(JSON.parse(message.data));
events.onerror = (error) => console.error(error.message ?? "it connects again");
events.addEventListener("gap", (gap) => console.warn("gone:", gap.data));
events.addEventListener("end", () => events.close());`,
      note: "It reconnects by itself, after the last event.",
    },
    {
      name: "Python",
      language: "python",
      text: `# pip install event-gateway-client
from gateway.client import subscribe_blocking

with subscribe_blocking(${quoted}) as events:
    for event in events:
        print(event.json, flush=True)`,
      note: "The gateway's own client. It goes on after the last event by itself, and can keep the position.",
    },
    {
      name: "httpx",
      language: "python",
      text: `# Python: pip install httpx httpx-sse
import json
import time

import httpx
from httpx_sse import connect_sse

url = ${quoted}
headers = {}
finished = False
while not finished:
    try:
        with httpx.Client(timeout=60) as client, connect_sse(client, "GET", url, headers=headers) as events:
            events.response.raise_for_status()
            finished = events.response.status_code == 204
            for event in events.iter_sse():
                if event.event == "message" and event.data:
                    print(json.loads(event.data), flush=True)
                if event.event in ("gap", "error"):
                    print(event.event, event.data)
                finished = event.event in ("end", "error")
                headers["Last-Event-ID"] = event.id
    except httpx.HTTPStatusError as problem:
        if problem.response.status_code < 429:
            raise
        print(problem)
    except httpx.TransportError as problem:
        print(problem)
    if not finished:
        time.sleep(2)`,
      note: "Goes on after the last event, whatever breaks off.",
    },
    { name: "Go", language: "go", text: go(quoted), note: "Goes on after the last event, whatever breaks off." },
    { name: "Java", language: "java", text: java(quoted), note: "Goes on after the last event, whatever breaks off." },
    { name: ".NET", language: "csharp", text: dotnet(quoted), note: "Goes on after the last event, whatever breaks off." },
    { name: "Rust", language: "rust", text: rust(quoted), note: "Goes on after the last event, whatever breaks off." },
    { name: "R", language: "r", text: r(quoted), note: "Lines have no positions: what breaks off begins anew." },
    {
      name: "CSV",
      language: "shell",
      text: `curl -H 'Accept: text/csv' ${shell(ranged(url))} -o events.csv`,
      note: "A finite range as a table: for pandas, DuckDB, R or a spreadsheet. `fields` chooses the columns.",
    },
    {
      name: "gateway tail",
      language: "shell",
      text: tail(url),
      note: "In a terminal with the gateway installed; in a pipe, an event a line.",
    },
  ];
}

/** A range with an end: a table has one. @param {string} url */
function ranged(url) {
  const given = new URL(url).searchParams;
  const missing = [given.has("since") ? "" : `since=${hourBefore(given.get("until"), Date.now())}`, given.has("until") ? "" : "until=1s"].filter((part) => part !== "");
  return missing.length === 0 ? url : `${url}${url.includes("?") ? "&" : "?"}${missing.join("&")}`;
}

/** A start an hour before the end: one that is past would come before an hour ago. @param {string | null} until @param {number} now */
function hourBefore(until, now) {
  const end = until === null ? null : parseTime(until, now);
  return end === null || end >= now - 1000 ? "1h" : writeTime(Math.max(0, end - HOUR));
}

/** @param {string} url */
function tail(url) {
  const { origin, pathname, searchParams } = new URL(url);
  const names = decodeURIComponent(pathname.slice(pathname.lastIndexOf("/") + 1));
  const options = [...searchParams].map(([name, value]) => ` --${name} ${shell(value)}`);
  return `gateway tail ${shell(names)} --server ${origin}${options.join("")}`;
}
