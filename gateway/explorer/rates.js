/** The rates of all streams: told by the gateway as they change, or asked for where a browser's connections are few. */
import * as api from "./api.js";

const EVERY = 2000; // milliseconds
/** Milliseconds until updates are tried again after the gateway has refused them. */
const REFUSED = 60_000;
/** The most pages that have updates: with their streams they leave two of the six connections to everything else. */
const MOST_PAGES = 2;

/** @typedef {import("./api.js").Rates} Shown */

export class Rates {
  #others = 0;
  #refusedUntil = 0;
  /** @type {AbortController | null} */
  #updates = null;

  /** @param {(rates: Shown) => void} show @param {(trouble: string) => void} trouble Told why there are none, or "". */
  constructor(show, trouble) {
    this.show = show;
    this.trouble = trouble;
    document.addEventListener("visibilitychange", () => this.#leave());
  }

  /** How many pages share the browser's connections. @param {number} pages */
  setPages(pages) {
    this.#others = pages - 1;
    this.#leave();
  }

  get #mayHold() {
    return !document.hidden && this.#others < MOST_PAGES && Date.now() >= this.#refusedUntil;
  }

  #leave() {
    if (!this.#mayHold) this.#updates?.abort();
  }

  /** Show them for ever, while the page is looked at. */
  async run() {
    for (;;) {
      if (!document.hidden) await this.#look();
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  }

  async #look() {
    try {
      if (this.#mayHold) await this.#follow();
      else this.#told(await api.rates());
    } catch (error) {
      this.trouble(api.reasonOf(error));
    }
  }

  /** @param {Shown} rates */
  #told(rates) {
    this.trouble("");
    this.show(rates);
  }

  async #follow() {
    const updates = (this.#updates = new AbortController());
    try {
      for await (const rates of api.updates(updates.signal)) this.#told(rates);
    } catch (error) {
      if (error instanceof api.Refused) this.#refusedUntil = Date.now() + REFUSED;
      else if (!updates.signal.aborted) throw error;
    } finally {
      this.#updates = null;
    }
  }
}
