/** Events as a table of texts (RFC 4180). Pure. */
import { at, Exact } from "./json.js";
import { valueOf } from "./store.js";
import { json } from "./text.js";
import { writeTime } from "./times.js";

/** The lines, each with its end: the time, then the columns. @param {import("./store.js").Row[]} rows @param {string[]} columns */
export function tableOf(rows, columns) {
  return [["time", ...columns], ...rows.map((row) => [writeTime(row.time), ...columns.map((path) => at(valueOf(row), path))])].map(
    (cells) => `${cells.map(cell).join(",")}\r\n`,
  );
}

/** @param {unknown} value */
function cell(value) {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? guarded(value) : value instanceof Exact || typeof value !== "object" ? String(value) : json(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A text that a spreadsheet would run as a formula is kept from it: events hold what strangers wrote. @param {string} text */
function guarded(text) {
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
}
