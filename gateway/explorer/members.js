/** Which members of events have so few values that these tell something. Pure. */
import { at } from "./json.js";
import { isReached, score as saying } from "./schema.js";

export const MOST = 5;
const FEWEST = 2;
/** Values that a member may have, in so many events. */
const MANY = 40;
const LONGEST = 40;

/**
 * Dotted paths, by which the server counts values; those that say most first.
 * @param {import("./schema.js").Field[]} fields @param {any[]} events @returns {string[]}
 */
export function candidates(fields, events) {
  const leaves = fields.filter((field) => isReached(field) && !field.types.includes("object") && !field.types.includes("array") && saying(field) > 1);
  const scored = leaves.map(({ path, values, types }, order) => {
    const found = distinct(events, path);
    if (found === null || found.values.size < FEWEST) return { path, order, score: 0 };
    // Another value in every other event that has the member says nothing, but where the schema names the values.
    if (values.length === 0 && !types.includes("boolean") && found.values.size * 2 > found.events) return { path, order, score: 0 };
    return { path, order, score: (types.includes("boolean") ? 1 : 2) + (values.length > 0 ? 1 : 0) + (path.includes(".") ? 0 : 1) };
  });
  const best = scored.filter(({ score }) => score > 0).sort((one, other) => other.score - one.score || one.order - other.order);
  return best.slice(0, MOST).map(({ path }) => path);
}

/** The values at a path, and how many events have one; null where there are many values, or some that are long or no single values. @param {any[]} events @param {string} path */
function distinct(events, path) {
  const found = new Set();
  let having = 0;
  for (const event of events) {
    const value = at(event, path);
    if (value === undefined || value === null) continue;
    if (typeof value === "object" || String(value).length > LONGEST) return null;
    having += 1;
    found.add(value);
    if (found.size > MANY) return null;
  }
  return { values: found, events: having };
}
