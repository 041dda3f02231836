/**
 * The events that the page keeps, the newest of all that came: bounded in number and in size. While somebody looks
 * (`held`), what is shown stays as it is, and what comes waits. Pure.
 */
import { parse } from "./json.js";

/** @typedef {import("./follower.js").Event & {value?: any}} Row */

export const MOST_EVENTS = 5000;
const MOST_CHARACTERS = 32_000_000;

export class EventStore {
  /** @type {Row[]} What is shown, the newest last. */
  shown = [];
  /** @type {Row[]} What came since, the newest last. */
  waiting = [];
  /** All that came. */
  total = 0;
  held = false;
  /** How many were given up while they waited. */
  missed = 0;
  #characters = 0;

  clear() {
    this.shown = [];
    this.waiting = [];
    this.total = this.missed = this.#characters = 0;
  }

  /** @param {Row[]} events The newest last. @param {number} count How many they were before those of no use were left out. */
  add(events, count) {
    this.total += count;
    this.missed += this.held ? count - events.length : 0;
    for (const event of events) this.#characters += event.text.length;
    this.waiting.push(...events);
    if (this.held) this.missed += this.#trim(this.waiting, Math.max(1, this.waiting.length - MOST_EVENTS));
  }

  /** Show what waits. @returns {number} How many rows are new. */
  take() {
    const count = this.waiting.length;
    if (count === 0) return 0;
    this.shown = this.shown.concat(this.waiting);
    this.waiting = [];
    this.missed = 0;
    this.#trim(this.shown, this.shown.length - MOST_EVENTS);
    return count;
  }

  /** What is older than all that is shown; their numbers go on downwards. @param {Row[]} events The newest last. */
  prepend(events) {
    const first = this.shown[0]?.seq ?? 1;
    events.forEach((event, index) => {
      event.seq = first - events.length + index;
      this.#characters += event.text.length;
    });
    this.shown = events.concat(this.shown);
    this.#trim(this.shown, this.shown.length - MOST_EVENTS);
  }

  /** Give up the oldest: so many, and more where they are too large together. @param {Row[]} rows @param {number} many */
  #trim(rows, many) {
    let count = 0;
    const over = () => this.#characters > MOST_CHARACTERS && rows.length - count > 1;
    const least = rows.length > MOST_EVENTS ? many : 0;
    while (count < least || over()) {
      this.#characters -= rows[count].text.length;
      count += 1;
    }
    if (count > 0) rows.splice(0, count);
    return count;
  }

  /** The row at an index, counted from the newest. @param {number} index */
  row(index) {
    return this.shown[this.shown.length - 1 - index];
  }

  /**
   * The index of an event by its number, counted from the newest; -1 where it is not shown. The numbers go up, but have
   * holes where events were given up while they waited.
   * @param {number} seq
   */
  indexOf(seq) {
    let [low, high] = [0, this.shown.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.shown[middle].seq < seq) low = middle + 1;
      else high = middle;
    }
    return this.shown[low]?.seq === seq ? this.shown.length - 1 - low : -1;
  }

  /** The values that shown events have at a path, the most frequent first. @param {(value: any) => unknown} read */
  values(read) {
    /** @type {Map<unknown, number>} */
    const counts = new Map();
    for (const row of this.shown.slice(-500)) {
      const value = read(valueOf(row));
      if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    return [...counts].sort((one, other) => other[1] - one[1]).map(([value]) => value);
  }
}

/** The event as a value; made when it is first asked for. @param {Row} row */
export function valueOf(row) {
  if (row.value === undefined) {
    try {
      row.value = parse(row.text);
    } catch {
      row.value = row.text;
    }
  }
  return row.value;
}
