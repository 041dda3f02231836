/** Why the table stands still: it is paused, or somebody points at it, reads it or moves in it. */
import { byId, say } from "./dom.js";
import { whole } from "./text.js";

/** What somebody has to end by themselves; the others end when they go elsewhere. */
const PAUSING = ["paused", "unfolded", "keyboard"];

export class Holds {
  /** @type {Set<string>} */
  #reasons = new Set();

  /**
   * @param {import("./store.js").EventStore} store
   * @param {() => void} released Told when the table may show what came meanwhile.
   * @param {() => void} resumed Told when somebody asks for the newest.
   */
  constructor(store, released, resumed) {
    this.store = store;
    this.released = released;
    this.resumed = resumed;
    byId("pause").addEventListener("click", () => {
      if (this.#isPaused) this.#resume();
      else this.set("paused", true);
    });
    byId("fresh").addEventListener("click", () => this.#resume());
  }

  /** @param {string} reason @param {boolean} on */
  set(reason, on) {
    if (on) this.#reasons.add(reason);
    else this.#reasons.delete(reason);
    const wasHeld = this.store.held;
    this.store.held = this.#reasons.size > 0;
    if (wasHeld && !this.store.held) this.released();
    this.show();
  }

  /** Nothing holds it any more. */
  clear() {
    this.#reasons.clear();
    this.store.held = false;
  }

  #resume() {
    this.clear();
    this.resumed();
  }

  get #isPaused() {
    return PAUSING.some((reason) => this.#reasons.has(reason));
  }

  /** How many events have come since it was paused; null where it is not. @returns {number | null} */
  get passed() {
    return this.#isPaused ? this.store.waiting.length + this.store.missed : null;
  }

  /** Show the buttons as they are now. */
  show() {
    byId("pause").setAttribute("aria-pressed", String(this.#isPaused));
    say(byId("pause-text"), this.#isPaused ? "Resume" : "Pause");
    const { held, waiting, missed } = this.store;
    const fresh = byId("fresh");
    fresh.hidden = !held || waiting.length === 0;
    const beyond = missed > 0 ? ` (${whole(missed)} older ones passed by)` : "";
    if (!fresh.hidden) say(fresh, `↑ ${whole(waiting.length)} new${beyond}`);
    byId("grid").classList.toggle("held", held);
  }
}
