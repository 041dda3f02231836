/** Times as the gateway's `since` and `until` are written: the rules of `gateway/times.py`, which stand there. Pure. */

const SPAN = /^(\d{1,12})(ms|s|m|h|d|w)$/;
const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const DAY = 86_400_000;
const EARLIEST = -62_135_596_800_000;
const LARGEST = 2 ** 63;
const TIME = new RegExp(
  String.raw`^(?<year>\d{4})(?:` +
    String.raw`(?<dash>-?)(?<month>\d\d)\k<dash>(?<day>\d\d)` +
    String.raw`|-?(?<ordinal>\d{3})` +
    String.raw`|(?<hyphen>-?)W(?<week>\d\d)(?:\k<hyphen>(?<weekday>\d))?` +
    String.raw`|-(?<onlyMonth>\d\d))` +
    String.raw`(?:[Tt ](?<hour>[01]\d|2[0-4])(?:(?<colon>:?)(?<minute>[0-5]\d)` +
    String.raw`(?:\k<colon>(?<second>[0-5]\d|60)(?:[.,](?<fraction>\d+))?)?)?` +
    String.raw`(?:[Zz]|(?<sign>[+\- ])(?<hours>[01]\d|2[0-3])` +
    String.raw`(?::?(?<minutes>[0-5]\d)(?::?(?<seconds>[0-5]\d))?)?)?)?$`,
);

/** @typedef {Record<string, string | undefined>} Parts */

/**
 * @param {string} text @param {number} now
 * @returns {number | null} Milliseconds since the epoch, never below 0; null for what is no time.
 */
export function parseTime(text, now) {
  const trimmed = text.trim();
  if (/^-?\d+$/.test(trimmed)) {
    const number = Number(trimmed);
    const written = number >= 0 ? !trimmed.startsWith("-") : number < EARLIEST;
    return written && Math.abs(number) < LARGEST ? Math.max(0, number) : null;
  }
  const back = SPAN.exec(trimmed);
  if (back) return Math.max(0, now - Number(back[1]) * UNITS[/** @type {keyof UNITS} */ (back[2])]);
  const time = readTime(trimmed);
  return time === null ? null : Math.max(0, time);
}

/** A text of RFC 3339 or ISO 8601, in milliseconds since the epoch. @param {string} text @returns {number | null} */
export function readTime(text) {
  const part = /** @type {Parts | undefined} */ (TIME.exec(text)?.groups);
  const midnight = part ? dayOf(part) : null;
  if (!part || midnight === null) return null;
  if (part.hour === undefined) return midnight;
  const fraction = part.fraction ?? "";
  if (part.hour === "24" && /[1-9]/.test(`${part.minute ?? ""}${part.second ?? ""}${fraction}`)) return null;
  const ahead = part.sign === undefined ? 0 : inDay(part.hours, part.minutes, part.seconds) * (part.sign === "-" ? -1 : 1);
  const whole = midnight + inDay(part.hour, part.minute, part.second) - ahead;
  const hasDay = part.onlyMonth === undefined && (part.week === undefined || part.weekday !== undefined);
  if (!hasDay || (part.second === "60" && whole % DAY !== 0)) return null;
  return whole + Number(fraction.slice(0, 3).padEnd(3, "0"));
}

/** @param {string | undefined} hour @param {string | undefined} minute @param {string | undefined} second */
function inDay(hour, minute, second) {
  return Number(hour) * 3_600_000 + Number(minute ?? 0) * 60_000 + Number(second ?? 0) * 1000;
}

/** The first moment of the day. @param {Parts} part @returns {number | null} */
function dayOf(part) {
  const year = Number(part.year);
  if (part.week !== undefined) {
    // The first week is the one with the 4th of January (ISO 8601), and so the last before it that of 28 December.
    const monday = (/** @type {number} */ of) => weekOf(date(of, 0, 4));
    const [week, weekday] = [Number(part.week), Number(part.weekday ?? 1)];
    const time = monday(year) + (7 * (week - 1) + weekday - 1) * DAY;
    const fits = week >= 1 && weekday >= 1 && weekday <= 7 && time < monday(year + 1);
    return fits && time < date(10_000, 0, 1) ? time : null;
  }
  if (part.ordinal !== undefined) {
    const time = date(year, 0, Number(part.ordinal));
    return time >= date(year, 0, 1) && time < date(year + 1, 0, 1) ? time : null;
  }
  const month = Number(part.month ?? part.onlyMonth) - 1;
  const time = date(year, month, Number(part.day ?? 1));
  return new Date(time).getUTCMonth() === month && part.day !== "00" ? time : null;
}

/** `Date.UTC` takes the years below 100 for those of the last century. @param {number} year @param {number} month @param {number} day */
function date(year, month, day) {
  return new Date(0).setUTCFullYear(year, month, day);
}

/** The Monday of the week of a day. @param {number} day */
function weekOf(day) {
  return day - ((new Date(day).getUTCDay() + 6) % 7) * DAY;
}

/** In UTC, with milliseconds where there are any. @param {number} time A whole number. */
export function writeTime(time) {
  const year = new Date(time).getUTCFullYear();
  // What no calendar has is written as the number. Nothing is before 1970, where all of a stream begins.
  return year >= 1970 && year <= 9999 ? new Date(time).toISOString().replace(".000Z", "Z") : String(Math.max(0, time));
}
