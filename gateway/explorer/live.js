/** The running subscription: what the worker hands over, shown as table, histogram, figures and state. */
import { copy } from "./clipboard.js";
import { byId, say } from "./dom.js";
import { now } from "./api.js";
import { and, condition, isWritable } from "./cel.js";
import { Chart } from "./chart.js";
import { Exact } from "./json.js";
import { Histogram } from "./histogram.js";
import { openMenu } from "./menu.js";
import { isCaughtUp, statusOf } from "./status.js";
import { EventStore } from "./store.js";
import { Table } from "./table.js";
import { brief, bytes, figures, json, moment, percent, whole } from "./text.js";
import { parseTime, writeTime } from "./times.js";
import { startWorker } from "./start.js";

const LIVE_SPAN = 120_000; // milliseconds of the histogram while live
const SHORTEST_SPAN = 60_000;
const BACKLOG = 60; // events that a live view begins with
const RATE_SPAN = 10; // seconds
const SETTLED = 1500; // milliseconds
/** Whether connections are few, as over HTTP/1.1; of HTTP/2 and 3 one has room for all. */
const [NAVIGATION] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
const LIMITED = !/^h[23]/.test(NAVIGATION?.nextHopProtocol ?? "");

/**
 * @typedef {{
 *   fieldOf: (path: string) => import("./schema.js").Field | undefined,
 *   refine: (filter: string) => void,
 *   filter: () => string,
 *   travel: (since: string, until: string) => void,
 * }} Page
 */
export class LiveView {
  store = new EventStore();
  /** What compression leaves, where that is known. @type {number | null} */
  ratio = null;
  #histogram = new Histogram();
  #worker = startWorker();
  #subscription = 0;
  /** @type {import("./follower.js").State} */
  #state = { name: "connecting" };
  #request = { since: "", until: "", speed: 0 };
  /** @type {Set<string>} Why the table stands still. */
  #holds = new Set();
  #position = 0;
  #newest = 0;
  #origin = 0;
  #rate = 0;
  /** A relative end is one moment as long as it is asked for, however often the stream is. @type {{text: string, time: number | null}} */
  #end = { text: "", time: null };
  #caught = false;
  #lastBatch = 0;
  /** Of this subscription. */
  #sums = { count: 0, read: /** @type {number | null} */ (0), bytes: 0 };
  /** @type {{time: number, count: number, bytes: number}[]} */
  #recent = [];
  /** Since when. */
  #measured = 0;
  #shared = { pages: 1, period: 0 };
  #trouble = "";
  /** What the worker knows of the page. */
  #told = "";
  #lastDraw = 0;
  #drawTimer = 0;

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.chart = new Chart(byId("chart"), (since, until) => page.travel(writeTime(since), writeTime(until)));
    this.table = new Table(
      byId("grid"),
      this.store,
      {
        pick: (anchor, path, value) => this.#pick(anchor, path, value),
        pickTime: (anchor, row) => this.#pickTime(anchor, row.time),
        startHere: (row) => page.travel(writeTime(row.time), ""),
        hold: (reason, on) => this.#hold(reason, on),
      },
      page.fieldOf,
    );
    this.#worker.onmessage = ({ data }) => this.#received(data);
    byId("pause").addEventListener("click", () => {
      if (this.#paused) this.#resume();
      else this.#hold("paused", true);
    });
    byId("fresh").addEventListener("click", () => this.#resume());
    byId("dismiss").addEventListener("click", () => {
      byId("notice").hidden = true;
    });
    document.addEventListener("visibilitychange", () => this.#tellWorker());
    setInterval(() => this.#tick(), 1000);
  }

  /** @param {(import("./follower.js").Request) | null} request @param {import("./api.js").Stream[]} streams */
  follow(request, streams) {
    this.store.clear();
    this.#histogram.clear();
    this.#sums = { count: 0, read: 0, bytes: 0 };
    this.#measure();
    this.#caught = false;
    this.#position = 0;
    this.#rate = streams.reduce((sum, { rate }) => sum + rate, 0);
    this.#newest = Math.max(0, ...streams.map(({ newest }) => (typeof newest === "number" ? newest : Date.parse(newest ?? "")) || 0));
    this.#holds.clear();
    this.store.held = false;
    byId("notice").hidden = true;
    this.#subscription += 1;
    this.table.clear();
    if (request === null) {
      this.#worker.postMessage({ subscription: this.#subscription, request: null });
      this.#state = { name: "ended", reason: "no stream is picked" };
    } else {
      this.#request = request;
      // A live view begins with a few events that have just been, so that there is something to see.
      const backlog = Math.ceil(Math.max(3, Math.min(600, BACKLOG / Math.max(0.1, this.#rate))));
      const since = request.since || `${backlog}s`;
      this.#origin = parseTime(since, now()) ?? now();
      this.#state = { name: "connecting" };
      if (request.until !== this.#end.text) this.#end = { text: request.until, time: parseTime(request.until, now()) };
      const until = this.#end.time === null ? request.until : String(this.#end.time);
      this.#worker.postMessage({ subscription: this.#subscription, request: { ...request, since, until } });
    }
    this.#tick();
    this.#showHold();
  }

  /** @param {string[]} columns */
  setColumns(columns) {
    this.table.setColumns(columns);
  }

  /** Whether all was read that has happened. */
  get caught() {
    return this.#caught;
  }

  /** The newest event of the streams, in milliseconds since the epoch. @param {number} time */
  setNewest(time) {
    this.#newest = Math.max(this.#newest, time);
  }

  /** @param {any} message */
  #received(message) {
    if (message.kind === "shared") {
      this.#shared = message;
      return this.#showStatus();
    }
    if (message.subscription !== this.#subscription) return;
    if (message.kind === "state") {
      this.#state = message.state;
      if (message.state.name === "connecting" || message.state.name === "reconnecting") this.#caught = false;
    } else this.#batch(message);
    this.#showStatus();
  }

  /** @param {any} batch */
  #batch(batch) {
    const time = performance.now();
    this.#lastBatch = time;
    this.#position = Math.max(this.#position, batch.position);
    // The state follows from what came, not from how long ago the newest event was heard of.
    const sums = this.#sums;
    sums.count += batch.count;
    sums.bytes += batch.bytes;
    sums.read = sums.read === null || batch.read === null ? null : sums.read + batch.read;
    this.#recent.push({ time, count: batch.count, bytes: batch.bytes });
    this.#histogram.add(batch.seconds);
    this.store.add(batch.events, batch.count);
    for (const gap of batch.gaps) this.#tellGap(gap);
    this.#showSoon();
  }

  /** Draw at a pace at which the table can be read: the more comes, the more rarely. */
  #showSoon() {
    if (this.#drawTimer !== 0) return;
    const rate = this.#pace().count;
    const pause = rate < 5 ? 0 : rate < 30 ? 400 : 1000;
    const wait = Math.max(0, this.#lastDraw + pause - performance.now());
    this.#drawTimer = window.setTimeout(() => {
      this.#drawTimer = 0;
      this.#lastDraw = performance.now();
      this.#show();
    }, this.store.shown.length === 0 ? 0 : wait);
  }

  #show() {
    if (!this.store.held) {
      this.store.take();
      this.table.draw();
    }
    this.#showFigures();
    this.#showChart();
    this.#showHold();
  }

  #tick() {
    this.#showStatus();
    this.#showFigures();
    this.#showChart();
    const idle = this.#state.name === "open" && this.#caught;
    const ago = this.#newest > 0 ? ` The newest event of these streams is of ${moment(this.#newest)} UTC.` : "";
    const words = {
      ended: this.#state.reason === "no stream is picked" ? "Pick a stream to see its events." : "No events in this range.",
      failed: "Nothing can be shown.",
      open: idle ? `Nothing has come yet.${ago}` : "Looking through the past …",
    };
    this.table.tellEmpty(byId("empty"), words[/** @type {"open"} */ (this.#state.name)] ?? "Waiting for the connection …");
  }

  #measure() {
    this.#recent = [];
    this.#measured = performance.now();
  }

  /** Events and bytes a second, over the last seconds. */
  #pace() {
    const time = performance.now();
    while (this.#recent.length > 0 && this.#recent[0].time < time - RATE_SPAN * 1000) this.#recent.shift();
    const seconds = Math.max(1, Math.min(RATE_SPAN, (time - this.#measured) / 1000));
    const sum = (/** @type {"count" | "bytes"} */ name) => this.#recent.reduce((all, each) => all + each[name], 0);
    return { count: sum("count") / seconds, bytes: sum("bytes") / seconds };
  }

  #showFigures() {
    const { count, read } = this.#sums;
    const pace = this.#pace();
    // Of a moment alone there is no rate.
    const known = performance.now() - this.#measured > SETTLED;
    say(byId("seen"), whole(count));
    say(byId("pace"), known ? `${figures(pace.count)}/s` : "–");
    say(byId("bandwidth"), known ? `${bytes(pace.bytes)}/s` : "–");
    say(byId("packed"), this.ratio === null || !known ? "" : `≈ ${bytes(pace.bytes * this.ratio)}/s gzip`);
    say(byId("share"), read === null || read === 0 ? "–" : percent(Math.min(1, count / read)));
  }

  #showChart() {
    const { since, until } = this.#request;
    const end = (until && this.#end.time) || Math.max(now(), this.#position);
    const start = since ? this.#origin : Math.min(end - SHORTEST_SPAN, Math.max(end - LIVE_SPAN, this.#origin));
    this.chart.show(this.#histogram, start, Math.max(end, start + 1000), since ? this.#position : 0);
  }

  #showStatus() {
    const quiet = this.#lastBatch === 0 ? 0 : performance.now() - this.#lastBatch;
    const { until, speed } = this.#request;
    const origin = this.#origin;
    const expected = (Math.max(0, this.#newest - (this.#position || origin)) / 1000) * this.#rate;
    const situation = {
      state: this.#state,
      position: this.#position || origin,
      newest: this.#newest,
      origin,
      until: until ? this.#end.time : null,
      caught: this.#caught,
      expected,
      quiet,
      now: Date.now(),
      speed,
      shared: this.#shared,
    };
    const caught = isCaughtUp(situation);
    // What the past brought at once is no rate of now.
    if (caught && !this.#caught) this.#measure();
    this.#caught = caught;
    const { name, words, detail, progress } = statusOf(situation);
    this.say(name, words, name === "live" || name === "behind" ? this.#trouble || detail : detail, progress);
    this.#tellWorker();
  }

  /** What does not work beside the stream; empty where all does. @param {string} trouble */
  setTrouble(trouble) {
    this.#trouble = trouble;
    this.#showStatus();
  }

  /** Whether a connection is wanted, which the worker cannot know. */
  #tellWorker() {
    const page = { hidden: document.hidden, limited: LIMITED, caught: this.#caught };
    const text = JSON.stringify(page);
    if (text !== this.#told) this.#worker.postMessage(page);
    this.#told = text;
  }

  /** @param {string} name @param {string} words @param {string} detail @param {number | null} [progress] */
  say(name, words, detail, progress = null) {
    byId("status").dataset.state = name;
    say(byId("state"), words);
    say(byId("state-detail"), detail);
    const bar = byId("progress");
    bar.hidden = progress === null || progress >= 1;
    if (progress !== null) bar.value = progress;
  }

  /** @param {any} gap */
  #tellGap({ topic, partition, requested, resumed, reason }) {
    const why =
      { expired: "they have expired", future: "the log ends before them", unknown: "the topic is another one now" }[
        /** @type {"expired"} */ (reason)
      ] ?? reason;
    say(byId("notice-text"), `A gap: events of ${topic}, partition ${partition}, from ${requested} to ${resumed} are gone; ${why}.`);
    byId("notice").hidden = false;
  }

  get #paused() {
    return ["paused", "unfolded", "keyboard"].some((reason) => this.#holds.has(reason));
  }

  /** @param {string} reason @param {boolean} on */
  #hold(reason, on) {
    if (on) this.#holds.add(reason);
    else this.#holds.delete(reason);
    const held = this.#holds.size > 0;
    if (held === this.store.held) return this.#showHold();
    this.store.held = held;
    if (!held) this.#show();
    this.#showHold();
  }

  #resume() {
    this.#holds.clear();
    this.store.held = false;
    this.table.toTop();
    this.#show();
  }

  #showHold() {
    const button = byId("pause");
    const paused = this.#paused;
    button.setAttribute("aria-pressed", String(paused));
    say(byId("pause-text"), paused ? "Resume" : "Pause");
    const { held, waiting, missed } = this.store;
    const fresh = byId("fresh");
    fresh.hidden = !held || waiting.length === 0;
    const beyond = missed > 0 ? ` (${whole(missed)} older ones passed by)` : "";
    if (!fresh.hidden) say(fresh, `↑ ${whole(waiting.length)} new${beyond}`);
    byId("grid").classList.toggle("held", held);
    const kept = this.store.shown.length;
    say(byId("kept"), kept + waiting.length + missed < this.#sums.count ? `newest ${whole(kept)} kept` : "");
  }

  /** The menu of a value. @param {HTMLElement} anchor @param {(string | number)[]} path @param {unknown} value */
  #pick(anchor, path, value) {
    const known = (/** @type {(string | number)[]} */ steps) =>
      steps.some((step) => String(step).includes(".")) ? undefined : this.page.fieldOf(steps.join("."));
    const add = (/** @type {import("./cel.js").Operator} */ operator) => {
      const text = condition(path, value, operator, known);
      // "Only" after "not" of the same value, or the other way round: the newer word counts.
      const other = { "==": "!=", "!=": "==" }[/** @type {"=="} */ (operator)];
      const opposite = other && condition(path, value, /** @type {"=="} */ (other), known);
      return { detail: text, act: () => this.page.refine(and(this.page.filter(), text, opposite)) };
    };
    const choices = [];
    const compound = value !== null && typeof value === "object" && !(value instanceof Exact);
    if (value === undefined) {
      choices.push({ label: "Only where it is missing", ...add("==") }, { label: "Only where it is there", ...add("!=") });
    } else if (!compound && isWritable(value)) {
      choices.push({ label: "Only this", ...add("==") }, { label: "Not this", ...add("!=") });
      if (typeof value === "number" || value instanceof Exact) {
        choices.push({ label: "At least this", ...add(">=") }, { label: "At most this", ...add("<=") });
      }
    }
    const text = typeof value === "string" ? value : json(value);
    if (value !== undefined) choices.push({ label: "Copy", act: () => void copy(text) });
    openMenu(anchor, `${path.join(".")}: ${brief(value, 60) || "not there"}`, choices);
  }

  /** @param {HTMLElement} anchor @param {number} time */
  #pickTime(anchor, time) {
    const { since, until } = this.#request;
    openMenu(anchor, writeTime(time), [
      { label: "From here", act: () => this.page.travel(writeTime(time), until) },
      { label: "Until here", act: () => this.page.travel(since, writeTime(time + 1)) },
    ]);
  }
}
