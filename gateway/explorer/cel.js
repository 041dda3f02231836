/** Filters as texts in CEL: conditions made of values, taken apart again, and coloured. Pure. */
import { Exact } from "./json.js";

/** @typedef {(string | number)[]} Path Names of members, and indices of elements. */
/** @typedef {{kind: "text" | "number" | "word" | "field" | "operator" | "space" | "other", text: string}} Token */

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Words that CEL reads as something else than the name of a member. */
const TAKEN = new Set(["in", "true", "false", "null"]);
const TOKENS =
  /(?<text>[rRbB]{0,2}(?:"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))|(?<number>\d[\w.]*)|(?<field>\.\s*[A-Za-z_]\w*)|(?<word>[A-Za-z_]\w*)|(?<space>\s+)|(?<operator>&&|\|\||[=!<>]=|[-+*/%<>!?:&|=])|(?<other>.)/gsu;

/** Whether a member is asked for with a dot and this name. @param {string} name */
export function isMember(name) {
  return NAME.test(name) && !TAKEN.has(name);
}

/** A value as it is written in CEL. @param {unknown} value */
export function literal(value) {
  if (value instanceof Exact) return value.source;
  return JSON.stringify(value);
}

/** @param {Path} path @param {string} [root] */
export function expressionOf(path, root = "event") {
  let text = root;
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += isMember(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
  }
  return text;
}

/**
 * The condition that a value is, or is not, this one.
 * @param {Path} path @param {unknown} value undefined for a member that is not there
 * @param {"==" | "!=" | ">=" | "<="} operator @param {boolean} [optional] whether events may lack the first member
 */
export function condition(path, value, operator, optional = false) {
  const place = expressionOf(path);
  if (value === undefined) return operator === "==" ? `!has(${place})` : `has(${place})`;
  const text = `${place} ${operator} ${literal(value)}`;
  // Where the member is missing the comparison fails, and the event would not come: yet it is not this value.
  if (operator === "!=" && optional && typeof path[0] === "string" && NAME.test(path[0])) {
    return `(!has(${expressionOf(path.slice(0, 1))}) || ${text})`;
  }
  return text;
}

/** @param {string} text @returns {Token[]} */
export function tokens(text) {
  const found = [];
  for (const match of text.matchAll(TOKENS)) {
    const [kind] = Object.entries(match.groups ?? {}).find(([, part]) => part !== undefined) ?? ["other"];
    found.push(/** @type {Token} */ ({ kind, text: match[0] }));
  }
  return found;
}

/** The parts that are joined by `&&` at the top; the whole as one part where a `||` or `?` stands there. @param {string} text */
export function conjuncts(text) {
  const parts = [];
  let depth = 0;
  let part = "";
  for (const token of tokens(text)) {
    if ("([{".includes(token.text)) depth += 1;
    else if (")]}".includes(token.text)) depth -= 1;
    if (depth === 0 && (token.text === "||" || token.text === "?")) return [text.trim()];
    if (depth === 0 && token.text === "&&") {
      parts.push(part.trim());
      part = "";
    } else part += token.text;
  }
  parts.push(part.trim());
  return parts.filter((each) => each !== "");
}

/** A filter with one condition more. @param {string} filter @param {string} added */
export function and(filter, added) {
  const parts = conjuncts(filter);
  if (parts.includes(added)) return filter;
  // "Only" after "not" of the same value, or the other way round: the newer word counts.
  const opposite = added.includes(" == ") ? added.replace(" == ", " != ") : added.replace(" != ", " == ");
  const kept = parts.filter((part) => part !== opposite && part !== `!${added}` && `!${part}` !== added);
  const loose = kept.length === 1 && tokens(kept[0]).length > 1 && isLoose(kept[0]);
  return [...(loose ? [`(${kept[0]})`] : kept), added].join(" && ");
}

/** A filter without one of its conditions. @param {string} filter @param {number} index */
export function without(filter, index) {
  return conjuncts(filter)
    .filter((_, at) => at !== index)
    .join(" && ");
}

/** Whether a `||` or `?` stands at the top, which binds looser than `&&`. @param {string} text */
function isLoose(text) {
  let depth = 0;
  for (const token of tokens(text)) {
    if ("([{".includes(token.text)) depth += 1;
    else if (")]}".includes(token.text)) depth -= 1;
    else if (depth === 0 && (token.text === "||" || token.text === "?")) return true;
  }
  return false;
}

/**
 * Where an error of the server is: "line 1, column 14: …".
 * @param {string} detail @param {string} text @returns {{at: number, said: string} | null}
 */
export function placeOf(detail, text) {
  const found = /line (\d+), column (\d+): ([^]*)$/.exec(detail);
  if (!found) return null;
  const lines = text.split("\n");
  const line = Math.min(Number(found[1]), lines.length) - 1;
  const before = lines.slice(0, line).reduce((sum, each) => sum + each.length + 1, 0);
  // The server counts characters, JavaScript UTF-16 units.
  const units = [...(lines[line] ?? "")].slice(0, Number(found[2]) - 1).join("").length;
  return { at: before + units, said: found[3] };
}
