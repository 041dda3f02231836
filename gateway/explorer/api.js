/** What the page asks the gateway besides the stream itself. */
import { EventStreamParser, framesOf } from "./sse.js";
import { advance, newestTime, parsePosition } from "./position.js";

/**
 * @typedef {{name: string, aliases: string[], title: string, description: string, schema: string | null, topics: string[],
 *   oldest: string | number | null, newest: string | number | null, rate: number, derived_from: string[], derived_into: string[],
 *   derivation: {operator: string, version: number, lag: number | null} | null, absent?: string[]}} Stream
 * @typedef {{name: string, stream: string, key: string[]}} StateView
 * @typedef {{end: number, streams: Record<string, {newest: number | null, seconds: number, counts: number[]}>}} Rates
 * @typedef {{share: number | null, rate: number, size: number, ratio: number | null, matched: number, warnings: string[]}}
 *   Sample `warnings`: what the gateway says of names that the schema does not know; `rate` in events a second, `size` bytes of an event as sent, `ratio` what is left of them in gzip.
 */
const EVENTS = "text/event-stream";
const RATES = "/explorer/rates";
const SAMPLE_EVENTS = 200;
const SAMPLE_RECORDS = 20_000;
const SAMPLE_CHARACTERS = 4_000_000; // a few large events say as much as many small ones
/** Milliseconds within which an answer has to be there, and that of a filter's trial, which looks at many events. */
const ANSWER = 10_000;
const TRIAL = 30_000;

/** The timings that are waited for, by address. @type {Map<string, PerformanceResourceTiming | null>} */
const timings = new Map();
// The browser keeps those of all requests until somebody clears them, and none beyond 250.
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (timings.has(entry.name)) timings.set(entry.name, /** @type {PerformanceResourceTiming} */ (entry));
  }
  performance.clearResourceTimings();
}).observe({ type: "resource", buffered: true });

/** A request for counts that takes longer is not waited for: the page begins without them. Milliseconds. */
const COUNTS = 6000;

/** What the server's clock is ahead of this one, in milliseconds. */
export const skew = { milliseconds: 0 };
/** A difference of fewer milliseconds is none: the server tells its time in whole seconds, some time ago. */
const LEAST_SKEW = 3000;

/** The server's time, in milliseconds since the epoch. */
export function now() {
  return Date.now() + skew.milliseconds;
}

/**
 * @param {string} url @param {string} accept @param {number} time Milliseconds until all of the answer is there.
 * @param {AbortSignal} [signal]
 */
function ask(url, accept, time, signal) {
  const late = AbortSignal.timeout(time);
  const cache = accept === EVENTS ? "no-store" : "default";
  return fetch(url, { headers: { accept }, cache, signal: signal === undefined ? late : AbortSignal.any([late, signal]) });
}

/** Why a request failed, in words. @param {unknown} error */
export function reasonOf(error) {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return "no answer in time: the gateway is slow, or other tabs hold all connections that the browser has for it";
  }
  if (error instanceof TypeError) return "the gateway cannot be reached";
  return error instanceof Error ? error.message : String(error);
}

/** What the gateway says where it refuses something. @param {Response} response */
async function refusalOf(response) {
  const problem = await response.json().catch(() => ({}));
  return new Error(problem.detail ?? `the server answered ${response.status}`);
}

/** @param {string} path */
async function json(path) {
  const asked = Date.now();
  const response = await ask(path, "application/json", ANSWER);
  if (!response.ok) throw await refusalOf(response);
  const date = Date.parse(response.headers.get("date") ?? "");
  if (!Number.isNaN(date) && path.startsWith("/v2/streams")) {
    // Of an answer that a cache has kept, the time is that at which it was made.
    const told = date + 1000 * (Number(response.headers.get("age")) || 0);
    // Any time between question and answer is right: a busy page looks at the answer late.
    const ahead = Math.max(told - Date.now(), Math.min(0, told - asked));
    skew.milliseconds = Math.abs(ahead) > LEAST_SKEW ? ahead : 0;
  }
  return await response.json();
}

/** @returns {Promise<Stream[]>} */
export function streams() {
  return json("/v2/streams");
}

/** Those of the streams that the page shows, or may. @returns {Promise<StateView[]>} */
export function views() {
  return json("/v2/views");
}

/** Events in each of the last seconds, the newest last. @returns {Promise<Rates>} */
export async function rates() {
  return withSilence(await json(RATES));
}

/** The gateway leaves out the zeros before the first event. @param {Rates} told */
function withSilence(told) {
  for (const stream of Object.values(told.streams)) {
    stream.counts = [...new Array(stream.seconds - stream.counts.length).fill(0), ...stream.counts];
  }
  return told;
}

/** That the gateway has no room for updates, or knows none. */
export class Refused extends Error {}

/**
 * The same again and again, until the gateway ends it.
 * @param {AbortSignal} signal @returns {AsyncGenerator<Rates, void, void>}
 */
export async function* updates(signal) {
  const silence = new AbortController();
  const late = () => silence.abort(new DOMException("nothing came", "TimeoutError"));
  let timer = setTimeout(late, ANSWER);
  try {
    const given = AbortSignal.any([signal, silence.signal]);
    const response = await fetch(RATES, { headers: { accept: EVENTS }, cache: "no-store", signal: given });
    const kind = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || response.body === null || !kind.startsWith(EVENTS)) throw new Refused();
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(late, ANSWER);
      for (const { data } of parser.feed(decoder.decode(value, { stream: true }))) if (data !== null) yield withSilence(JSON.parse(data));
    }
  } catch (error) {
    throw silence.signal.aborted ? silence.signal.reason : error;
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

/** The schema, or, where a stream has none, the newest event. @param {Stream} stream */
export async function describe(stream) {
  // The path alone: behind a proxy the gateway may not know what it is called.
  if (stream.schema !== null) {
    const schema = await json(new URL(stream.schema).pathname).catch(() => null);
    if (schema !== null) return { schema, example: null };
  }
  const { example } = await json(`/v2/streams/${encodeURIComponent(stream.name)}`);
  return { schema: null, example };
}

/**
 * How many events there were, by time; with `by` also which values a member had.
 * @param {{path: string, parameters: [string, string][]}} request
 * @param {{since: number, until: number, seconds: number, by?: string, most?: number}} range `since` and `until` in
 *   milliseconds since the epoch, `seconds` the width of a bucket.
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./beginning.js").Counts>}
 */
export async function counts({ path, parameters }, { since, until, seconds, by, most = 6 }, signal) {
  const names = path.slice(path.lastIndexOf("/") + 1);
  const query = new URLSearchParams({ since: String(since), until: String(until), step: `${seconds}s` });
  for (const [name, value] of parameters) if (name === "filter") query.set(name, value);
  if (by !== undefined) {
    query.set("by", by);
    query.set("values", String(most));
  }
  const response = await ask(`/v2/streams/${names}/counts?${query}`, "application/json", COUNTS, signal);
  if (!response.ok) throw await refusalOf(response);
  const answer = await response.json();
  const [from, to] = [Date.parse(answer.from), Date.parse(answer.to)];
  return { from, to, counts: answer.counts, step: seconds * 1000, exact: answer.exact, scanned: answer.scanned, values: answer.values ?? [] };
}

/**
 * Try a declaration of a derived stream; what is wrong with it is a part of what is found.
 * @param {string} text @param {string} last @param {AbortSignal} signal
 */
export async function tryDeclaration(text, last, signal) {
  const response = await fetch(`/explorer/trial?${new URLSearchParams({ last })}`, {
    method: "POST",
    headers: { "content-type": "application/yaml", accept: "application/json" },
    body: text,
    signal: AbortSignal.any([signal, AbortSignal.timeout(TRIAL)]),
  });
  if (!response.ok) throw await refusalOf(response);
  return await response.json();
}

/**
 * Try a request on what has just been: what is wrong with it, or what share of the events it lets through.
 * @param {{path: string, parameters: [string, string][]}} request
 * @param {number} rate Events a second of the streams, from which follows how far back to look.
 * @param {AbortSignal} [signal]
 * @returns {Promise<{problem: string} | {later: string} | {sample: Sample}>} `later`: it could not be tried now.
 */
export async function probe(request, rate, signal) {
  const seconds = Math.round(Math.max(10, Math.min(600, SAMPLE_RECORDS / Math.max(1, rate))));
  const range = { since: `${seconds}s`, until: "1s", limit: String(SAMPLE_EVENTS) };
  const url = `${request.path}?${new URLSearchParams([...request.parameters, ...Object.entries(range)])}`;
  const { href } = new URL(url, location.href);
  timings.set(href, null);
  try {
    return await tried(url, seconds, rate, signal);
  } finally {
    timings.delete(href);
  }
}

/** @param {string} url @param {number} seconds @param {number} rate @param {AbortSignal} [signal] */
async function tried(url, seconds, rate, signal) {
  const began = now();
  const response = await ask(url, EVENTS, TRIAL, signal);
  if (response.status !== 200 && response.status !== 204) {
    const problem = await response.json().catch(() => ({}));
    const words = problem.detail ?? `the server answered ${response.status}`;
    // A limit, or a log that is away, says nothing of the filter.
    return response.status === 429 || response.status >= 500 ? { later: words } : { problem: words };
  }
  let [matched, uncounted, size, characters, finished] = [0, 0, 0, 0, false];
  /** @type {import("./position.js").Entry[] | null} */
  let first = null;
  /** @type {import("./position.js").Entry[]} */
  let last = [];
  for await (const frame of response.body === null ? [] : framesOf(response.body)) {
    if (frame.event === "message" && frame.data !== null) {
      matched += 1;
      size += 25 + frame.id.length + new Blob([frame.data]).size;
      characters += frame.data.length;
    }
    finished = frame.event === "end" && frame.data !== null && frame.data.includes("limit");
    last = parsePosition(frame.id);
    // While the log has not answered, the ids hold times alone: what comes before one with offsets cannot be counted.
    if (first === null && last.every(({ offset }) => offset !== undefined)) {
      first = last;
      uncounted = matched;
    }
    if (characters > SAMPLE_CHARACTERS) {
      finished = true;
      break;
    }
  }
  const { read } = first === null ? { read: null } : advance(first, last);
  const covered = finished ? newestTime(last) - (began - seconds * 1000) : (seconds - 1) * 1000;
  const share = read === null || read === 0 ? null : Math.min(1, (matched - uncounted) / read);
  const perSecond = share !== null && rate > 0 ? share * rate : (matched * 1000) / Math.max(1000, covered);
  const ratio = await compression(new URL(url, location.href).href);
  const warnings = warningsOf(response.headers.get("gateway-warning"));
  return { sample: { share, rate: perSecond, size: matched > 0 ? size / matched : 0, ratio, matched, warnings } };
}

/** Header lines, which are ASCII with the escapes of JSON. @param {string | null} header @returns {string[]} */
function warningsOf(header) {
  if (header === null || header === "") return [];
  const lines = header.split(/, (?=(?:filter|fields|by): line )/);
  return lines.map((line) => line.replace(/\\u([0-9a-fA-F]{4})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16))));
}

/** Whether the gateway takes a request: no where something is wrong with it, and yes where it cannot say. @param {{path: string, parameters: [string, string][]}} request */
export async function isTaken({ path, parameters }) {
  const query = new URLSearchParams([...parameters, ["limit", String(SAMPLE_EVENTS)]]);
  try {
    const response = await fetch(`${path}?${query}`, { method: "HEAD", headers: { accept: EVENTS }, signal: AbortSignal.timeout(ANSWER) });
    return response.status < 400 || response.status === 429 || response.status >= 500;
  } catch {
    return true;
  }
}

/** How much of a response was left by compression. @param {string} href @returns {Promise<number | null>} */
async function compression(href) {
  for (let tries = 0; tries < 3 && timings.get(href) === null; tries += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  const { encodedBodySize: encoded, decodedBodySize: decoded } = timings.get(href) ?? { encodedBodySize: 0, decodedBodySize: 0 };
  return encoded > 0 && encoded < decoded ? encoded / decoded : null;
}
