/** How many events happened when, in so many bars as fit. Pure. */

/** Seconds that a bar may stand for. */
const WIDTHS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 604_800];
const MOST_KEPT = 20_000;

/** The narrowest bars of which so many cover a span. @param {number} seconds @param {number} bars */
export function barWidth(seconds, bars) {
  return WIDTHS.find((width) => seconds / width <= bars) ?? Math.ceil(seconds / bars / 604_800) * 604_800;
}

export class Histogram {
  /** @type {Map<number, number>} By the second in which a bar begins. */
  #counts = new Map();
  /** Seconds that are counted together. */
  #grain = 1;

  clear() {
    this.#counts.clear();
    this.#grain = 1;
  }

  /** @param {Iterable<[number, number]>} seconds */
  add(seconds) {
    for (const [second, count] of seconds) this.#put(second, count);
    while (this.#counts.size > MOST_KEPT) this.#coarsen();
  }

  /**
   * @param {number} start @param {number} end In seconds since the epoch.
   * @param {number} bars The most.
   * @returns {{width: number, start: number, counts: number[]}}
   */
  between(start, end, bars) {
    const width = Math.max(this.#grain, barWidth(Math.max(1, end - start), bars));
    const first = Math.floor(start / width) * width;
    const counts = new Array(Math.max(1, Math.ceil((end - first) / width))).fill(0);
    for (const [second, count] of this.#counts) {
      const index = Math.floor((second - first) / width);
      if (index >= 0 && index < counts.length) counts[index] += count;
    }
    return { width, start: first, counts };
  }

  /** @param {number} second @param {number} count */
  #put(second, count) {
    const bar = second - (second % this.#grain);
    this.#counts.set(bar, (this.#counts.get(bar) ?? 0) + count);
  }

  #coarsen() {
    const old = this.#counts;
    this.#counts = new Map();
    this.#grain = WIDTHS.find((width) => width >= this.#grain * 2 && width % this.#grain === 0) ?? this.#grain * 2;
    for (const [second, count] of old) this.#put(second, count);
  }
}
