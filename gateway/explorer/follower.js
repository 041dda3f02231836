/** One subscription, kept up: connects, reads, and goes on after the last id whatever ends a response. */
import { GIVES_WAY } from "./admission.js";
import { Backoff } from "./backoff.js";
import { EventStreamParser } from "./sse.js";
import { advance, newestTime, parsePosition, timeOf } from "./position.js";

/** Milliseconds of silence after which a connection counts as lost, where the server does not say its heartbeat. */
const IDLE = 45_000;
/** Milliseconds until an answer has begun. */
const ANSWER = 30_000;
const NO_ANSWER =
  "no answer in 30 seconds: the gateway is slow, or other tabs hold all connections that the browser has for it";
/** Heartbeats that may be missing, and the bounds of that in milliseconds. */
const IDLE_HEARTBEATS = 3;
const SHORTEST_IDLE = 10_000;
const LONGEST_IDLE = 10_800_000;
/** A connection that has stood for so many milliseconds was one: its end is no reason to wait longer. */
const STEADY = 30_000;
/** Seconds to wait at the least where the server has refused for a limit, and where it does not say how long. */
const LIMITED = [1, 5];
/** Milliseconds that a record may be ahead of the clock and still be waited for. */
const AHEAD = 3_600_000;

/**
 * @typedef {{seq: number, time: number, topic: string, partition: number, offset: number | null, text: string}} Event
 *   `text` is the JSON as it came; `time` in milliseconds since the epoch.
 * @typedef {{path: string, parameters: [string, string][], since: string, until: string, speed: number, skew?: number}} Request
 *   `speed`: how many times faster than it happened; 0 as fast as it comes. `skew`: what the server's clock is ahead of this
 *   one, in milliseconds.
 * @typedef {{name: "connecting" | "looking" | "away" | "open" | "waiting" | "reconnecting" | "limited" | "ended" | "failed", reason?: string,
 *   at?: number, first?: boolean}} State `at`: when it is tried again, in milliseconds since the epoch.
 * @typedef {{
 *   state: (state: State) => void,
 *   event: (event: Event) => void,
 *   moved: (position: number, read: number | null) => void,
 *   bytes: (count: number) => void,
 *   gap: (gap: object) => void,
 * }} Listener
 */
export class Follower {
  #stop = new AbortController();
  #lastId = "";
  /** @type {import("./position.js").Entry[]} */
  #position = [];
  #seq = 0;
  #backoff = new Backoff();
  /** The id of the newest event; one that comes with it again is none that is new. */
  #newest = "";
  /** When the replay began by the clock, and at which event's time: what `speed` is counted from. @type {{clock: number, time: number} | null} */
  #began = null;

  /** @param {Request} request @param {import("./admission.js").Admission} admission @param {Listener} listener */
  constructor(request, admission, listener) {
    this.request = request;
    this.admission = admission;
    this.listener = listener;
  }

  stop() {
    this.#stop.abort();
  }

  async run() {
    this.admission.enter();
    try {
      await this.#run();
    } finally {
      this.admission.leave();
    }
  }

  async #run() {
    const { signal } = this.#stop;
    // Between two turns nothing is amiss.
    let inTurns = false;
    for (let first = true; !signal.aborted; first = false) {
      if (this.admission.isAway) {
        this.listener.state({ name: "away" });
        inTurns = false;
      }
      await this.admission.admitted((milliseconds) => this.#sleep(milliseconds), signal);
      if (signal.aborted) return;
      if (!inTurns) this.listener.state({ name: "connecting", first });
      const again = await this.#once().catch((error) => (error === GIVES_WAY ? 0 : this.#later(reasonOf(error))));
      inTurns = again === 0;
      if (again === null || signal.aborted) return;
      await this.#sleep(again);
    }
  }

  /** One response. @returns {Promise<number | null>} Milliseconds until the next, or null where it was the last. */
  async #once() {
    const connection = new AbortController();
    const ended = () => connection.abort(new Error("stopped"));
    this.#stop.signal.addEventListener("abort", ended, { once: true });
    // Counted only while something is waited for: a replay that is played slowly rests between its events.
    let idle = 0;
    let longest = IDLE;
    const expect = (/** @type {boolean} */ something) => {
      clearTimeout(idle);
      const lost = () => connection.abort(new Error(`nothing came for ${longest / 1000} seconds`));
      if (something) idle = setTimeout(lost, longest);
    };
    const late = setTimeout(() => connection.abort(new Error(NO_ANSWER)), ANSWER);
    const from = this.#lastId;
    const release = this.admission.hold({
      opened: Date.now(),
      moved: () => this.#lastId !== from,
      giveWay: () => connection.abort(GIVES_WAY),
    });
    try {
      expect(true);
      /** @type {Record<string, string>} */
      const headers = { accept: "text/event-stream" };
      if (this.#lastId) headers["last-event-id"] = this.#lastId;
      const response = await fetch(this.#url(), { headers, signal: connection.signal, cache: "no-store" });
      clearTimeout(late);
      longest = longestSilence(response.headers.get("event-gateway-heartbeat"));
      if (response.status === 204) return this.#end("the end of the range");
      if (response.status !== 200) return await this.#refused(response);
      if (response.body === null) return this.#later("the answer was empty");
      return await this.#read(response.body, expect);
    } catch (error) {
      throw connection.signal.aborted ? connection.signal.reason : error;
    } finally {
      release();
      clearTimeout(late);
      clearTimeout(idle);
      this.#stop.signal.removeEventListener("abort", ended);
      connection.abort();
    }
  }

  #url() {
    const query = new URLSearchParams(this.request.parameters);
    if (this.request.since && !this.#lastId) query.set("since", this.request.since);
    if (this.request.until) query.set("until", this.request.until);
    const text = query.toString();
    return text ? `${this.request.path}?${text}` : this.request.path;
  }

  /** @param {ReadableStream<Uint8Array>} body @param {(something: boolean) => void} expect */
  async #read(body, expect) {
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    const opened = Date.now();
    this.#began = null;
    for (;;) {
      expect(true);
      const { done, value } = await reader.read();
      expect(false);
      if (done) return this.#later("the server ended the response");
      this.listener.bytes(value.byteLength);
      for (const frame of parser.feed(decoder.decode(value, { stream: true }))) {
        if (parser.retry !== null) this.#backoff.ask(parser.retry);
        if (Date.now() - opened >= STEADY) this.#backoff.succeeded();
        const last = await this.#frame(frame);
        if (last !== undefined) return last;
        if (this.#stop.signal.aborted) return null;
      }
    }
  }

  /** @param {import("./sse.js").Frame} frame @returns {Promise<null | undefined>} null where it is the last. */
  async #frame(frame) {
    const position = frame.id === this.#lastId ? this.#position : parsePosition(frame.id);
    const begun = this.#position.length > 0;
    const { read, moved } = advance(begun ? this.#position : position, position);
    if (frame.event === "message" && frame.data !== null) {
      if (frame.id !== this.#newest) this.#backoff.succeeded();
      this.#newest = frame.id;
      const time = timeOf(moved) ?? (newestTime(position) || Date.now());
      if (this.request.speed > 0) await this.#pace(time);
      if (this.#stop.signal.aborted) return null;
      this.#seq += 1;
      this.listener.event({
        seq: this.#seq,
        time,
        topic: moved?.topic ?? "",
        partition: moved?.partition ?? 0,
        offset: moved?.offset ?? null,
        text: frame.data,
      });
    } else if (frame.event === "gap") {
      this.listener.gap(JSON.parse(frame.data ?? "{}"));
    } else if (frame.event === "error") {
      const problem = JSON.parse(frame.data ?? "{}");
      this.listener.state({ name: "failed", reason: problem.detail ?? problem.title });
      return null;
    }
    this.#position = position;
    this.#lastId = frame.id;
    this.listener.moved(newestTime(position), read);
    if (frame.event === "end") {
      const { reason } = JSON.parse(frame.data ?? "{}");
      return this.#end(reason === "until" ? "the end of the range" : "the limit");
    }
    this.listener.state({ name: frame.comment.startsWith("waiting for") ? "waiting" : "open" });
    return undefined;
  }

  /** Wait until an event of this time is due. @param {number} time */
  async #pace(time) {
    // What no clock has shown yet, or ever, is not waited for.
    if (time <= 0 || time > Date.now() + (this.request.skew ?? 0) + AHEAD) return;
    this.#began ??= { clock: Date.now(), time };
    const due = this.#began.clock + (time - this.#began.time) / this.request.speed;
    if (due > Date.now()) await this.#sleep(due - Date.now());
  }

  /** @param {Response} response @returns {Promise<number | null>} */
  async #refused(response) {
    const problem = await response.json().catch(() => ({}));
    const reason = problem.detail ?? `the server answered ${response.status}`;
    const seconds = Number(response.headers.get("retry-after")) || 0;
    if (response.status === 429) {
      const wait = this.#backoff.wait(Math.max(LIMITED[0], seconds || LIMITED[1]) * 1000);
      // The page counts the seconds down itself.
      const why = reason.replace(/; try again in \d+ s$/, "");
      this.listener.state({ name: "limited", reason: why, at: Date.now() + wait });
      return wait;
    }
    if (response.status >= 500) return this.#later(reason, seconds * 1000);
    this.listener.state({ name: "failed", reason });
    return null;
  }

  /** @param {string} reason */
  #end(reason) {
    this.listener.state({ name: "ended", reason });
    return null;
  }

  /** @param {string} reason @param {number} [atLeast] Milliseconds. */
  #later(reason, atLeast = 0) {
    const wait = this.#backoff.wait(atLeast);
    this.listener.state({ name: "reconnecting", reason, at: Date.now() + wait });
    return wait;
  }

  /** @param {number} milliseconds @returns {Promise<void>} */
  #sleep(milliseconds) {
    const { signal } = this.#stop;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

/** Milliseconds. @param {string | null} heartbeat What the server says of its own, in seconds. */
function longestSilence(heartbeat) {
  const milliseconds = IDLE_HEARTBEATS * 1000 * Number(heartbeat);
  return milliseconds > 0 ? Math.min(Math.max(milliseconds, SHORTEST_IDLE), LONGEST_IDLE) : IDLE;
}

/** @param {unknown} error */
function reasonOf(error) {
  const text = error instanceof Error ? error.message : String(error);
  return /fetch|network/i.test(text) ? "the server cannot be reached" : text;
}
