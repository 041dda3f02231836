/** In which time zone times are shown: UTC, or on request that of the browser. */
import { clock, day, moment } from "./text.js";
import { recall, remember } from "./memory.js";

const KEPT = "explorer-zone";

export const zone = {
  local: recall(KEPT) === "local",

  /** What is said behind a time. */
  get name() {
    return zone.local ? "local" : "UTC";
  },

  /** @param {boolean} local */
  turn(local) {
    zone.local = local;
    remember(KEPT, local ? "local" : "UTC");
  },
};

/** A moment to the second. @param {number} time */
export const momentOf = (time) => moment(time, zone.local);

/** The time of day to the millisecond. @param {number} time */
export const clockOf = (time) => clock(time, zone.local);

/** The time of day, or, of another day than today, the day and the time to the second. @param {number} time @param {number} now */
export function shortOf(time, now) {
  const written = momentOf(time);
  return day(time, zone.local) === day(now, zone.local) || written.length !== 19 ? clockOf(time) : written.slice(5);
}
