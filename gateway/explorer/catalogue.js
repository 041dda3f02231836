/** The list of streams: what each is, and what goes on in it. Many are a dense list, in groups by how their names begin. */
import { byId, h, say, svg } from "./dom.js";
import { DENSE, FOLDED, grouped } from "./groups.js";
import { ago, figures, whole } from "./text.js";
import { now } from "./api.js";

const WIDTH = 120;
const HEIGHT = 28;
/** Streams of a group that are shown; the others can be found by their names. */
const MOST = 200;
/** Streams from which on they can be looked for; fewer are in view at once. */
const FINDABLE = 8;

export class Catalogue {
  /** Those that are, or were, shown. @type {Map<string, {card: any, box: any, path: any, area: any, rate: any, told: any}>} */
  #cards = new Map();
  /** @type {Map<string, import("./api.js").Stream>} */
  #streams = new Map();
  /** @type {Map<string, any>} */
  #groups = new Map();
  /** @type {string[]} */
  #picked = [];
  #wanted = "";

  /** @param {(name: string, on: boolean) => void} pick @param {(name: string) => void} pickAlone */
  constructor(pick, pickAlone) {
    this.root = byId("streams");
    this.pick = pick;
    this.pickAlone = pickAlone;
    byId("find").addEventListener("input", (/** @type {InputEvent} */ event) => {
      this.#wanted = /** @type {HTMLInputElement} */ (event.target).value.toLowerCase();
      this.#draw();
    });
  }

  /** Cards that are there already stay, with what somebody does in them. @param {import("./api.js").Stream[]} streams */
  setStreams(streams) {
    this.#streams = new Map(streams.map((stream) => [stream.name, stream]));
    for (const name of this.#cards.keys()) if (!this.#streams.has(name)) this.#cards.delete(name);
    this.root.classList.toggle("dense", streams.length > DENSE);
    this.#draw();
    byId("finder").hidden = streams.length < FINDABLE;
    say(byId("stream-count"), String(streams.length));
  }

  #draw() {
    // Who is in the list stays there, also where it becomes another list.
    const focused = /** @type {HTMLElement | null} */ (this.root.contains(document.activeElement) ? document.activeElement : null);
    const names = [...this.#streams.values()].filter((stream) => textOf(stream).includes(this.#wanted)).map(({ name }) => name);
    const dense = this.#streams.size > DENSE;
    const items = dense ? [...grouped(names)].map(([head, members]) => this.#group(head, members)) : this.#cardsOf(names);
    if (this.#streams.size === 0) items.push(h("li.empty", null, "There are no streams in the configuration."));
    else if (names.length === 0) items.push(h("li.empty", null, "No stream is called so."));
    replace(this.root, items);
    if (focused !== document.activeElement && this.root.contains(focused)) focused?.focus({ preventScroll: true });
  }

  /** @param {string} head @param {string[]} names */
  #group(head, names) {
    let group = this.#groups.get(head);
    if (group === undefined) {
      group = h("li.group", null, h("details", null, h("summary", null, h("span", null, head || "others"), h("span.count")), h("ul")));
      const [details] = group.children;
      details.open = this.#streams.size <= FOLDED;
      details.addEventListener("toggle", () => this.#fill(group));
      this.#groups.set(head, group);
    }
    group.names = names;
    const [details] = group.children;
    // What a search has unfolded is folded again after it.
    const sought = this.#wanted !== "";
    if (sought && !details.open) group.unfolded = true;
    if (sought || names.some((name) => this.#picked.includes(name))) details.open = true;
    else if (group.unfolded) details.open = group.unfolded = false;
    say(details.querySelector(".count"), whole(names.length));
    this.#fill(group);
    return group;
  }

  /** @param {any} group */
  #fill(group) {
    const [details] = group.children;
    const shown = details.open ? this.#cardsOf(group.names.slice(0, MOST)) : [];
    const more = group.names.length - MOST;
    if (details.open && more > 0) shown.push(h("li.empty", null, `and ${whole(more)} more, which are found by their names`));
    replace(details.lastElementChild, shown);
  }

  /** @param {string[]} names @returns {any[]} */
  #cardsOf(names) {
    return names.map((name) => {
      if (!this.#cards.has(name)) this.#cards.set(name, this.#card(name));
      this.#tell(/** @type {import("./api.js").Stream} */ (this.#streams.get(name)));
      return this.#cards.get(name)?.card;
    });
  }

  /** @param {string} name */
  #card(name) {
    const id = `stream-${name}`;
    const box = h("input", { type: "checkbox", id, onchange: () => this.pick(name, box.checked) });
    const only = h("button.quiet.only", { type: "button", onclick: () => this.pickAlone(name) }, "only");
    only.setAttribute("aria-label", `Only ${name}`);
    const area = svg("path", { class: "area" });
    const path = svg("path", { class: "stroke" });
    const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, area, path);
    const rate = h("span.rate");
    const told = { about: h("p"), when: h("span"), link: h("a", { target: "_blank", rel: "noopener" }, "schema") };
    told.link.setAttribute("aria-label", `Schema of ${name}`);
    const card = h(
      "li.stream",
      null,
      h("div.title", null, box, h("label", { for: id }, name), only),
      told.about,
      h("div.pulse", null, chart, rate),
      h("div.facts", null, told.when, told.link),
    );
    return { card, box, path, area, rate, told };
  }

  /** Say on its card what a stream is. @param {import("./api.js").Stream} stream */
  #tell({ name, title, description, oldest, schema, rate: perSecond, absent = [] }) {
    const known = this.#cards.get(name);
    if (known === undefined) return;
    const { card, rate, told } = known;
    card.title = this.root.classList.contains("dense") ? description || title : "";
    known.box.checked = this.#picked.includes(name);
    card.classList.toggle("picked", known.box.checked);
    say(told.about, description || title);
    const since = oldest === null ? "empty" : `since ${ago(now() - (typeof oldest === "number" ? oldest : Date.parse(oldest)))}`;
    say(told.when, absent.length === 0 ? since : `no topic ${absent.join(", ")}`);
    card.classList.toggle("absent", absent.length > 0);
    told.link.hidden = schema === null;
    if (schema !== null) told.link.setAttribute("href", new URL(schema).pathname);
    if (rate.textContent === "") say(rate, `${figures(perSecond)}/s`);
  }

  /** @param {string[]} names */
  setPicked(names) {
    this.#picked = names;
    this.#draw();
  }

  /** @param {Record<string, {counts: number[]}>} rates Events of each second, the newest last. */
  setRates(rates) {
    for (const [name, { path, area, rate, card }] of this.#cards) {
      if (!card.isConnected) continue;
      const counts = rates[name]?.counts;
      if (counts === undefined || counts.length < 2) continue;
      const smooth = counts.map((_, index) => mean(counts.slice(Math.max(0, index - 2), index + 1)));
      const most = Math.max(1, ...smooth);
      const step = WIDTH / (smooth.length - 1);
      const points = smooth.map((count, index) => `${(index * step).toFixed(1)},${(HEIGHT - 2 - (count / most) * (HEIGHT - 4)).toFixed(1)}`);
      path.setAttribute("d", `M${points.join("L")}`);
      area.setAttribute("d", `M0,${HEIGHT}L${points.join("L")}L${WIDTH},${HEIGHT}Z`);
      say(rate, `${figures(mean(counts.slice(-10)))}/s`);
    }
  }
}

/** What a stream is found by. @param {import("./api.js").Stream} stream */
function textOf({ name, title, description, aliases }) {
  return [name, title, description, ...aliases].join(" ").toLowerCase();
}

/** Other children, unless they are the same. @param {Element} root @param {any[]} items */
function replace(root, items) {
  const before = root.children;
  if (items.length === before.length && items.every((item, index) => item === before[index])) return;
  root.replaceChildren(...items);
}

/** @param {number[]} numbers */
function mean(numbers) {
  return numbers.reduce((one, other) => one + other, 0) / Math.max(1, numbers.length);
}
