/** The running subscription: what the worker hands over, shown as table, histogram, figures and state. */
import { byId } from "./dom.js";
import { counts, now, reasonOf, skew } from "./api.js";
import { Chart } from "./chart.js";
import { pickTime, pickValue } from "./choices.js";
import { barWidth, Histogram } from "./histogram.js";
import { Holds } from "./holds.js";
import { openMenu } from "./menu.js";
import { LONGEST_PAUSE, Pace, pauseBetween } from "./pace.js";
import { planned, without } from "./plan.js";
import { emptyWords, isCaughtUp, NO_STREAM, statusOf } from "./status.js";
import { EventStore, MOST_EVENTS } from "./store.js";
import { Table } from "./table.js";
import { sayState, showFigures, showKept, tellGaps, tellNotice } from "./told.js";
import { parseTime, writeTime } from "./times.js";
import { startWorker } from "./start.js";

const LIVE_SPAN = 120_000; // milliseconds of the histogram while live
const SHORTEST_SPAN = 60_000;
const OLDER = 500; // events that are fetched at a click
/** Whether connections are few, as over HTTP/1.1; of HTTP/2 and 3 one has room for all. */
const [NAVIGATION] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
const LIMITED = !/^h[23]/.test(NAVIGATION?.nextHopProtocol ?? "");

/**
 * @typedef {import("./choices.js").Page & {
 *   shared: (pages: number) => void,
 *   streamOf: (topic: string) => string,
 *   pickAlone: (stream: string) => void,
 *   heads: Omit<import("./heads.js").Actions, "resized">,
 *   history: (row: import("./store.js").Row) => (() => void) | null,
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
  /** @type {import("./follower.js").Request} */
  #request = { path: "", parameters: [], since: "", until: "", speed: 0 };
  /** @type {import("./plan.js").Plan} */
  #plan = without({ since: "" }, { now: now(), rate: 1 });
  /** Ends what is asked for the view. */
  #asking = new AbortController();
  #sorts = false;
  /** The view of which as much as there is room for is being fetched. @type {AbortSignal | null} */
  #completing = null;
  /** What is fetched of what is older; what is asked for next begins where that ends. @type {Promise<unknown>} */
  #fetching = Promise.resolve();
  /** @type {Holds} */
  #holds;
  #position = 0;
  #newest = 0;
  /** Where the histogram begins, and where the stream does, in milliseconds since the epoch. */
  #origin = 0;
  #began = 0;
  #rate = 0;
  /** A relative end is one moment as long as it is asked for, however often the stream is. @type {{text: string, time: number | null}} */
  #end = { text: "", time: null };
  #caught = false;
  #lastBatch = 0;
  /** Of this subscription; `fresh` of these had not been counted by the server. */
  #sums = { count: 0, fresh: 0, read: /** @type {number | null} */ (0) };
  #pace = new Pace();
  /** The oldest event of the streams, in milliseconds since the epoch; null where there is none. @type {number | null} */
  #oldest = null;
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
        pick: (anchor, path, value) => pickValue(page, anchor, path, value),
        pickTime: (anchor, row) => pickTime(page, anchor, row.time, this.#request),
        startHere: (row) => page.travel(writeTime(row.time), ""),
        history: (row) => page.history(row),
        hold: (reason, on) => this.#holds.set(reason, on),
        streamOf: (row) => page.streamOf(row.topic),
        pickStream: (anchor, name) => openMenu(anchor, name, [{ label: "Only this stream", act: () => page.pickAlone(name) }]),
        heads: page.heads,
      },
      page.fieldOf,
    );
    this.#worker.onmessage = ({ data }) => this.#received(data);
    const resumed = () => {
      this.table.toTop();
      this.#show();
    };
    this.#holds = new Holds(this.store, () => this.#show(), resumed);
    byId("older").addEventListener("click", async (/** @type {MouseEvent} */ event) => {
      const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
      button.disabled = true;
      await this.loadOlder();
      button.disabled = false;
    });
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
    this.#sums = { count: 0, fresh: 0, read: 0 };
    this.#pace.restart();
    this.#caught = false;
    this.#position = 0;
    this.#rate = streams.reduce((sum, { rate }) => sum + rate, 0);
    this.#newest = Math.max(0, ...streams.map(({ newest }) => timeOf(newest)));
    const oldest = streams.map((stream) => timeOf(stream.oldest)).filter((time) => time > 0);
    this.#oldest = oldest.length > 0 ? Math.min(...oldest) : null;
    this.#holds.clear();
    byId("notice").hidden = true;
    this.#asking.abort();
    this.#subscription += 1;
    this.table.clear();
    // What was asked for before ends at once.
    this.#worker.postMessage({ subscription: this.#subscription, request: null });
    if (request === null) this.#state = { name: "ended", reason: NO_STREAM };
    else void this.#begin(request);
    this.#tick();
    this.#showHolds();
  }

  /** Find out where to begin, and begin. @param {import("./follower.js").Request} request */
  async #begin(request) {
    this.#request = request;
    this.#state = { name: "looking" };
    if (request.until !== this.#end.text) this.#end = { text: request.until, time: parseTime(request.until, now()) };
    const until = this.#end.time === null ? request.until : String(this.#end.time);
    const known = { now: now(), rate: this.#rate, oldest: this.#oldest, newest: this.#newest || null, bars: this.chart.most };
    this.#set(without(request, known));
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const plan = await planned({ ...request, until }, known, (from, to, bars) => this.#count(from, to, bars, signal));
    if (signal.aborted) return;
    this.#state = { name: "connecting" };
    this.#set(plan);
    if (plan.counts !== null) this.#histogram.load(plan.counts, plan.until);
    this.#worker.postMessage({ subscription: this.#subscription, request: { ...request, since: plan.since, until, skew: skew.milliseconds } });
    this.#show();
    this.#complete();
  }

  /** @param {import("./plan.js").Plan} plan */
  #set(plan) {
    this.#plan = plan;
    this.#origin = plan.from;
    this.#began = parseTime(plan.since, now()) ?? plan.from;
  }

  /** Fetch what comes before what is shown, as far as the page has room for it. @param {number} [wanted] */
  loadOlder(wanted = OLDER) {
    // That of the view in which it was asked for, however long it has to wait.
    const { signal } = this.#asking;
    const fetched = this.#fetching.then(() => (signal.aborted || this.#plan.shown ? undefined : this.#older(wanted, signal)));
    const told = fetched.catch((error) => {
      if (!signal.aborted) tellNotice(`Older events cannot be had now: ${reasonOf(error)}`);
    });
    this.#fetching = told;
    return told;
  }

  /** @param {number} wanted @param {AbortSignal} signal */
  async #older(wanted, signal) {
    const { olderEvents } = await import("./older.js");
    if (signal.aborted) return;
    const until = this.#began;
    const from = this.#request.since ? this.#plan.from : (this.#oldest ?? until);
    const ask = (/** @type {number} */ since, /** @type {number} */ end, /** @type {number} */ bars) => this.#count(since, end, bars, signal);
    const room = MOST_EVENTS - this.store.shown.length;
    if (room <= 0) return;
    const older = await olderEvents(this.#request, { from, until, room, wanted: Math.min(wanted, room) }, ask, signal);
    if (signal.aborted) return;
    this.store.prepend(older.events);
    this.#sums.count += older.events.length;
    this.#began = older.since;
    this.#plan = { ...this.#plan, shown: older.whole };
    this.table.draw();
    this.#show();
  }

  /** @param {number} since @param {number} until @param {number} bars @param {AbortSignal} signal */
  #count(since, until, bars, signal) {
    const seconds = barWidth(Math.max(1, (until - since) / 1000), bars);
    return counts(this.#request, { since, until, seconds }, signal);
  }

  /** What the page shows of its streams: for what else is asked of the same. */
  get asked() {
    const { since, path, parameters } = this.#request;
    return { path, parameters, since: since ? this.#plan.from : 0, until: this.#end.time ?? now() };
  }

  /** @param {string[]} columns @param {boolean} several @param {import("./heads.js").Sorting | null} sorting */
  setColumns(columns, several, sorting) {
    this.table.setColumns(columns, several, sorting);
    this.#sorts = sorting !== null;
    this.#complete();
    this.#tick();
  }

  /** An order of a part would mislead: so as much of the range is fetched as the page has room for. */
  #complete() {
    const { since, speed } = this.#request;
    if (!this.#sorts || !since || speed > 0 || this.#plan.shown || this.#plan.counts === null) return;
    const { signal } = this.#asking;
    if (this.#completing === signal) return;
    this.#completing = signal;
    void this.loadOlder(MOST_EVENTS).then(() => {
      if (this.#completing === signal) this.#completing = null;
    });
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
      this.page.shared(message.pages);
      return this.#showStatus();
    }
    if (message.kind === "batch") this.#worker.postMessage({ taken: true });
    if (message.subscription !== this.#subscription) return;
    if (message.kind === "state") {
      this.#state = message.state;
      if (message.state.name === "connecting" || message.state.name === "reconnecting") this.#caught = false;
      // What is said to be finished is there, for whoever saves it at once.
      if (message.state.name === "ended") this.#show();
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
    sums.read = sums.read === null || batch.read === null ? null : sums.read + batch.read;
    this.#pace.add(batch.count, batch.bytes);
    sums.fresh += this.#histogram.add(batch.seconds);
    this.store.add(batch.events, batch.count);
    tellGaps(batch.gaps);
    this.#showSoon();
  }

  /** Draw at a pace at which the table can be read: the more comes, the more rarely. */
  #showSoon() {
    if (this.#drawTimer !== 0) return;
    const wait = Math.max(0, this.#lastDraw + pauseBetween(this.#pace.now.count) - performance.now());
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
    this.#showHolds();
    this.#showEmpty();
  }

  #tick() {
    this.#showStatus();
    this.#showFigures();
    this.#showChart();
    this.#showEmpty();
  }

  #showEmpty() {
    const { since, parameters } = this.#request;
    const isFiltered = parameters.some(([name]) => name === "filter");
    const words = emptyWords({ state: this.#state, caught: this.#caught, newest: this.#newest, now: now(), isRange: since !== "", isFiltered });
    this.table.tellEmpty(byId("empty"), words);
  }

  /** All events of the view, also those that were counted by the server and not moved. */
  get #total() {
    const { since, speed } = this.#request;
    return since && speed === 0 && this.#plan.counts !== null && !this.#plan.shown ? this.#plan.total + this.#sums.fresh : this.#sums.count;
  }

  #showFigures() {
    const { count, read } = this.#sums;
    const total = this.#total;
    const estimated = this.#plan.counts?.exact === false && total !== count;
    showFigures({ total, estimated, pace: this.#pace.known ? this.#pace.now : null, ratio: this.ratio, share: read === null || read === 0 ? null : count / read });
  }

  #showChart() {
    const { since, until, speed } = this.#request;
    const end = (until && this.#end.time) || Math.max(now(), this.#position);
    // What is live moves on; of a quiet stream the chart shows also the time in which its last events came.
    const far = end - this.#origin > 2 * LIVE_SPAN && this.#plan.counts !== null;
    const start = since || far ? this.#origin : Math.min(end - SHORTEST_SPAN, Math.max(end - LIVE_SPAN, this.#origin));
    const part = this.#plan.counts?.exact === false ? this.#plan.counts.scanned : null;
    this.chart.show(this.#histogram, start, Math.max(end, start + 1000), since && speed > 0 ? this.#position : 0, part);
  }

  #showStatus() {
    const quiet = this.#lastBatch === 0 ? 0 : performance.now() - this.#lastBatch;
    const { until, speed } = this.#request;
    const origin = this.#began;
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
      paused: this.#holds.passed,
      isFast: this.#pace.known && pauseBetween(this.#pace.now.count) === LONGEST_PAUSE,
    };
    const caught = isCaughtUp(situation);
    // What the past brought at once is no rate of now.
    if (caught && !this.#caught) this.#pace.restart();
    this.#caught = caught;
    const { name, words, detail, progress } = statusOf(situation);
    sayState(name, words, name === "live" || name === "behind" ? this.#trouble || detail : detail, progress);
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

  #showHolds() {
    this.#holds.show();
    const { shown, waiting, missed } = this.store;
    const held = shown.length + waiting.length + missed;
    const isPart = !this.#plan.shown || this.#sums.count > held;
    const hasOlder = !this.#plan.shown && this.#plan.counts !== null && shown.length > 0 && shown.length < MOST_EVENTS;
    showKept({ kept: shown.length, total: this.#total > held ? this.#total : null, isPart, hasOlder });
  }
}

/** @param {string | number | null} time As the catalogue has it. @returns {number} In milliseconds, 0 for none. */
function timeOf(time) {
  return (typeof time === "number" ? time : Date.parse(time ?? "")) || 0;
}
