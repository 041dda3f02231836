/** What is said of the connection, in figures and in words. */
import { byId, say } from "./dom.js";
import { bytes, figures, percent, printable, span, whole } from "./text.js";

/** A difference between two clocks that is worth words, in milliseconds. */
const SKEWED = 30_000;
/** Gaps that are told in full; of older ones, their number. */
const MOST_GAPS = 3;
/** What the notice says: the gaps, the newest last, and the last that was said of anything else. @type {{gaps: any[], words: string}} */
let noticed = { gaps: [], words: "" };

/** @param {string} name @param {string} words @param {string} detail @param {number | null} [progress] */
export function sayState(name, words, detail, progress = null) {
  byId("status").dataset.state = name;
  say(byId("state"), words);
  say(byId("state-detail"), detail);
  const bar = byId("progress");
  bar.hidden = progress === null || progress >= 1;
  if (progress !== null) bar.value = progress;
}

/**
 * @param {{total: number, estimated: boolean, pace: {count: number, bytes: number} | null, ratio: number | null, share: number | null}}
 *   told `pace` in a second, null where there is none yet; `ratio`: what compression leaves; `share` that a filter lets through.
 */
export function showFigures({ total, estimated, pace, ratio, share }) {
  say(byId("seen"), `${estimated ? "≈ " : ""}${whole(total)}`);
  say(byId("pace"), pace === null ? "–" : `${figures(pace.count)}/s`);
  say(byId("bandwidth"), pace === null ? "–" : `${bytes(pace.bytes)}/s`);
  say(byId("packed"), ratio === null || pace === null ? "" : `≈ ${bytes(pace.bytes * ratio)}/s gzip`);
  say(byId("share"), share === null ? "–" : percent(Math.min(1, share)));
}

/**
 * How much of what there is the table has, and whether more can be fetched.
 * @param {{kept: number, total: number | null, isPart: boolean, hasOlder: boolean}} told `total` where there are more than the page holds.
 */
export function showKept({ kept, total, isPart, hasOlder }) {
  const of = total === null ? "" : ` of ${whole(total)}`;
  say(byId("kept"), kept > 0 && (isPart || of !== "") ? `newest ${whole(kept)}${of}` : "");
  byId("older").hidden = !hasOlder;
}

/** Say where the clock here differs from the gateway's, by which the page goes. @param {number} ahead Of the gateway's, in milliseconds. */
export function tellClock(ahead) {
  const differs = Math.abs(ahead) >= SKEWED;
  byId("clock").hidden = !differs;
  const way = ahead > 0 ? "behind" : "ahead of";
  // A difference that is measured again a second later is the same one.
  const about = Math.abs(ahead) < 3_600_000 ? span(Math.abs(ahead)) : span(60_000 * Math.round(Math.abs(ahead) / 60_000));
  if (differs) say(byId("clock"), `This computer's clock is ${about} ${way} the gateway's. The page goes by the gateway's.`);
}

/** Something that somebody should know, until it is dismissed. @param {string} words */
export function tellNotice(words) {
  addToNotice([], words);
}

/** @param {any[]} gaps */
export function tellGaps(gaps) {
  if (gaps.length > 0) addToNotice(gaps, "");
}

/** @param {any[]} gaps @param {string} words */
function addToNotice(gaps, words) {
  const notice = byId("notice");
  // One that was hidden since, by hand or for other streams, begins anew.
  const before = notice.hidden ? { gaps: [], words: "" } : noticed;
  noticed = { gaps: before.gaps.concat(gaps), words: words || before.words };
  say(byId("notice-text"), printable([noticed.words, gapWords(noticed.gaps)].filter(Boolean).join(" · ")));
  notice.hidden = false;
}

/** The newest gaps, and how many there were before. @param {any[]} gaps The newest last. */
export function gapWords(gaps) {
  const others = gaps.length - MOST_GAPS;
  const words = gaps.slice(-MOST_GAPS).reverse().map(wordsOf);
  if (others > 0) words.push(`And ${whole(others)} more ${others === 1 ? "gap" : "gaps"}.`);
  return words.join(" ");
}

/** A part of the page is loaded once it is wanted, and the gateway may be away by then. */
export function tellMissing() {
  tellNotice("This part of the page cannot be loaded now: the gateway cannot be reached");
  return null;
}

/** @param {any} gap */
function wordsOf({ topic, partition, requested, resumed, reason }) {
  const why =
    { expired: "they have expired", future: "the log ends before them", unknown: "the topic is another one now" }[
      /** @type {"expired"} */ (reason)
    ] ?? reason;
  return `A gap: events of ${topic}, partition ${partition}, from ${requested} to ${resumed} are gone; ${why}.`;
}
