/** The order of rows by a column. Pure. */
import { Exact } from "./json.js";

/** Of kinds that cannot be compared: numbers before texts, and what is not there at the end, whichever way. */
const KINDS = ["number", "string", "boolean", "object"];

/** @param {unknown} value */
function kindOf(value) {
  if (value === undefined || value === null) return KINDS.length;
  return value instanceof Exact ? 0 : KINDS.indexOf(typeof value);
}

/** @param {unknown} one @param {unknown} other @param {boolean} descending */
export function compare(one, other, descending) {
  const [kind, otherKind] = [kindOf(one), kindOf(other)];
  if (kind !== otherKind) return kind - otherKind;
  const sign = descending ? -1 : 1;
  if (kind === 0) return sign * (Number(one) - Number(other)) || 0;
  if (kind === 1) return sign * COLLATOR.compare(/** @type {string} */ (one), /** @type {string} */ (other));
  if (kind === 2) return sign * (Number(one) - Number(other));
  return 0;
}

const COLLATOR = new Intl.Collator(undefined, { numeric: true });

/**
 * Rows in the order of a value of theirs; of two that are alike, the newer one first.
 * @template {{seq: number}} Row
 * @param {Row[]} rows @param {(row: Row) => unknown} read @param {boolean} descending
 */
export function sorted(rows, read, descending) {
  const keyed = rows.map((row) => ({ row, value: read(row) }));
  keyed.sort((one, other) => compare(one.value, other.value, descending) || other.row.seq - one.row.seq);
  return keyed.map(({ row }) => row);
}

/** The next order when a head is clicked: from the most down, then up, then none. @param {{path: string, descending: boolean} | null} now @param {string} path */
export function turned(now, path) {
  if (now === null || now.path !== path) return { path, descending: true };
  return now.descending ? { path, descending: false } : null;
}
