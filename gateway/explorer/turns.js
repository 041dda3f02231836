/**
 * Which of a browser's pages may have a stream when. Over HTTP/1.1 a browser opens six connections to a host, for all its
 * windows together, and a stream keeps one. So those that came first hold theirs, and the others take turns, one at a
 * time, by the clock that they have in common. Nobody decides for others: each page knows of all that are there. Pure.
 */

/** Pages that hold a stream when they are more than one more; what is left is for everything else. */
const HOLDERS = 3;
/** Milliseconds. */
const TURN = 1000;
/** Milliseconds after which a page that says nothing is gone. */
const SILENT = 5000;

/** @typedef {{id: string, since: number}} Place Who came earlier goes before, in milliseconds since the epoch. */

export class Turns {
  /** @type {Map<string, {since: number, heard: number}>} */
  #others = new Map();

  /** @param {Place} place @param {number} now @returns {boolean} Whether that page was known. */
  heard({ id, since }, now) {
    const known = this.#others.has(id);
    this.#others.set(id, { since, heard: now });
    return known;
  }

  /** @param {string} id */
  gone(id) {
    this.#others.delete(id);
  }

  /** How many pages there are with this one. @param {number} now */
  count(now) {
    for (const [id, { heard }] of this.#others) if (heard < now - SILENT) this.#others.delete(id);
    return this.#others.size + 1;
  }

  /** Milliseconds from the beginning of a turn to that of the next one, or 0 for who holds a stream. @param {Place} mine @param {number} now */
  period({ id, since }, now) {
    const count = this.count(now);
    const isBefore = (/** @type {[string, {since: number}]} */ [other, { since: then }]) => then < since || (then === since && other < id);
    this.rank = [...this.#others].filter(isBefore).length;
    return count <= HOLDERS + 1 || this.rank < HOLDERS ? 0 : (count - HOLDERS) * TURN;
  }

  /** Milliseconds until this page may open a stream. @param {Place} mine @param {number} now */
  wait(mine, now) {
    const period = this.period(mine, now);
    if (period === 0) return 0;
    const into = this.#into(period, now);
    // Late in a turn it is not worth the while.
    return into < TURN / 2 ? 0 : period - into;
  }

  /** Whether a stream that was opened then has had its turn. @param {Place} mine @param {number} opened @param {number} now */
  isOver(mine, opened, now) {
    const period = this.period(mine, now);
    return period > 0 && (now - opened >= TURN || this.#into(period, now) >= TURN);
  }

  /** How far it is into the time from one turn of this page to the next. @param {number} period @param {number} now */
  #into(period, now) {
    return (now + period - (this.rank - HOLDERS) * TURN) % period;
  }

  /** How many were before this page when it was last asked. */
  rank = 0;
}
