/** The versions of a key, the newest first, and what differs between two of them. */
import { now } from "./api.js";
import { differencesOf, MOST } from "./difference.js";
import { h, say } from "./dom.js";
import { ago, brief, moment, printable } from "./text.js";

/**
 * @typedef {{timestamp: string, id: string, value?: unknown, deleted?: true}} Version
 * @typedef {{versions: Version[], next: string | null}} Page
 * @typedef {import("./difference.js").Difference} Difference
 */
const NAMED = 3;
const LONGEST_VALUE = 600; // characters that are shown
const SIGNS = { added: "+", removed: "−", changed: "≠" };

/** What every event has anew stands last. @param {unknown} before @param {unknown} after */
function changesOf(before, after) {
  const { found, more } = differencesOf(before, after);
  const isMeta = (/** @type {Difference} */ { path }) => path.startsWith("meta.");
  return { found: [...found.filter((each) => !isMeta(each)), ...found.filter(isMeta)], more };
}

export class Versions {
  /** @type {Version[]} */
  #versions = [];
  /** @type {string | null} */
  #next = null;
  #chosen = 0;

  /** @param {Page} page @param {{older: (next: string) => Promise<Page>, travel: (time: string) => void}} actions */
  constructor(page, actions) {
    this.actions = actions;
    this.list = h("ol", { "aria-label": "Versions, the newest first" });
    this.more = h("button", { type: "button", onclick: () => this.#older() }, "Older versions");
    this.base = h("select", { onchange: () => this.#compare() });
    this.travel = h("button.quiet", { type: "button", onclick: () => actions.travel(this.#versions[this.#chosen].timestamp) }, "Events from here");
    this.heading = h("h4", { "aria-live": "polite" });
    this.changes = h("div.changes", { tabindex: 0, role: "region", "aria-label": "What changed" });
    this.root = h(
      "div.versions",
      null,
      h("section", { "aria-label": "Versions" }, this.list, this.more),
      h(
        "section",
        { "aria-label": "Difference" },
        this.heading,
        h("div.compared", null, h("label", null, "Compared with ", this.base), this.travel),
        this.changes,
      ),
    );
    this.#take(page);
    this.#choose(0);
  }

  /** @param {Page} page */
  #take({ versions, next }) {
    const first = this.#versions.length;
    this.#versions.push(...versions);
    this.#next = next;
    this.more.hidden = next === null;
    // The last one before was compared with nothing, since what is older was not here.
    [...this.list.children].slice(Math.max(0, first - 1)).forEach((item) => item.remove());
    for (let index = Math.max(0, first - 1); index < this.#versions.length; index += 1) this.list.append(this.#item(index));
  }

  /** @param {number} index */
  #item(index) {
    const { timestamp } = this.#versions[index];
    const time = Date.parse(timestamp);
    return h(
      "li",
      null,
      h(
        "button.version",
        { type: "button", "aria-pressed": String(index === this.#chosen), onclick: () => this.#choose(index) },
        h("span", null, Number.isNaN(time) ? printable(timestamp) : moment(time)),
        h("small", null, `${Number.isNaN(time) ? "" : `${ago(now() - time)} · `}${this.#summary(index)}`),
      ),
    );
  }

  /** @param {number} index */
  #summary(index) {
    const version = this.#versions[index];
    if (version.deleted) return "deleted";
    const before = this.#versions[index + 1];
    if (before === undefined) return this.#next === null ? "the oldest that is known" : "";
    if (before.deleted) return "made again";
    const { found, more } = changesOf(before.value, version.value);
    if (found.length === 0) return "the same again";
    const names = found.slice(0, NAMED).map(({ path }) => brief(path, 40) || "all");
    const left = found.length - names.length;
    return names.join(", ") + (left > 0 ? ` and ${left}${more ? "+" : ""} more` : "");
  }

  /** @param {number} index */
  #choose(index) {
    this.#chosen = index;
    [...this.list.children].forEach((item, each) => item.firstElementChild.setAttribute("aria-pressed", String(each === index)));
    const others = this.#versions.map(({ timestamp }, each) => ({ timestamp, each })).filter(({ each }) => each !== index);
    this.base.replaceChildren(
      ...others.map(({ timestamp, each }) =>
        h("option", { value: each }, each === index + 1 ? "the one before" : printable(timestamp.replace("T", " ").replace("Z", ""))),
      ),
    );
    this.base.disabled = others.length === 0;
    if (index + 1 < this.#versions.length) this.base.value = String(index + 1);
    this.#compare();
  }

  #compare() {
    const version = this.#versions[this.#chosen];
    const other = this.base.value === "" ? undefined : this.#versions[Number(this.base.value)];
    const one = { ...version, words: printable(version.timestamp.replace("T", " ").replace("Z", "")) };
    if (version.deleted || other === undefined || other.deleted) {
      say(this.heading, version.deleted ? `Deleted at ${one.words}` : other === undefined ? `The only version that is here, of ${one.words}` : "After a deletion, all is new");
      this.changes.replaceChildren(...(version.deleted ? [] : [tableOf(changesOf({}, version.value).found)]));
      return;
    }
    // The older one stands first, whichever was chosen.
    const [before, after] = Number(this.base.value) > this.#chosen ? [other, version] : [version, other];
    const { found, more } = changesOf(before.value, after.value);
    const count = `${found.length}${more ? "+" : ""}`;
    say(this.heading, found.length === 0 ? "Nothing differs" : `${count} ${found.length === 1 ? "member differs" : "members differ"}`);
    this.changes.replaceChildren(...(found.length === 0 ? [] : [tableOf(found)]), ...(more ? [h("p", null, `Only the first ${MOST} are shown.`)] : []));
  }

  async #older() {
    if (this.#next === null) return;
    this.more.disabled = true;
    const first = this.#versions.length;
    try {
      this.#take(await this.actions.older(this.#next));
      this.#choose(this.#chosen);
      this.list.children[first]?.firstElementChild.focus();
    } catch {
      say(this.heading, "Older versions cannot be had now");
    } finally {
      this.more.disabled = false;
    }
  }
}

/** @param {Difference[]} differences */
function tableOf(differences) {
  return h(
    "table",
    null,
    h("thead", null, h("tr", null, ...["Member", "Before", "After"].map((name) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      null,
      ...differences.map(({ path, kind, before, after }) =>
        h(
          `tr.${kind}`,
          null,
          h("th", { scope: "row" }, h("span.sign", { role: "img", "aria-label": kind, title: kind }, SIGNS[kind]), ` ${brief(path, LONGEST_VALUE) || "all"}`),
          cell("before", kind !== "added", before),
          cell("after", kind !== "removed", after),
        ),
      ),
    ),
  );
}

/** A value as JSON has it, so that the text "1" is not the number 1. @param {string} name @param {boolean} is @param {unknown} value */
function cell(name, is, value) {
  if (!is) return h(`td.${name}`, null, h("span.none", null, "–"));
  const text = typeof value === "string" ? JSON.stringify(value) : value;
  return h(`td.${name}`, null, h("code", null, brief(text, LONGEST_VALUE)));
}
