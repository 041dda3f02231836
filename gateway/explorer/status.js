/** What the connection is doing, in words. Pure. */
import { moment, span } from "./text.js";

/** Milliseconds behind the newest event that still count as live. */
const NEAR = 3000;
/** A start so little back is read at once, whatever a filter keeps to itself. */
const SHORT = 20_000;
const LULL = 500;
const LONG_LULL = 3000;

/**
 * @typedef {{
 *   state: import("./follower.js").State, position: number, newest: number, origin: number, until: number | null,
 *   caught: boolean, expected: number, quiet: number, now: number, speed: number, shared: {pages: number, period: number},
 * }} Situation
 *   `position`: how far was read; `newest`: the newest event known; `origin`: where it began; `expected`: the records that
 *   lie between; `quiet`: how long nothing came; times in milliseconds. `shared`: with how many pages of
 *   the browser the connections are, and how long it is from one turn to the next, 0 for who holds one.
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
  if (until === null && isCaughtUp(situation)) return { name: "live", words: "Live", detail: turns, progress: null };
  const goal = until === null ? newest : Math.min(until, newest);
  const whole = goal - origin;
  const progress = whole > 0 ? Math.max(0, Math.min(1, (position - origin) / whole)) : null;
  const pace = speed > 0 ? `, ${speed} × as fast as it happened` : "";
  const behind = `${span(Math.max(0, goal - position))} ${until === null ? "behind" : "to go"}${pace}`;
  const words = speed > 0 ? "Playing" : "Catching up";
  return { name: "behind", words, detail: position > 0 ? `${behind} · at ${moment(position)}` : behind, progress };
}
