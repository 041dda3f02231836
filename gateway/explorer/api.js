/** What the page asks the gateway besides the stream itself. */
import { EventStreamParser } from "./sse.js";
import { advance, newestTime, parsePosition } from "./position.js";

/**
 * @typedef {{name: string, aliases: string[], title: string, description: string, schema: string | null, topics: string[],
 *   oldest: string | number | null, newest: string | number | null, rate: number}} Stream
 * @typedef {{share: number | null, rate: number, size: number, ratio: number | null, matched: number}} Sample
 *   `rate` in events a second, `size` bytes of an event as sent, `ratio` what is left of them in gzip.
 */
const SAMPLE_EVENTS = 200;
const SAMPLE_RECORDS = 20_000;
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

/** Adds to this clock what the server's is ahead of it, in milliseconds. */
export const skew = { milliseconds: 0 };

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
  const cache = accept === "text/event-stream" ? "no-store" : "default";
  return fetch(url, { headers: { accept }, cache, signal: signal === undefined ? late : AbortSignal.any([late, signal]) });
}

/** Why a request failed, in words. @param {unknown} error */
export function reasonOf(error) {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return "no answer in time: the gateway is slow, or other tabs hold all connections that the browser has for it";
  }
  return error instanceof TypeError ? "the gateway cannot be reached" : String(error);
}

/** @param {string} path */
async function json(path) {
  const response = await ask(path, "application/json", ANSWER);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header counts whole seconds, and a second is no skew.
  if (!Number.isNaN(date) && path.startsWith("/v2/streams")) {
    const ahead = date - Date.now();
    skew.milliseconds = Math.abs(ahead) > 3000 ? ahead : 0;
  }
  return await response.json();
}

/** @returns {Promise<Stream[]>} */
export function streams() {
  return json("/v2/streams");
}

/**
 * Events in each of the last seconds, the newest last.
 * @returns {Promise<{end: number, streams: Record<string, {newest: number | null, counts: number[]}>}>}
 */
export function rates() {
  return json("/explorer/rates");
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
  const response = await ask(url, "text/event-stream", TRIAL, signal);
  if (response.status !== 200 && response.status !== 204) {
    const problem = await response.json().catch(() => ({}));
    const words = problem.detail ?? `the server answered ${response.status}`;
    // A limit, or a log that is away, says nothing of the filter.
    return response.status === 429 || response.status >= 500 ? { later: words } : { problem: words };
  }
  const text = await response.text();
  let [matched, uncounted, size, finished] = [0, 0, 0, false];
  /** @type {import("./position.js").Entry[] | null} */
  let first = null;
  /** @type {import("./position.js").Entry[]} */
  let last = [];
  for (const frame of new EventStreamParser().feed(text)) {
    if (frame.event === "message" && frame.data !== null) {
      matched += 1;
      size += 25 + frame.id.length + new Blob([frame.data]).size;
    }
    finished = frame.event === "end" && frame.data !== null && frame.data.includes("limit");
    last = parsePosition(frame.id);
    // While the log has not answered, the ids hold times alone: what comes before one with offsets cannot be counted.
    if (first === null && last.every(({ offset }) => offset !== undefined)) {
      first = last;
      uncounted = matched;
    }
  }
  const { read } = first === null ? { read: null } : advance(first, last);
  const covered = finished ? newestTime(last) - (began - seconds * 1000) : (seconds - 1) * 1000;
  const share = read === null || read === 0 ? null : Math.min(1, (matched - uncounted) / read);
  const perSecond = share !== null && rate > 0 ? share * rate : (matched * 1000) / Math.max(1000, covered);
  const ratio = await compression(new URL(url, location.href).href);
  return { sample: { share, rate: perSecond, size: matched > 0 ? size / matched : 0, ratio, matched } };
}

/** How much of a response was left by compression. @param {string} href @returns {Promise<number | null>} */
async function compression(href) {
  for (let tries = 0; tries < 3 && timings.get(href) === null; tries += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  const { encodedBodySize: encoded, decodedBodySize: decoded } = timings.get(href) ?? { encodedBodySize: 0, decodedBodySize: 0 };
  return encoded > 0 && encoded < decoded ? encoded / decoded : null;
}
