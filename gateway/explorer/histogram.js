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
  /** The second up to which the server has counted: what is read again of the time before is known. */
  #known = 0;

  clear() {
    this.#counts.clear();
    this.#grain = 1;
    this.#known = 0;
  }

  /**
   * What the server has counted, in place of all that is here.
   * @param {import("./beginning.js").Counts} counts @param {number} until Up to when, in milliseconds.
   */
  load({ from, step, counts }, until) {
    this.clear();
    this.#grain = Math.max(1, Math.round(step / 1000));
    this.#known = Math.floor(until / 1000);
    counts.forEach((count, index) => {
      if (count > 0) this.#put(Math.floor((from + index * step) / 1000), count);
    });
  }

  /** @param {Iterable<[number, number]>} seconds @returns {number} How many of them had not been counted before. */
  add(seconds) {
    let fresh = 0;
    for (const [second, count] of seconds) {
      if (second < this.#known) continue;
      fresh += count;
      this.#put(second, count);
    }
    while (this.#counts.size > MOST_KEPT) this.#coarsen();
    return fresh;
  }

  /**
   * @param {number} start @param {number} end In seconds since the epoch.
   * @param {number} bars The most.
   * @returns {{width: number, start: number, counts: number[]}}
   */
  between(start, end, bars) {
    const wanted = Math.max(this.#grain, barWidth(Math.max(1, end - start), bars));
    // Counts of ten seconds cannot be told in bars of fifteen.
    const width = WIDTHS.find((each) => each >= wanted && each % this.#grain === 0) ?? Math.ceil(wanted / this.#grain) * this.#grain;
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
