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

/** Adds to this clock what the server's is ahead of it, in milliseconds. */
export const skew = { milliseconds: 0 };

/** The server's time, in milliseconds since the epoch. */
export function now() {
  return Date.now() + skew.milliseconds;
}

/** @param {string} path */
async function json(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
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
  const began = now();
  const response = await fetch(url, { headers: { accept: "text/event-stream" }, cache: "no-store", signal });
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
  const ratio = await compression(url);
  return { sample: { share, rate: perSecond, size: matched > 0 ? size / matched : 0, ratio, matched } };
}

/** How much of a response was left by compression. @param {string} url @returns {Promise<number | null>} */
async function compression(url) {
  const { href } = new URL(url, location.href);
  for (let tries = 0; tries < 3; tries += 1) {
    const [entry] = /** @type {PerformanceResourceTiming[]} */ (performance.getEntriesByName(href));
    if (entry) {
      performance.clearResourceTimings();
      const { encodedBodySize: encoded, decodedBodySize: decoded } = entry;
      return encoded > 0 && encoded < decoded ? encoded / decoded : null;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return null;
}
