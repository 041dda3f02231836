/** The commonest values of members that have few, each a click away from a filter. Loaded when it is first opened. */
import { byId, h, say } from "./dom.js";
import { counts as countsOf, now } from "./api.js";
import { and, condition, conjuncts, expressionOf, isWritable, without } from "./cel.js";
import { barWidth } from "./histogram.js";
import { at } from "./json.js";
import { candidates, MOST } from "./members.js";
import { valueOf } from "./store.js";
import { brief, span, whole } from "./text.js";

const VALUES = 6;
const LOOKED_AT = 500; // events of the page, from which the members are chosen
const PAUSE = 300; // milliseconds
const LIVE_SPAN = 3_600_000;
const BUCKETS = 10;

/**
 * @typedef {{
 *   fields: () => import("./schema.js").Field[],
 *   rows: () => import("./store.js").Row[],
 *   asked: () => {path: string, parameters: [string, string][], since: number, until: number},
 *   filter: () => string,
 *   refine: (filter: string) => void,
 * }} Source
 * @typedef {{value: unknown, count: number}[]} Values
 */
export class Facets {
  #timer = 0;
  /** @type {string[]} */
  #paths = [];
  #asking = new AbortController();

  /** @param {Source} source */
  constructor(source) {
    this.source = source;
    this.list = byId("facet-list");
  }

  /** Another view is shown. @param {number} [pause] */
  renew(pause = PAUSE) {
    clearTimeout(this.#timer);
    this.#asking.abort();
    const asking = (this.#asking = new AbortController());
    this.#timer = window.setTimeout(() => void this.#show(asking.signal), pause);
  }

  /** @param {AbortSignal} signal */
  async #show(signal) {
    const rows = this.source.rows().slice(-LOOKED_AT);
    // What is asked for has not come yet, or never does.
    if (rows.length === 0) return byId("facets").open ? this.renew(1000) : undefined;
    // A member that the filter asks for has one value left, and stays to be let go of.
    const asked = this.#paths.filter((each) => this.source.filter().includes(`${expressionOf(each.split("."))} == `));
    const found = candidates(this.source.fields(), rows.map(valueOf)).filter((each) => !asked.includes(each));
    const paths = this.#paths = [...asked, ...found].slice(0, MOST);
    const { path, parameters, since, until } = this.source.asked();
    const from = since || now() - LIVE_SPAN;
    say(byId("facets-note"), paths.length === 0 ? "no member has few values" : since ? "" : `of the last ${span(LIVE_SPAN)}`);
    const boxes = paths.map((each) => h("section.facet", { "aria-label": brief(each) }, h("h3", null, brief(each)), h("ul")));
    this.list.replaceChildren(...boxes);
    const held = `of ${whole(rows.length)} events that the page holds`;
    paths.forEach((each, index) => this.#fill(boxes[index].lastElementChild, each, here(rows, each), held));
    for (const [index, each] of paths.entries()) {
      // One after another: each question is work for the server.
      const range = { since: from, until, seconds: barWidth(Math.max(1, (until - from) / 1000), BUCKETS), by: each, most: VALUES };
      const told = await countsOf({ path, parameters }, range, signal).catch(() => null);
      if (signal.aborted) return;
      if (told === null) continue;
      this.#fill(boxes[index].lastElementChild, each, told.values, told.exact ? "" : `estimated from ${whole(told.scanned)} records`);
    }
  }

  /** @param {HTMLElement} list @param {string} path @param {Values} values @param {string} part */
  #fill(list, path, values, part) {
    const most = Math.max(1, ...values.map(({ count }) => count));
    const items = values.filter(({ value }) => isWritable(value) && (value === null || typeof value !== "object")).map(({ value, count }) => {
      const text = condition(path.split("."), value, "==");
      const place = conjuncts(this.source.filter()).indexOf(text);
      const act = () => this.source.refine(place >= 0 ? without(this.source.filter(), place) : and(this.source.filter(), text));
      const bar = h("span.share", { "aria-hidden": "true" });
      bar.style.width = `${(count / most) * 100}%`;
      const shown = brief(value, 40) || "(empty)";
      return h("li", null, h("button", { type: "button", "aria-pressed": String(place >= 0), title: text, onclick: act }, bar, h("span.value", null, shown), h("span.count", null, whole(count))));
    });
    list.replaceChildren(...items, ...(part === "" ? [] : [h("li.note", null, part)]));
  }
}

/** Those of events that the page has. @param {import("./store.js").Row[]} rows @param {string} path @returns {Values} */
function here(rows, path) {
  /** @type {Map<unknown, number>} */
  const found = new Map();
  for (const row of rows) {
    const value = at(valueOf(row), path);
    if (value !== undefined) found.set(value, (found.get(value) ?? 0) + 1);
  }
  return [...found].map(([value, count]) => ({ value, count })).sort((one, other) => other.count - one.count).slice(0, VALUES);
}
