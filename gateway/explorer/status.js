/** What the connection is doing, in words. Pure. */
import { ago, span, whole } from "./text.js";
import { momentOf, zone } from "./zone.js";

/** Milliseconds behind the newest event that still count as live. */
const NEAR = 3000;
/** A start so little back is read at once, whatever a filter keeps to itself. */
const SHORT = 20_000;
/** Why a view has ended that never began. */
export const NO_STREAM = "no stream is picked";
const LULL = 500;
const LONG_LULL = 3000;

/**
 * @typedef {{
 *   state: import("./follower.js").State, position: number, newest: number, origin: number, until: number | null,
 *   caught: boolean, expected: number, quiet: number, now: number, speed: number, shared: {pages: number, period: number},
 *   paused?: number | null, isFast?: boolean,
 * }} Situation
 *   `position`: how far was read; `newest`: the newest event known; `origin`: where it began; `expected`: the records that
 *   lie between; `quiet`: how long nothing came; times in milliseconds. `shared`: with how many pages of
 *   the browser the connections are, and how long it is from one turn to the next, 0 for who holds one. `paused`: how many
 *   events wait while the table is paused, null where it is not. `isFast`: more comes than can be shown as it comes.
 * @typedef {{name: string, words: string, detail: string, progress: number | null}} Status
 */

/** Whether all that had happened was read. @param {Situation} situation */
export function isCaughtUp({ state, position, newest, caught, expected, quiet, shared }) {
  if (state.name !== "open") return caught;
  // What comes tells how far it is. While nothing comes, that is still so; and a filter that lets nothing through tells it
  // at the heartbeats only, by when what is little has been read.
  return newest - position <= NEAR + shared.period || (caught && quiet > LULL) || (expected < SHORT && quiet > LONG_LULL);
}

/** @param {Situation} situation @returns {Status} */
export function statusOf(situation) {
  const { state, position, newest, origin, until, now, speed, shared } = situation;
  const wait = state.at === undefined ? "" : `again in ${Math.max(0, Math.ceil((state.at - now) / 1000))} s`;
  switch (state.name) {
    case "connecting":
      return { name: "connecting", words: "Connecting", detail: "", progress: null };
    case "looking":
      return { name: "behind", words: "Looking", detail: "for the newest events", progress: null };
    case "away":
      return { name: "away", words: "Resting", detail: "nobody looks at this page; it goes on where it was when somebody does", progress: null };
    case "reconnecting":
      return { name: "reconnecting", words: "Reconnecting", detail: `${state.reason}; ${wait}`, progress: null };
    case "limited":
      return { name: "limited", words: "Limit reached", detail: `${state.reason}; ${wait}`, progress: null };
    case "waiting":
      return { name: "waiting", words: "Waiting", detail: "the log is away; the stream goes on by itself", progress: null };
    case "failed":
      return { name: "failed", words: "Refused", detail: state.reason ?? "", progress: null };
    case "ended":
      return { name: "ended", words: "Finished", detail: state.reason ?? "", progress: until === null ? null : 1 };
    default:
  }
  const turns =
    shared.period === 0
      ? ""
      : `every ${shared.period / 1000} s: ${shared.pages} pages share the few connections that a browser has for one host over HTTP/1.1`;
  if ((situation.paused ?? null) !== null) return { name: "paused", words: "Paused", detail: `· ${whole(situation.paused ?? 0)} new`, progress: null };
  if (until === null && isCaughtUp(situation)) {
    const detail = turns || (situation.isFast ? "once a second, the newest events" : "");
    return { name: "live", words: "Live", detail, progress: null };
  }
  const goal = until === null ? newest : Math.min(until, newest);
  const way = goal - origin;
  const progress = way > 0 ? Math.max(0, Math.min(1, (position - origin) / way)) : null;
  const pace = speed > 0 ? `, ${speed} × as fast as it happened` : "";
  const behind = `${span(Math.max(0, goal - position))} ${until === null ? "behind" : "to go"}${pace}`;
  const words = speed > 0 ? "Playing" : "Catching up";
  return { name: "behind", words, detail: position > 0 ? `${behind} · at ${momentOf(position)}` : behind, progress };
}

/**
 * @typedef {{state: import("./follower.js").State, caught: boolean, newest: number, now: number, isRange: boolean, isFiltered: boolean}}
 *   Emptiness `newest`: the newest event of the streams, 0 for none; times in milliseconds.
 */

/** What stands in the table's place while no event is there. @param {Emptiness} emptiness */
export function emptyWords(emptiness) {
  const { state, caught } = emptiness;
  switch (state.name) {
    case "ended":
      return state.reason === NO_STREAM ? "Pick a stream to see its events." : "No events in this range.";
    case "failed":
      return "Nothing can be shown.";
    case "looking":
      return "Looking for the newest events …";
    case "open":
      return caught ? nothing(emptiness) : "Looking through the past …";
    default:
      return "Waiting for the connection …";
  }
}

/** Why there is none, where all was read. @param {Emptiness} emptiness */
function nothing({ newest, now, isRange, isFiltered }) {
  if (newest === 0) return "Nothing has come yet.";
  const last = `The last event of these streams came ${ago(now - newest)}, at ${momentOf(newest)} ${zone.name}.`;
  if (isFiltered) return `No event matches the filter${isRange ? " in this range" : ""}. ${last}`;
  return isRange ? `Nothing has come in this range. ${last}` : `Nothing has come yet. ${last}`;
}
