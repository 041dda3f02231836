/** The filter: a text in CEL with colours, completion and the server's complaint at its place; and its conditions as chips. */
import { byId, h, say } from "./dom.js";
import { and, conjuncts, placeOf, tokens, without } from "./cel.js";
import { reasonOf } from "./api.js";
import { complete } from "./completion.js";
import { example } from "./recipes.js";
import { isWords, searchFilter, wordOf, wordsOf } from "./search.js";
import { bytes, figures, percent } from "./text.js";
import { tellMissing } from "./told.js";

const PAUSE = 250; // milliseconds without a key until the server is asked

/**
 * @typedef {{problem: string} | {later: string} | {sample: import("./api.js").Sample | null}} Result
 * @typedef {{
 *   apply: (filter: string) => void,
 *   probe: (filter: string, signal: AbortSignal) => Promise<Result>,
 *   check: (filter: string) => Promise<boolean>,
 *   sampled: (sample: import("./api.js").Sample) => void,
 *   fields: () => import("./schema.js").Field[],
 *   seen: (path: string) => unknown[],
 * }} Source
 */
export class FilterBar {
  #applied = "";
  #timer = 0;
  #asking = new AbortController();
  /** @type {import("./completion.js").Completion | null} */
  #completion = null;
  #chosen = -1;
  /** @type {{at: number, said: string} | null} */
  #error = null;

  /** @param {Source} source */
  constructor(source) {
    this.source = source;
    this.input = byId("filter");
    this.mirror = byId("mirror");
    this.list = byId("completions");
    this.chips = byId("chips");
    this.answer = byId("answer");
    this.button = byId("apply");
    this.input.addEventListener("input", () => this.#typed());
    this.input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.input.addEventListener("blur", () => this.#close());
    this.input.addEventListener("scroll", () => {
      this.mirror.scrollTop = this.input.scrollTop;
    });
    byId("filter-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#apply();
    });
    byId("clear").addEventListener("click", () => this.source.apply(""));
    byId("cookbook").addEventListener("toggle", async (/** @type {ToggleEvent} */ event) => {
      if (event.newState !== "open") return;
      const part = await import("./cookbook.js").catch(tellMissing);
      part?.showCookbook(this.source.fields(), this.source.seen, (filter) => this.#draft(filter));
    });
  }

  /** Put a filter there, to be changed and applied. @param {string} filter */
  #draft(filter) {
    // Beside the conditions that hold already.
    this.input.value = this.#applied === "" ? filter : and(this.#applied, filter);
    this.input.focus();
    this.#error = null;
    this.#paint();
    this.ask(0);
  }

  /** Say what might be typed, of what the stream has. */
  offer() {
    const filter = example(this.source.fields(), this.source.seen);
    // A link with words is shown as words once it is known in which texts they are looked for.
    if (this.input.value === this.#applied) this.input.value = this.#shown(this.#applied);
    this.#paint();
    this.input.placeholder = filter ? `words, or ${filter}` : "words to look for, or a filter";
  }

  /** What a text asks for: words are looked for in texts. @param {string} text */
  #meaning(text) {
    const trimmed = text.trim();
    const search = isWords(trimmed) ? searchFilter(trimmed, this.source.fields()) : null;
    return search === null ? { filter: trimmed, said: "" } : { filter: search.filter, said: `these words in ${search.paths.join(", ")} · ` };
  }

  /** Another filter is applied, from wherever. @param {string} filter */
  show(filter) {
    this.#applied = filter;
    const shown = this.#shown(filter);
    if (this.input.value !== shown) this.input.value = shown;
    this.#error = null;
    this.#paint();
    this.#close();
    const parts = conjuncts(filter);
    const several = parts.length > 1 || wordOf(filter) !== null;
    this.chips.replaceChildren(...(several ? parts.map((part, index) => this.#chip(part, index)) : []));
    byId("clear").hidden = filter === "";
    this.ask(0);
  }

  /** What stands in the box for a filter: words, where it looks for these alone. @param {string} filter */
  #shown(filter) {
    const words = wordsOf(conjuncts(filter));
    return words !== null && this.#meaning(words).filter === filter ? words : filter;
  }

  /** @param {string} part @param {number} index */
  #chip(part, index) {
    const remove = h("button", { type: "button", onclick: () => this.source.apply(without(this.#applied, index)) }, "×");
    remove.setAttribute("aria-label", `Remove ${part}`);
    const word = wordOf(part);
    return h("li.chip", { title: part }, word === null ? h("code", null, part) : h("span", null, `“${word}” in a text`), remove);
  }

  #typed() {
    this.#error = null;
    this.#paint();
    this.#complete();
    this.ask(PAUSE);
  }

  /** Try what is typed on the server. @param {number} pause */
  ask(pause) {
    clearTimeout(this.#timer);
    this.#asking.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.#timer = setTimeout(async () => {
      const text = this.input.value;
      try {
        const result = await this.source.probe(this.#meaning(text).filter, asking.signal);
        if (!asking.signal.aborted) this.#told(result, text);
      } catch (error) {
        if (!asking.signal.aborted) this.#told({ later: reasonOf(error) }, text);
      }
    }, pause);
  }

  /** @param {Result} result @param {string} text */
  #told(result, text) {
    if ("problem" in result) {
      const place = placeOf(result.problem, text.trim());
      // The text was trimmed for the server.
      const leading = text.length - text.trimStart().length;
      this.#error = place === null ? null : { ...place, at: place.at + leading };
      this.#tell(place === null ? result.problem : `${place.said.trim()} (column ${column(text, this.#error?.at ?? 0)})`, "bad");
    } else if ("later" in result) {
      this.#tell(`not tried: ${result.later}`, "");
    } else if (result.sample === null) {
      this.#tell("", "");
    } else {
      this.#error = null;
      const { share, rate, size, ratio, matched, warnings } = result.sample;
      const plain = `${bytes(rate * size)}/s`;
      const packed = ratio === null ? "" : `, ${bytes(rate * size * ratio)}/s compressed`;
      const through = share === null ? "" : `lets ${percent(share)} through · `;
      const draft = this.#meaning(text).filter !== this.#applied;
      if (!draft) this.source.sampled(result.sample);
      const every = text.trim() === "" && !draft ? "every event · " : "";
      const all = matched === 0 && !every ? "nothing of the last minutes" : `${every || through}${figures(rate)} events/s · ${plain}${packed}`;
      if (warnings.length > 0) this.#tell(`${warnings.join(" · ")} · ${all}`, "warned");
      else this.#tell(this.#meaning(text).said + all, draft ? "draft" : "");
    }
    this.#paint();
  }

  /** @param {string} words @param {string} kind */
  #tell(words, kind) {
    say(this.answer, words);
    this.answer.className = kind;
    this.input.setAttribute("aria-invalid", String(kind === "bad"));
    this.button.hidden = this.#meaning(this.input.value).filter === this.#applied;
  }

  /** The same text behind the input, in colours, with the error underlined. */
  #paint() {
    const text = this.input.value;
    const error = this.#error;
    let at = 0;
    const pieces = [];
    for (const token of tokens(text)) {
      const hit = error !== null && error.at >= at && error.at < at + token.text.length;
      pieces.push(h(`span.${token.kind}${hit ? ".error" : ""}`, null, token.text));
      at += token.text.length;
    }
    if (error !== null && error.at >= at) pieces.push(h("span.error.end", null, " "));
    // A line break at the very end has no height of its own.
    this.mirror.replaceChildren(...pieces, "\u200b");
    this.button.hidden = this.#meaning(text).filter === this.#applied;
  }

  /** Show the events of what is typed; a mistake is told, and what runs goes on. */
  async #apply() {
    this.#close();
    const { value } = this.input;
    const { filter } = this.#meaning(value);
    if (filter !== "" && filter !== this.#applied && !(await this.source.check(filter))) {
      this.ask(0);
      this.input.focus();
      return;
    }
    if (this.input.value === value) this.source.apply(filter);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const open = !this.list.hidden;
    const count = this.#completion?.suggestions.length ?? 0;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#choose((this.#chosen + step + count + (this.#chosen < 0 && step < 0 ? 1 : 0)) % count);
    } else if (open && (event.key === "Tab" || event.key === "Enter") && (this.#chosen >= 0 || (event.key === "Tab" && this.#begun))) {
      if (event.shiftKey) return;
      this.#take(Math.max(0, this.#chosen));
    } else if (!open && event.key === "ArrowDown" && this.#lastLine) this.#complete();
    else if (open && event.key === "Escape") this.#close();
    else if (event.key === "Enter" && !event.shiftKey) this.#apply();
    else if (event.key === " " && event.ctrlKey) this.#complete();
    else return;
    event.preventDefault();
  }

  /** Whether something of a word is typed, which Tab then completes. */
  get #begun() {
    return this.#completion !== null && this.#completion.from < this.input.selectionStart;
  }

  /** Whether the caret has no line below it. */
  get #lastLine() {
    return !this.input.value.slice(this.input.selectionStart).includes("\n");
  }

  #complete() {
    const { input } = this;
    if (input.selectionStart !== input.selectionEnd) return this.#close();
    this.#completion = complete(input.value, input.selectionStart, this.source.fields(), this.source.seen);
    const suggestions = this.#completion?.suggestions ?? [];
    if (suggestions.length === 0) return this.#close();
    const items = suggestions.map(({ label, kind, note }, index) =>
      h(
        "li",
        {
          role: "option",
          id: `completion-${index}`,
          "aria-selected": "false",
          onpointerdown: (/** @type {PointerEvent} */ event) => event.preventDefault(),
          onclick: () => this.#take(index),
        },
        h("code", null, label),
        h("span.kind", null, kind),
        h("span.note", null, note),
      ),
    );
    this.list.replaceChildren(...items);
    this.list.hidden = false;
    this.#choose(-1);
  }

  /** @param {number} index */
  #choose(index) {
    this.#chosen = index;
    [...this.list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
    this.list.children[index]?.scrollIntoView({ block: "nearest" });
    if (index >= 0) this.input.setAttribute("aria-activedescendant", `completion-${index}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  #take(index) {
    const completion = this.#completion;
    const suggestion = completion?.suggestions[index];
    if (!completion || !suggestion) return;
    const { input } = this;
    input.setRangeText(suggestion.insert, completion.from, input.selectionStart, "end");
    const caret = completion.from + suggestion.insert.length - (suggestion.back ?? 0);
    input.setSelectionRange(caret, caret);
    this.#close();
    this.#typed();
  }

  #close() {
    this.list.hidden = true;
    this.#chosen = -1;
    this.input.removeAttribute("aria-activedescendant");
  }
}

/** @param {string} text @param {number} at */
function column(text, at) {
  return at - text.lastIndexOf("\n", at - 1);
}
