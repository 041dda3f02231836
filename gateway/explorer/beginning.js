/**
 * Where a page begins to read, so that it has the newest of what there is, however rare it is, and moves nothing else:
 * found in counts of the server. Pure, but for the question.
 *
 * @typedef {{step: number, from: number, to: number, counts: number[], exact: boolean, scanned: number,
 *   values: {value: unknown, count: number}[]}} Counts `step`, `from` and `to` in milliseconds.
 * @typedef {(since: number, until: number, buckets: number) => Promise<Counts>} Ask
 */
const MINUTE = 60_000;
/** How far back it is looked, one after the other, in milliseconds. */
const SPANS = [2 * MINUTE, 60 * MINUTE, 24 * 60 * MINUTE, 30 * 24 * 60 * MINUTE];
const BUCKETS = 120;
const MOST_QUESTIONS = 6;
/** So many times more than are wanted is not worth another question. */
const ENOUGH = 4;
const MANY = 1000;

/**
 * The last bucket from which at least so many events come, up to the end.
 * @param {Counts} counts @param {number} wanted
 * @returns {{since: number, until: number, found: number} | null} `until`: the end of the bucket; null where there are fewer.
 */
export function startIn({ step, from, counts }, wanted) {
  let found = 0;
  for (let index = counts.length - 1; index >= 0; index -= 1) {
    found += counts[index];
    if (found >= wanted) return { since: from + index * step, until: from + (index + 1) * step, found };
  }
  return null;
}

/**
 * The time from which about so many events come, up to `until`.
 * @param {Ask} ask @param {{oldest: number, until: number, wanted: number, newest?: number}} range `oldest`: where all
 *   begins; `newest`: of the newest event, where it is known: of a stream that is quiet it is far back.
 * @returns {Promise<{since: number, found: number, whole: boolean, counts: Counts}>} `whole`: nothing is before it;
 *   `counts`: the last that were got over the whole of what was looked at.
 */
export async function beginning(ask, { oldest, until, wanted, newest = until }) {
  let questions = 0;
  /** @type {Counts} */
  let counts = { step: 1000, from: until, to: until, counts: [], exact: true, scanned: 0, values: [] };
  const bottom = Math.min(oldest, until);
  for (const span of [...SPANS, Infinity]) {
    if (span < until - newest && span !== Infinity) continue;
    const since = Math.max(bottom, until - span);
    if (questions >= MOST_QUESTIONS) break;
    questions += 1;
    counts = await ask(since, until, BUCKETS);
    const start = startIn(counts, wanted);
    if (start !== null) return { ...(await finer(ask, start, wanted, MOST_QUESTIONS - questions, counts.step, since)), whole: false, counts };
    if (since <= bottom) break;
  }
  const found = counts.counts.reduce((one, other) => one + other, 0);
  const first = counts.counts.findIndex((count) => count > 0);
  const since = first < 0 ? until : Math.max(bottom, counts.from + first * counts.step);
  return { since: Math.min(since, until), found, whole: counts.exact, counts };
}

/**
 * A start that is nearer, by looking into the bucket where it is.
 * @param {Ask} ask @param {{since: number, until: number, found: number}} start @param {number} wanted @param {number} questions
 * @param {number} step @param {number} least
 */
export async function finer(ask, start, wanted, questions, step, least) {
  let [{ since, until, found }, width] = [start, step];
  const enough = wanted > MANY ? wanted * 1.5 : wanted * ENOUGH;
  while (questions > 0 && found > enough && width > 1000) {
    questions -= 1;
    const inside = await ask(Math.max(since, least), until, BUCKETS);
    const there = inside.counts.reduce((one, other) => one + other, 0);
    const next = startIn(inside, Math.max(1, wanted - (found - there)));
    if (next === null || inside.step >= width) break;
    [since, until, found, width] = [next.since, next.until, found - there + next.found, inside.step];
  }
  return { since: Math.max(since, least), found };
}
