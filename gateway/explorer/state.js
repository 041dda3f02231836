/** "State by key": what a view knows of a key, now and at any time, and what changed. Loaded when it is opened. */
import { reasonOf } from "./api.js";
import { copy } from "./clipboard.js";
import { h, say } from "./dom.js";
import { parse } from "./json.js";
import { Versions } from "./versions.js";
import { brief, printable } from "./text.js";

/**
 * @typedef {import("./api.js").StateView} StateView
 * @typedef {{views: StateView[], members: unknown[] | null, at: string, travel: (since: string) => void}} Asked
 *   `members` of the key that is shown first, null where one is looked for; `at` as the gateway's `since` is written.
 */
const ANSWER = 10_000; // milliseconds
const KEYS = 50;
const LONGEST_VALUE = 100_000; // characters that are shown

/** A refusal, in the gateway's words. */
class Refusal extends Error {}

/** @type {StateDialog | null} */
let dialog = null;

/** Open it. @param {Asked} asked */
export async function openState(asked) {
  if (dialog === null) {
    const style = h("link", { rel: "stylesheet", href: new URL("./state.css", import.meta.url).pathname });
    const loaded = new Promise((resolve) => ["load", "error"].forEach((event) => style.addEventListener(event, resolve)));
    document.head.append(style);
    await loaded;
    dialog = new StateDialog();
  }
  dialog.open(asked);
}

class StateDialog {
  #running = new AbortController();
  /** @type {Asked} */
  #asked = { views: [], members: null, at: "", travel: () => undefined };

  constructor() {
    this.answer = h("p.answer", { role: "status" });
    this.found = h("div.found");
    this.choice = h("select", { onchange: () => this.#change() });
    this.members = h("div.members");
    this.at = h("input", { type: "text", placeholder: "now", autocomplete: "off", spellcheck: "false" });
    const close = h("button.quiet", { type: "button", "aria-label": "Close", onclick: () => this.root.close() }, "×");
    this.which = h("label", null, "View ", this.choice);
    this.root = h(
      "dialog",
      { id: "by-key", "aria-labelledby": "by-key-title" },
      h("div.heading", null, h("h2", { id: "by-key-title" }, "State by key"), close),
      h(
        "form",
        { onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
        this.which,
        this.members,
        h("label", null, "As of ", this.at),
        h("button.primary", { type: "submit" }, "Show"),
      ),
      this.answer,
      this.found,
    );
    this.root.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.target === this.root) this.root.close();
    });
    this.root.addEventListener("close", () => this.#running.abort());
    document.body.append(this.root);
  }

  /** @param {Asked} asked */
  open(asked) {
    this.#asked = asked;
    this.choice.replaceChildren(...asked.views.map(({ name }) => h("option", { value: name }, name)));
    this.which.hidden = asked.views.length < 2;
    this.at.value = asked.at;
    this.#choose();
    if (!this.root.open) this.root.showModal();
    this.members.querySelector("input").focus();
    if (asked.members === null) this.#list(null);
    else this.#show(asked.members);
  }

  /** @returns {StateView} */
  get view() {
    return this.#asked.views.find(({ name }) => name === this.choice.value) ?? this.#asked.views[0];
  }

  #change() {
    this.#choose();
    this.#list(null);
  }

  /** Another view has another key; what is asked of the one before is not waited for. */
  #choose() {
    this.#running.abort();
    const field = (/** @type {string} */ path) =>
      h("label", null, `${printable(path)} `, h("input", { type: "text", autocomplete: "off", spellcheck: "false" }));
    this.members.replaceChildren(...this.view.key.map(field));
    this.found.replaceChildren();
    say(this.answer, "");
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const texts = this.#typed();
    if (texts.every((text) => text !== "")) this.#show(texts, true);
    else this.#list(null);
  }

  /** @returns {string[]} */
  #typed() {
    return [...this.members.querySelectorAll("input")].map((input) => input.value);
  }

  /** The first keys that begin with what was typed, behind those of an earlier answer. @param {string | null} after */
  #list(after) {
    const [first, ...others] = this.#typed();
    this.#ask("Looking for keys …", async (signal) => {
      const { rows, next } = await this.#get("", { prefix: first, limit: String(KEYS), after: after ?? "", at: after ? "" : this.at.value }, signal);
      const keys = rows.map((/** @type {{key: Record<string, unknown>}} */ row) => Object.values(row.key));
      const fit = keys.filter((/** @type {unknown[]} */ key) => others.every((text, index) => String(key[index + 1]).startsWith(text)));
      const list = after === null ? h("ul.keys", { "aria-label": "Keys" }) : this.found.querySelector(".keys");
      list.append(
        ...fit.map((/** @type {unknown[]} */ key) =>
          h("li", null, h("button.quiet", { type: "button", onclick: () => this.#show(key) }, nameOf(key))),
        ),
      );
      this.found.querySelector(".more")?.remove();
      if (after === null) this.found.replaceChildren(list);
      if (next) this.found.append(h("button.more", { type: "button", onclick: () => this.#list(next) }, "More keys"));
      const count = list.childElementCount;
      return count === 0 ? (next ? "No key among these; look at more, or write the whole key" : "No such key") : `${count} ${count === 1 ? "key" : "keys"}${next ? ", and more" : ""}`;
    });
  }

  /** A key. @param {unknown[]} members @param {boolean} [typed] They are texts that stand for values of any type. */
  #show(members, typed = false) {
    [...this.members.querySelectorAll("input")].forEach((input, index) => (input.value = String(members[index])));
    const isPath = typed && members.every((text) => text !== "." && text !== "..");
    const path = isPath ? `/${members.map((text) => encodeURIComponent(String(text))).join("/")}` : "";
    /** @type {Record<string, string>} */
    const key = isPath ? {} : { key: JSON.stringify(members) };
    const at = this.at.value.trim();
    this.#ask("Looking …", async (signal) => {
      const history = (/** @type {string} */ before) =>
        this.#get(isPath ? `${path}/history` : "", { ...key, ...(isPath ? {} : { history: "true" }), limit: "20", before }, signal);
      const [value, versions] = await Promise.all([this.#valueOf(path, { ...key, at }, signal), history("")]);
      const list = new Versions(versions, {
        older: history,
        travel: (time) => {
          this.root.close();
          this.#asked.travel(time);
        },
      });
      const back = h("button.quiet", { type: "button", onclick: () => this.#list(null) }, "All keys");
      this.found.replaceChildren(h("div.origin", null, h("h3", null, nameOf(members)), back), stateOf(value, at), list.root);
      return "";
    });
  }

  /** @param {string} path @param {Record<string, string>} query @param {AbortSignal} signal */
  async #valueOf(path, query, signal) {
    try {
      return { value: await this.#get(path, query, signal) };
    } catch (error) {
      if (error instanceof Refusal) return { refusal: error.message };
      throw error;
    }
  }

  /** @param {string} path Behind the view's. @param {Record<string, string>} query @param {AbortSignal} signal */
  async #get(path, query, signal) {
    const given = new URLSearchParams(Object.entries(query).filter(([, text]) => text.trim() !== ""));
    const response = await fetch(`/v2/views/${encodeURIComponent(this.view.name)}${path}?${given}`, {
      headers: { accept: "application/json" },
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER)]),
    });
    const body = parse(await response.text());
    if (!response.ok) throw new Refusal(printable(String(body.detail ?? `the server answered ${response.status}`)));
    return body;
  }

  /** @param {string} words @param {(signal: AbortSignal) => Promise<string>} work Returns what is said at the end. */
  async #ask(words, work) {
    this.#running.abort();
    const { signal } = (this.#running = new AbortController());
    this.answer.dataset.kind = "running";
    say(this.answer, words);
    try {
      const told = await work(signal);
      if (!signal.aborted) say(this.answer, told);
    } catch (error) {
      if (signal.aborted) return;
      this.answer.dataset.kind = "bad";
      this.found.replaceChildren();
      say(this.answer, error instanceof Refusal ? error.message : reasonOf(error));
    }
  }
}

/** @param {unknown[]} members */
function nameOf(members) {
  return members.map((member) => brief(member, 200)).join(" · ") || "the empty key";
}

/** The state at a time, in full. @param {{value?: unknown, refusal?: string}} found @param {string} at */
function stateOf({ value, refusal }, at) {
  const when = at === "" ? "now" : `as of ${printable(at)}`;
  if (refusal !== undefined) return h("p.none", null, `No state ${when}: ${refusal}`);
  const text = written(value);
  const button = h("button.quiet", { type: "button", onclick: () => copy(text, button) }, "Copy");
  const shown = text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
  const lines = shown.split("\n").map(printable).join("\n");
  return h(
    "details",
    null,
    h("summary", null, `State ${when}`),
    h("pre", { tabindex: 0, "aria-label": `State ${when}` }, h("code", null, lines)),
    button,
  );
}

/** @param {unknown} value */
function written(value) {
  try {
    return JSON.stringify(value, null, 2);
  } catch {
    return "‹nested too deep›";
  }
}
