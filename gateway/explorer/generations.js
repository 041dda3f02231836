/** The lineage of streams, as generations. Pure. */

const MOST = 60; // streams that are shown: a source may have hundreds

/**
 * All streams that the picked ones are made of, and all that are made of them, the sources first. Each stands behind
 * everything that it is made of.
 *
 * @param {import("./api.js").Stream[]} streams @param {string[]} picked @returns {import("./api.js").Stream[][]}
 */
export function generationsOf(streams, picked) {
  const byName = new Map(streams.map((stream) => [stream.name, stream]));
  const shown = new Set([...reach(byName, picked, "derived_from"), ...reach(byName, picked, "derived_into")]);
  /** @type {Map<string, number>} */
  const depths = new Map();
  const depthOf = (/** @type {string} */ name, /** @type {string[]} */ way) => {
    const known = depths.get(name);
    if (known !== undefined) return known;
    const before = (byName.get(name)?.derived_from ?? []).filter((source) => shown.has(source) && !way.includes(source));
    /** @type {number} */
    const depth = before.reduce((most, source) => Math.max(most, depthOf(source, [...way, source]) + 1), 0);
    depths.set(name, depth);
    return depth;
  };
  /** @type {import("./api.js").Stream[][]} */
  const generations = [];
  for (const stream of streams) {
    if (shown.has(stream.name)) (generations[depthOf(stream.name, [stream.name])] ??= []).push(stream);
  }
  return [...generations].map((generation) => generation ?? []).filter((generation) => generation.length > 0);
}

/** @param {Map<string, import("./api.js").Stream>} byName @param {string[]} names @param {"derived_from" | "derived_into"} way */
function reach(byName, names, way) {
  const found = new Set(names.filter((name) => byName.has(name)));
  // What is added while a set is gone through is gone through, too.
  for (const name of found) {
    for (const other of byName.get(name)?.[way] ?? []) if (byName.has(other) && found.size < MOST) found.add(other);
  }
  return found;
}
