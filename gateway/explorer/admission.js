/** When the stream of this page may have a connection: while the page is looked at, and while it is its turn. */
import { Turns } from "./turns.js";

const LOOK = 250; // milliseconds
const TELL = 2000;
/** Milliseconds that a page which is not looked at keeps its stream. */
const GRACE = 10_000;
/** Milliseconds that a turn takes at the most in which nothing was read yet: longer than between two heartbeats. */
const LONGEST_TURN = 20_000;

/** What a connection is ended with that gives way. */
export const GIVES_WAY = new Error("it gives way");

/**
 * @typedef {{hidden: boolean, limited: boolean, caught: boolean}} Page `limited`: whether the connections are few;
 *   `caught`: whether all was read that is there.
 * @typedef {{opened: number, moved: () => boolean, giveWay: () => void}} Held
 */
export class Admission {
  #turns = new Turns();
  #mine = { id: `${Math.random()}`, since: 0 };
  /** @type {Page} */
  #page = { hidden: false, limited: true, caught: false };
  #hiddenSince = 0;
  /** How many followers want a stream: while one takes the place of another, two. */
  #wanted = 0;
  #told = 0;
  #timer = 0;
  #said = "";
  /** @type {Held | null} */
  #held = null;
  /** @type {BroadcastChannel | null} */
  #channel = null;

  /** @param {(pages: number, period: number) => void} shared Told when others come or go: with how many it is shared. */
  constructor(shared) {
    this.shared = shared;
    try {
      this.#channel = new BroadcastChannel("explorer-streams");
      this.#channel.onmessage = ({ data }) => this.heard(data);
    } catch {
      // Where a browser keeps pages apart, each is for itself.
    }
  }

  /** @param {Page} page */
  set(page) {
    if (page.hidden && !this.#page.hidden) this.#hiddenSince = Date.now();
    this.#page = page;
    this.#look();
  }

  /** Whether the page is not looked at, and has been so for a while. */
  get isAway() {
    return this.#page.hidden && Date.now() >= this.#hiddenSince + GRACE;
  }

  enter() {
    this.#wanted += 1;
    this.#look();
  }

  leave() {
    this.#wanted -= 1;
    this.#look();
  }

  /** Wait until a connection may be opened. @param {(milliseconds: number) => Promise<void>} sleep @param {AbortSignal} signal */
  async admitted(sleep, signal) {
    while (!signal.aborted) {
      const wait = this.isAway ? LOOK : this.#page.limited ? this.#turns.wait(this.#mine, Date.now()) : 0;
      if (wait === 0) return;
      await sleep(Math.min(wait, LOOK));
    }
  }

  /** A connection is opened. @param {Held} held @returns {() => void} What is called when it has ended. */
  hold(held) {
    this.#held = held;
    return () => {
      if (this.#held === held) this.#held = null;
    };
  }

  #look() {
    clearTimeout(this.#timer);
    const now = Date.now();
    if (this.isAway || this.#wanted === 0) {
      if (this.#mine.since > 0) this.#channel?.postMessage({ id: this.#mine.id, since: null });
      this.#mine.since = this.#told = 0;
      if (this.isAway) this.#held?.giveWay();
      return;
    }
    if (this.#mine.since === 0) this.#mine.since = now;
    if (this.#page.limited) this.#share(now);
    this.#timer = setTimeout(() => this.#look(), LOOK);
  }

  /** @param {number} now */
  #share(now) {
    if (now >= this.#told + TELL) {
      this.#told = now;
      this.#channel?.postMessage(this.#mine);
    }
    const period = this.#turns.period(this.#mine, now);
    const said = `${this.#turns.count(now)} ${period}`;
    if (said !== this.#said) this.shared(this.#turns.count(now), period);
    this.#said = said;
    const held = this.#held;
    if (held === null || !this.#turns.isOver(this.#mine, held.opened, now)) return;
    // A turn in which nothing was reached would come again and again: a filter may look through much of the past.
    if (this.#page.caught || held.moved() || now >= held.opened + LONGEST_TURN) held.giveWay();
  }

  close() {
    clearTimeout(this.#timer);
    this.#channel?.close();
  }

  /** What another page says of itself: its place, or that it is gone. @param {any} data */
  heard(data) {
    const { id, since } = data ?? {};
    if (typeof id !== "string" || id === this.#mine.id) return;
    if (typeof since !== "number") return this.#turns.gone(id);
    const known = this.#turns.heard({ id, since }, Date.now());
    // Whoever is new learns at once who is there.
    if (!known && this.#mine.since > 0) this.#channel?.postMessage(this.#mine);
  }
}
