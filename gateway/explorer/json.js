/** JSON whose integers keep their digits, and values by their dotted paths. Pure. */

/** A number that JavaScript would round. */
export class Exact {
  /** @param {string} source */
  constructor(source) {
    this.source = source;
  }

  toString() {
    return this.source;
  }

  toJSON() {
    return /** @type {any} */ (JSON).rawJSON?.(this.source) ?? this.source;
  }
}

/** More digits than a double holds, or an exponent that it may not hold. */
const LONG = /\d{16}|[\d.]{16}|\d[eE][+-]?\d{2}/;

/** @param {string} text @returns {any} */
export function parse(text) {
  if (!LONG.test(text)) return JSON.parse(text);
  /** @param {string} _ @param {any} value @param {{source?: string}} [context] */
  const revive = (_, value, context) => {
    if (typeof value !== "number" || context?.source === undefined) return value;
    // Below the least double it is rounded to 0.
    const vanished = value === 0 && /[1-9]/.test(context.source.split(/e/i, 1)[0]);
    if (Number.isSafeInteger(value) && !vanished) return value;
    return context.source === String(value) ? value : new Exact(context.source);
  };
  return JSON.parse(text, revive);
}

/** @param {any} value @param {string} path Dotted; a member whose name has a dot goes before. */
export function at(value, path) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  if (Object.hasOwn(value, path)) return value[path];
  const dot = path.indexOf(".");
  if (dot < 0 || !Object.hasOwn(value, path.slice(0, dot))) return undefined;
  return at(value[path.slice(0, dot)], path.slice(dot + 1));
}
