/**
 * What a page asks a stream for, so that it shows the newest events of a range and the histogram of all of it, and moves
 * no others. Pure, but for the question.
 *
 * @typedef {import("./beginning.js").Counts} Counts
 * @typedef {{since: string, from: number, counts: Counts | null, until: number, total: number, shown: boolean}} Plan
 *   `since`: where the stream begins; `from`: where the histogram begins, in milliseconds; `counts`: what the server
 *   has counted up to `until`, and `total` of it; `shown`: whether the stream gives all of these.
 */
import { beginning, finer, startIn } from "./beginning.js";
import { barWidth } from "./histogram.js";
import { parseTime } from "./times.js";

/** Events that a live view begins with. */
const BACKLOG = 50;
/** Events of a range that are moved at once: all of a short one, else the newest. */
const WHOLE = 1000;
const NEWEST = 300;
/** Milliseconds before now up to which is counted: what was just stored may still be on its way. */
const SETTLED = 2000;
/** A stream of which nothing was known yet is looked at so far back: something may have come since it was asked. */
const UNKNOWN = "10m";
const SPAN = /^\d+(ms|s|m|h|d|w)$/;

/**
 * @param {{since: string, until: string, speed: number}} request
 * @param {{now: number, rate: number, oldest: number | null, newest: number | null, bars: number}} known In milliseconds
 *   since the epoch; null where a stream has no event; `rate` in events a second; `bars` that the histogram may have.
 * @param {import("./beginning.js").Ask} ask
 * @returns {Promise<Plan>}
 */
export async function planned(request, known, ask) {
  const settled = Math.floor((known.now - SETTLED) / 1000) * 1000;
  try {
    if (request.since === "") return await live(request, known, settled, ask);
    return await range(request, known, settled, ask);
  } catch {
    return without(request, known);
  }
}

/** Without counts, by the rate. @param {{since: string, until?: string}} request @param {{now: number, rate: number}} known @returns {Plan} */
export function without({ since, until = "" }, { now, rate }) {
  const backlog = Math.ceil(Math.max(3, Math.min(600, BACKLOG / Math.max(0.1, rate))));
  const end = endOf(until, now, now);
  const start = since || (end < now ? String(Math.max(0, end - 1000 * backlog)) : `${backlog}s`);
  return { since: start, from: parseTime(start, now) ?? now, counts: null, until: 0, total: 0, shown: true };
}

/**
 * The newest events up to now, or up to the end that was asked for.
 * @param {{until: string}} request @param {{now: number, oldest: number | null, newest: number | null}} known
 * @param {number} settled @param {import("./beginning.js").Ask} ask @returns {Promise<Plan>}
 */
async function live({ until }, { now, oldest, newest }, settled, ask) {
  const end = endOf(until, settled, now);
  // Of a stream whose first event has just come, or comes after the end, there is nothing to count.
  if (newest === null || oldest === null || oldest >= end) {
    const since = until === "" ? UNKNOWN : String(Math.max(0, parseTime(UNKNOWN, end) ?? end));
    return { since, from: parseTime(since, now) ?? now, counts: null, until: 0, total: 0, shown: true };
  }
  const start = await beginning(ask, { oldest, until: end, wanted: BACKLOG, newest: Math.min(newest, end) });
  const { counts } = start;
  const total = sum(counts);
  // A range that begins where it ends would be refused.
  const since = until === "" ? start.since : Math.min(start.since, end - 1);
  return { since: String(since), from: counts.from, counts, until: end, total, shown: start.whole || start.found >= total };
}

/** Where a range ends, at the latest. @param {string} until @param {number} latest @param {number} now */
function endOf(until, latest, now) {
  return until === "" ? latest : Math.min(latest, parseTime(until, now) ?? latest);
}

/** @param {{since: string, until: string, speed: number}} request @param {{now: number, bars: number}} known @param {number} settled @param {import("./beginning.js").Ask} ask @returns {Promise<Plan>} */
async function range({ since, until, speed }, { now, bars }, settled, ask) {
  const exact = parseTime(since, now) ?? now;
  const end = endOf(until, settled, now);
  if (end <= exact) return without({ since }, { now, rate: 0 });
  // A span back from now ends where a bar does, so that the bars count what is shown.
  const width = 1000 * barWidth((end - exact) / 1000, bars);
  const from = SPAN.test(since) ? Math.min(Math.ceil(exact / width) * width, end - 1) : exact;
  const begin = from === exact ? since : String(from);
  const counts = await ask(from, end, bars);
  const total = sum(counts);
  const start = total <= WHOLE ? null : startIn(counts, NEWEST);
  if (speed > 0 || start === null) return { since: begin, from, counts, until: end, total, shown: true };
  const found = await finer(ask, start, NEWEST, 2, counts.step, from);
  return { since: String(found.since), from, counts, until: end, total, shown: false };
}

/** @param {Counts} counts */
export function sum({ counts }) {
  return counts.reduce((one, other) => one + other, 0);
}
