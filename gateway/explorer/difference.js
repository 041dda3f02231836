/** What differs between two values of JSON, member by member. Pure. */
import { Exact } from "./json.js";

/** A value is compared as a whole below so many members. */
const DEEPEST = 20;
export const MOST = 200;

/** @typedef {{path: string, kind: "added" | "removed" | "changed", before?: unknown, after?: unknown}} Difference */

/**
 * At most `most` of them, in the order of the members, and whether there are more.
 * @param {unknown} before @param {unknown} after @returns {{found: Difference[], more: boolean}}
 */
export function differencesOf(before, after, most = MOST) {
  /** @type {Difference[]} */
  const found = [];
  const looking = () => found.length <= most;
  /** @param {any} one @param {any} other @param {string} path @param {number} depth */
  const compare = (one, other, path, depth) => {
    if (!isCompound(one) || !isCompound(other) || Array.isArray(one) !== Array.isArray(other) || depth === DEEPEST) {
      if (!isSame(one, other)) found.push({ path, kind: "changed", before: one, after: other });
      return;
    }
    for (const name of namesOf(one, other)) {
      if (!looking()) return;
      const step = stepOf(path, name, Array.isArray(one));
      if (!Object.hasOwn(other, name)) found.push({ path: step, kind: "removed", before: one[name] });
      else if (!Object.hasOwn(one, name)) found.push({ path: step, kind: "added", after: other[name] });
      else compare(one[name], other[name], step, depth + 1);
    }
  };
  compare(before, after, "", 0);
  return { found: found.slice(0, most), more: found.length > most };
}

/** @param {any} one @param {any} other */
function namesOf(one, other) {
  return [...Object.keys(one), ...Object.keys(other).filter((name) => !Object.hasOwn(one, name))];
}

/** @param {unknown} value */
function isCompound(value) {
  return value !== null && typeof value === "object" && !(value instanceof Exact);
}

/** @param {unknown} one @param {unknown} other */
function isSame(one, other) {
  try {
    return one === other || JSON.stringify(one) === JSON.stringify(other);
  } catch {
    return false; // nested deeper than can be written
  }
}

/** A path in which a name with dots, or an empty one, is told from others. @param {string} path @param {string} name @param {boolean} isIndex */
function stepOf(path, name, isIndex) {
  if (isIndex) return `${path}[${name}]`;
  if (!/^[\p{L}\p{N}_$-]+$/u.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === "" ? name : `${path}.${name}`;
}
