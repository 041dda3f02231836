/** Times as the gateway's `since` and `until` are written. Pure. */

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** @param {string} text @param {number} now @returns {number | null} Milliseconds since the epoch. */
export function parseTime(text, now) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  if (/^\d{1,18}$/.test(trimmed)) return Number(trimmed);
  const back = /^(\d{1,12})\s*([smhdw])$/.exec(trimmed);
  if (back) return now - Number(back[1]) * UNITS[/** @type {keyof UNITS} */ (back[2])];
  const zoned = /(?:[Zz]|[+-]\d\d:?\d\d)$/.test(trimmed) || !trimmed.includes(":") ? trimmed : `${trimmed}Z`;
  const time = Date.parse(zoned);
  return Number.isNaN(time) ? null : time;
}

/** To the second, in UTC. @param {number} time */
export function writeTime(time) {
  const year = new Date(time).getUTCFullYear();
  // What no calendar has is written as the number. Nothing is before 1970, where all of a stream begins.
  return year >= 1970 && year <= 9999 ? `${new Date(time).toISOString().slice(0, 19)}Z` : String(Math.max(0, Math.round(time)));
}
