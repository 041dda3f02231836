/** Names of many streams, grouped by how they begin. Pure. */

/** Streams from which on the list is dense. */
export const DENSE = 12;
/** Streams from which on its groups are folded. */
export const FOLDED = 24;
const LEAST = 2;

/**
 * By the part before the first dot, slash or dash that a name shares with another; the others by themselves, under "".
 * @param {string[]} names @returns {Map<string, string[]>} In the order in which they come first.
 */
export function grouped(names) {
  /** @type {Map<string, string[]>} */
  const heads = new Map();
  for (const name of names) {
    const head = headOf(name);
    if (!heads.has(head)) heads.set(head, []);
    heads.get(head)?.push(name);
  }
  // Where all have one head, what follows it tells them apart.
  if (heads.size === 1 && names.length > DENSE) return byMore(names);
  return settled(heads);
}

/** @param {Map<string, string[]>} heads */
function settled(heads) {
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const [head, members] of heads) {
    const key = members.length >= LEAST ? head : "";
    found.set(key, [...(found.get(key) ?? []), ...members]);
  }
  return found;
}

/** @param {string[]} names */
function byMore(names) {
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const name of names) {
    const head = headOf(name);
    const more = name.slice(head.length + 1);
    const key = headOf(more) === more ? head : `${head}${name[head.length]}${headOf(more)}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key)?.push(name);
  }
  return settled(found);
}

/** @param {string} name */
function headOf(name) {
  const end = name.search(/[./_:-]/);
  return end <= 0 ? name : name.slice(0, end);
}
