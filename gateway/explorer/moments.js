/** Times as people say them ("yesterday", "5:00", "1h ago"), made such as the gateway's `since` and `until` take. Pure. */
import { parseTime, writeTime } from "./times.js";

const DAY = 86_400_000;
const UNITS = /^(\d{1,12})\s*(ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?|hrs?|d|days?|w|weeks?)(?:\s+ago)?$/;
const CLOCK = /^(?:(today|yesterday)\s+)?(?:at\s+)?(\d{1,2}):(\d\d)(?::(\d\d))?\s*(am|pm)?$/;
const DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/**
 * @param {string} text @param {number} now In milliseconds since the epoch. @param {boolean} local Whether days and
 *   times of the day are those of the browser's time zone, instead of UTC.
 * @returns {string | null} What `since` takes, empty for what is live; null for what is no time.
 */
export function readMoment(text, now, local) {
  const trimmed = text.trim();
  const said = trimmed.toLowerCase().replace(/\s+/g, " ");
  if (said === "" || said === "now" || said === "live") return "";
  const span = UNITS.exec(said);
  if (span) return span[1] + (span[2] === "ms" ? "ms" : span[2].startsWith("min") ? "m" : span[2][0]);
  if (said === "an hour ago" || said === "last hour") return "1h";
  if (said === "a day ago") return "1d";
  const midnight = (/** @type {number} */ back) => dayStart(now, back, local);
  if (said === "today" || said === "midnight") return writeTime(midnight(0));
  if (said === "yesterday") return writeTime(midnight(1));
  const weekday = DAYS.findIndex((day) => said === day || said === day.slice(0, 3) || said === `last ${day}`);
  if (weekday >= 0) return writeTime(midnight((dayOf(midnight(0), local) - weekday + 7) % 7 || 7));
  const clock = CLOCK.exec(said);
  if (clock) return atClock(clock, now, local);
  if (parseTime(trimmed, now) === null) return null;
  // A moment without a zone is one of the time zone that is shown.
  return local && /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?$/.test(trimmed) ? writeTime(localTime(trimmed)) : trimmed;
}

/** @param {RegExpExecArray} clock @param {number} now @param {boolean} local */
function atClock([, day, hours, minutes, seconds, half], now, local) {
  let hour = Number(hours);
  if (half !== undefined && (hour < 1 || hour > 12)) return null;
  if (half !== undefined) hour = (hour % 12) + (half === "pm" ? 12 : 0);
  if (hour > 23 || Number(minutes) > 59 || Number(seconds ?? 0) > 59) return null;
  const ofDay = hour * 3_600_000 + Number(minutes) * 60_000 + Number(seconds ?? 0) * 1000;
  const today = moved(dayStart(now, 0, local), ofDay, local);
  // The last time that it was so late.
  const back = day === "yesterday" || (day === undefined && today > now) ? 1 : 0;
  return writeTime(moved(dayStart(now, back, local), ofDay, local));
}

/** When a day began: `back` days before today. @param {number} now @param {number} back @param {boolean} local */
function dayStart(now, back, local) {
  if (!local) return Math.floor(now / DAY) * DAY - back * DAY;
  const date = new Date(now);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() - back).getTime();
}

/** @param {number} start @param {number} ofDay @param {boolean} local */
function moved(start, ofDay, local) {
  if (!local) return start + ofDay;
  // On a day on which the clocks are changed, 5:00 is not five hours after midnight.
  const date = new Date(start);
  date.setHours(0, 0, 0, ofDay);
  return date.getTime();
}

/** @param {number} time @param {boolean} local */
function dayOf(time, local) {
  return local ? new Date(time).getDay() : new Date(time).getUTCDay();
}

/** @param {string} text */
function localTime(text) {
  return new Date(text.length === 10 ? `${text}T00:00` : text.replace(" ", "T")).getTime();
}
