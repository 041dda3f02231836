/** How numbers, times and foreign texts are written. Pure. */

const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A text in which nothing is invisible, and nothing turns the rest around. @param {string} text */
export function printable(text) {
  return text.replace(INVISIBLE, (character) => {
    const code = character.charCodeAt(0);
    if (code === 10) return "⏎";
    if (code === 9) return "⇥";
    return `‹U+${code.toString(16).toUpperCase().padStart(4, "0")}›`;
  });
}

/** A value as JSON; one that is nested deeper than can be written, as words. @param {unknown} value */
export function json(value) {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "‹nested too deep›";
  }
}

/** A value in one line. @param {unknown} value @param {number} [longest] */
export function brief(value, longest = 300) {
  if (value === undefined) return "";
  if (typeof value === "string") return printable(value.length > longest ? `${value.slice(0, longest)}…` : value);
  if (value === null || typeof value !== "object") return String(value);
  const text = json(value);
  return printable(text.length > longest ? `${text.slice(0, longest)}…` : text);
}

const pad = (/** @type {number} */ number, width = 2) => String(number).padStart(width, "0");

/** A time as ISO 8601 has it in years of four digits; null where no such calendar has it: a record may carry any number. @param {number} time */
export function isoTime(time) {
  const date = new Date(time);
  const year = date.getUTCFullYear();
  return year >= 1 && year <= 9999 ? date.toISOString() : null;
}

/** As ISO 8601 has it, in UTC or by the clocks of the browser's time zone. @param {number} time @param {boolean} local */
function written(time, local) {
  if (!local) return isoTime(time);
  return isoTime(time - new Date(time).getTimezoneOffset() * 60_000);
}

/** The time of day, with milliseconds. @param {number} time @param {boolean} [local] */
export function clock(time, local = false) {
  return written(time, local)?.slice(11, 23) ?? String(time);
}

/** A moment, to the second. @param {number} time @param {boolean} [local] */
export function moment(time, local = false) {
  return written(time, local)?.slice(0, 19).replace("T", " ") ?? String(time);
}

/** The day of a moment. @param {number} time @param {boolean} [local] */
export function day(time, local = false) {
  return written(time, local)?.slice(0, 10) ?? String(time);
}

/** A span of milliseconds in its two largest units. @param {number} milliseconds */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${pad(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${pad(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long ago, roughly. @param {number} milliseconds */
export function ago(milliseconds) {
  const seconds = Math.max(0, milliseconds / 1000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} days ago`;
}

/** Bytes, in three figures. @param {number} count */
export function bytes(count) {
  if (count < 1000) return `${Math.round(count)} B`;
  if (count < 1e6) return `${figures(count / 1e3)} kB`;
  if (count < 1e9) return `${figures(count / 1e6)} MB`;
  return `${figures(count / 1e9)} GB`;
}

/** A number in about three figures. @param {number} number */
export function figures(number) {
  if (number >= 1000) return Math.round(number).toLocaleString("en");
  if (number >= 100) return number.toFixed(0);
  if (number >= 10) return number.toFixed(1);
  return number === 0 ? "0" : number.toFixed(2);
}

/** A share of the whole. @param {number} share */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** @param {number} count */
export function whole(count) {
  return count.toLocaleString("en");
}
