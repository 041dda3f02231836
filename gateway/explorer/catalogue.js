/** The list of streams: what each is, and what goes on in it. */
import { byId, h, say, svg } from "./dom.js";
import { ago, figures } from "./text.js";
import { now } from "./api.js";

const WIDTH = 120;
const HEIGHT = 28;

export class Catalogue {
  /** @type {Map<string, {card: any, box: any, path: any, area: any, rate: any, told: any}>} */
  #cards = new Map();
  #wanted = "";

  /** @param {(name: string, on: boolean) => void} pick @param {(name: string) => void} pickAlone */
  constructor(pick, pickAlone) {
    this.root = byId("streams");
    this.pick = pick;
    this.pickAlone = pickAlone;
    byId("find").addEventListener("input", (/** @type {InputEvent} */ event) => {
      this.#wanted = /** @type {HTMLInputElement} */ (event.target).value.toLowerCase();
      this.#find();
    });
  }

  /** Cards that are there already stay, with what somebody does in them. @param {import("./api.js").Stream[]} streams */
  setStreams(streams) {
    for (const stream of streams) {
      if (!this.#cards.has(stream.name)) this.#cards.set(stream.name, this.#card(stream.name));
      this.#tell(stream);
    }
    const names = streams.map(({ name }) => name);
    for (const name of this.#cards.keys()) if (!names.includes(name)) this.#cards.delete(name);
    const cards = names.map((name) => this.#cards.get(name)?.card);
    if (cards.length === 0) cards.push(h("li.empty", null, "There are no streams in the configuration."));
    const before = [...this.root.children];
    if (cards.length !== before.length || cards.some((card, index) => card !== before[index])) {
      const focused = /** @type {HTMLElement | null} */ (document.activeElement);
      this.root.replaceChildren(...cards);
      if (this.root.contains(focused)) focused?.focus({ preventScroll: true });
    }
    this.#find();
    byId("finder").hidden = streams.length < 6;
    say(byId("stream-count"), String(streams.length));
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
  #tell({ name, title, description, oldest, schema, aliases, rate: perSecond }) {
    const known = this.#cards.get(name);
    if (known === undefined) return;
    const { card, rate, told } = known;
    card.dataset.text = [name, title, description, ...aliases].join(" ").toLowerCase();
    say(told.about, description || title);
    say(told.when, oldest === null ? "empty" : `since ${ago(now() - (typeof oldest === "number" ? oldest : Date.parse(oldest)))}`);
    told.link.hidden = schema === null;
    if (schema !== null) told.link.setAttribute("href", new URL(schema).pathname);
    if (rate.textContent === "") say(rate, `${figures(perSecond)}/s`);
  }

  /** @param {string[]} names */
  setPicked(names) {
    for (const [name, { box, card }] of this.#cards) {
      box.checked = names.includes(name);
      card.classList.toggle("picked", box.checked);
    }
  }

  /** @param {Record<string, {counts: number[]}>} rates Events of each second, the newest last. */
  setRates(rates) {
    for (const [name, { path, area, rate }] of this.#cards) {
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

  #find() {
    for (const { card } of this.#cards.values()) card.hidden = !card.dataset.text.includes(this.#wanted);
  }
}

/** @param {number[]} numbers */
function mean(numbers) {
  return numbers.reduce((one, other) => one + other, 0) / Math.max(1, numbers.length);
}
