/** What is said of the connection, in figures and in words. */
import { byId, say } from "./dom.js";
import { bytes, figures, percent, span, whole } from "./text.js";

/** A difference between two clocks that is worth words, in milliseconds. */
const SKEWED = 30_000;

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

/** @param {any} gap */
export function tellGap({ topic, partition, requested, resumed, reason }) {
  const why =
    { expired: "they have expired", future: "the log ends before them", unknown: "the topic is another one now" }[
      /** @type {"expired"} */ (reason)
    ] ?? reason;
  say(byId("notice-text"), `A gap: events of ${topic}, partition ${partition}, from ${requested} to ${resumed} are gone; ${why}.`);
  byId("notice").hidden = false;
}
