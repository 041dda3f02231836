/** Events and bytes a second, over the last seconds. Pure, but for the clock. */

const SPAN = 10; // seconds
const SETTLED = 1500; // milliseconds
/** Milliseconds between two drawings of the table at the most. */
export const LONGEST_PAUSE = 1000;
/** Events a second up to which each is drawn as it comes, and from which on the table is drawn most rarely. */
const SLOW = 5;
const FAST = 30;

/** Milliseconds between two drawings at which the table can be read: the more comes, the longer. @param {number} rate */
export function pauseBetween(rate) {
  if (rate < SLOW) return 0;
  return rate < FAST ? 400 : LONGEST_PAUSE;
}

export class Pace {
  /** @type {{time: number, count: number, bytes: number}[]} */
  #recent = [];
  /** Since when. */
  #began = 0;

  constructor() {
    this.restart();
  }

  /** What came before is no rate of now. */
  restart() {
    this.#recent = [];
    this.#began = performance.now();
  }

  /** @param {number} count @param {number} bytes */
  add(count, bytes) {
    this.#recent.push({ time: performance.now(), count, bytes });
  }

  /** Whether there is one: of a moment alone there is none. */
  get known() {
    return performance.now() - this.#began > SETTLED;
  }

  get now() {
    const time = performance.now();
    while (this.#recent.length > 0 && this.#recent[0].time < time - SPAN * 1000) this.#recent.shift();
    const seconds = Math.max(1, Math.min(SPAN, (time - this.#began) / 1000));
    const sum = (/** @type {"count" | "bytes"} */ name) => this.#recent.reduce((all, each) => all + each[name], 0);
    return { count: sum("count") / seconds, bytes: sum("bytes") / seconds };
  }
}
