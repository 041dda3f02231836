/** The list of streams: what each is, and what goes on in it. */
import { byId, h, say, svg } from "./dom.js";
import { ago, figures } from "./text.js";
import { now } from "./api.js";

const WIDTH = 120;
const HEIGHT = 28;

export class Catalogue {
  /** @type {Map<string, {card: any, box: any, path: any, area: any, rate: any, oldest: any}>} */
  #cards = new Map();

  /** @param {(name: string, on: boolean) => void} pick @param {(name: string) => void} pickAlone */
  constructor(pick, pickAlone) {
    this.root = byId("streams");
    this.pick = pick;
    this.pickAlone = pickAlone;
    byId("find").addEventListener("input", (/** @type {InputEvent} */ event) => {
      this.#find(/** @type {HTMLInputElement} */ (event.target).value.toLowerCase());
    });
  }

  /** @param {import("./api.js").Stream[]} streams */
  setStreams(streams) {
    this.#cards.clear();
    const cards = streams.map((stream) => this.#card(stream));
    if (cards.length > 0) this.root.replaceChildren(...cards);
    else this.root.replaceChildren(h("li.empty", null, "There are no streams in the configuration."));
    byId("finder").hidden = streams.length < 6;
    say(byId("stream-count"), String(streams.length));
  }

  /** @param {import("./api.js").Stream} stream */
  #card(stream) {
    const { name, title, description, oldest, schema, aliases } = stream;
    const id = `stream-${name}`;
    const box = h("input", { type: "checkbox", id, onchange: () => this.pick(name, box.checked) });
    const only = h("button.quiet.only", { type: "button", onclick: () => this.pickAlone(name) }, "only");
    only.setAttribute("aria-label", `Only ${name}`);
    const area = svg("path", { class: "area" });
    const path = svg("path", { class: "stroke" });
    const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, area, path);
    const rate = h("span.rate", null, `${figures(stream.rate)}/s`);
    const when = h("span", null, oldest === null ? "empty" : `since ${ago(now() - (typeof oldest === "number" ? oldest : Date.parse(oldest)))}`);
    const link = schema === null ? null : h("a", { href: new URL(schema).pathname, target: "_blank", rel: "noopener" }, "schema");
    link?.setAttribute("aria-label", `Schema of ${name}`);
    const card = h(
      "li.stream",
      { "data-text": [name, title, description, ...aliases].join(" ").toLowerCase() },
      h("div.title", null, box, h("label", { for: id }, name), only),
      h("p", null, description || title),
      h("div.pulse", null, chart, rate),
      h("div.facts", null, when, link),
    );
    this.#cards.set(name, { card, box, path, area, rate, oldest: when });
    return card;
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

  /** @param {string} text */
  #find(text) {
    for (const { card } of this.#cards.values()) card.hidden = !card.dataset.text.includes(text);
  }
}

/** @param {number[]} numbers */
function mean(numbers) {
  return numbers.reduce((one, other) => one + other, 0) / Math.max(1, numbers.length);
}
