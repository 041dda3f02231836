/** Filters as texts in CEL: conditions made of values, taken apart again, and coloured. Pure. */
import { Exact } from "./json.js";

/** @typedef {(string | number)[]} Path Names of members, and indices of elements. */
/** @typedef {{kind: "text" | "number" | "word" | "field" | "comment" | "operator" | "space" | "other", text: string}} Token */
/** @typedef {{required: boolean, types: string[]}} Known What a schema says of a member: whether every event has it, and what it may be. */
/** @typedef {"==" | "!=" | ">=" | "<="} Operator */

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Characters that nobody sees, or that turn around what follows: a filter made of a stranger's text shows them. */
const INVISIBLE = /[\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
/** Words that CEL reads as something else than the name of a member. */
const TAKEN = new Set(["in", "true", "false", "null"]);
const LARGEST_INT = 2n ** 63n - 1n;
const LARGEST_UINT = 2n ** 64n - 1n;
const TOKENS =
  /(?<comment>\/\/[^\n]*)|(?<text>[bB]?[rR][bB]?(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"[^"\n]*"?|'[^'\n]*'?)|[bB]?(?:"""(?:\\.|[^\\])*?(?:"""|$)|'''(?:\\.|[^\\])*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)|`[^`\n]*`?)|(?<number>\d[\w.]*)|(?<field>\.\s*[A-Za-z_]\w*)|(?<word>[A-Za-z_]\w*)|(?<space>\s+)|(?<operator>&&|\|\||[=!<>]=|[-+*/%<>!?:&|=])|(?<other>.)/gsu;

/** Whether a member is asked for with a dot and this name. @param {string} name */
export function isMember(name) {
  return NAME.test(name) && !TAKEN.has(name);
}

/** A value as it is written in CEL, where an integer of more than 64 bits is a double. @param {unknown} value */
export function literal(value) {
  if (!(value instanceof Exact)) {
    return JSON.stringify(value).replace(INVISIBLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  }
  const { source } = value;
  if (!/^-?\d+$/.test(source)) return source;
  const integer = BigInt(source);
  if (-LARGEST_INT - 1n <= integer && integer <= LARGEST_INT) return source;
  return integer > 0n && integer <= LARGEST_UINT ? `${source}u` : `${source}.0`;
}

/** Whether a value can be compared with: half of a surrogate pair, or a number that was lost, cannot be written. @param {unknown} value */
export function isWritable(value) {
  if (typeof value === "string") return !/\p{Surrogate}/u.test(value);
  return typeof value !== "number" || Number.isFinite(value);
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
 * The condition that a value is, or is not, this one. What CEL cannot evaluate does not match: so whatever is said of
 * events without the member asks for each step on the way to it.
 * @param {Path} path @param {unknown} value undefined for a member that is not there
 * @param {Operator} operator @param {(path: Path) => Known | undefined} [known]
 */
export function condition(path, value, operator, known = () => undefined) {
  const place = expressionOf(path);
  if (value === undefined) {
    const there = steps(path, known, true);
    return operator === "==" ? not(there) : there.join(" && ");
  }
  if (operator !== "!=") return `${place} ${operator} ${literal(value)}`;
  const guards = steps(path, known, false);
  return guards.length === 0 ? `${place} != ${literal(value)}` : not([...guards, `${place} == ${literal(value)}`]);
}

/** @param {string[]} conditions */
function not(conditions) {
  return conditions.length === 1 ? `!${conditions[0]}` : `!(${conditions.join(" && ")})`;
}

/**
 * What has to be true for a member to be there, but for what is always true; none of it fails on any event.
 * @param {Path} path @param {(path: Path) => Known | undefined} known @param {boolean} last Whether the last is doubted, too.
 */
function steps(path, known, last) {
  const found = [];
  for (let end = 1; end <= path.length; end += 1) {
    const way = path.slice(0, end);
    const above = way.slice(0, -1);
    const [kind, type] = typeof way[end - 1] === "number" ? ["list", "array"] : ["map", "object"];
    const types = known(above)?.types ?? [];
    const certain = above.length === 0 || (types.length === 1 && types[0] === type);
    if (!certain) found.push(`type(${expressionOf(above)}) == ${kind}`);
    if (!known(way)?.required || (last && end === path.length)) found.push(presence(way));
  }
  return found;
}

/** That what holds the last member has it. @param {Path} path */
function presence(path) {
  const [above, name] = [expressionOf(path.slice(0, -1)), path[path.length - 1]];
  if (typeof name === "number") return `size(${above}) > ${name}`;
  // The macro knows members by names alone.
  return isMember(name) ? `has(${above}.${name})` : `(${JSON.stringify(name)} in ${above})`;
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
  if (isLoose(text)) return [text.trim()];
  const parts = [];
  let depth = 0;
  let part = "";
  for (const token of tokens(text)) {
    depth += nesting(token);
    if (depth === 0 && token.text === "&&") {
      parts.push(part.trim());
      part = "";
    } else part += token.text;
  }
  parts.push(part.trim());
  return parts.filter((each) => each !== "");
}

/**
 * A filter with one condition more, before what is said in a comment at its end.
 * @param {string} filter @param {string} added
 * @param {string} [opposite] A condition that the new one takes the place of.
 */
export function and(filter, added, opposite) {
  const [body, comment] = split(filter);
  const parts = conjuncts(body);
  if (parts.some((part) => split(part)[0] === added)) return filter;
  const kept = parts.filter((part) => split(part)[0] !== opposite);
  const tail = comment === "" ? "" : ` ${comment}`;
  return join([...kept.map((part) => (isLoose(part) ? `(${part})` : part)), added]) + tail;
}

/** A filter without one of its conditions. @param {string} filter @param {number} index */
export function without(filter, index) {
  return join(conjuncts(filter).filter((_, at) => at !== index));
}

/** @param {string[]} parts */
function join(parts) {
  // Whatever follows a comment stands in a line of its own.
  return parts.reduce((text, part) => (text === "" ? part : `${text}${split(text)[1] === "" ? " " : "\n"}&& ${part}`), "");
}

/** A text, and the comments at its end. @param {string} text @returns {[string, string]} */
function split(text) {
  const found = tokens(text.trim());
  let end = found.length;
  while (end > 0 && (found[end - 1].kind === "comment" || found[end - 1].kind === "space")) end -= 1;
  const write = (/** @type {Token[]} */ part) => part.map((token) => token.text).join("").trim();
  return [write(found.slice(0, end)), write(found.slice(end))];
}

/** Whether a `||` or `?` stands at the top, which binds looser than `&&`. @param {string} text */
function isLoose(text) {
  let depth = 0;
  for (const token of tokens(text)) {
    depth += nesting(token);
    if (depth === 0 && (token.text === "||" || token.text === "?")) return true;
  }
  return false;
}

/** How much deeper it is behind a token. @param {Token} token */
function nesting({ kind, text }) {
  if (kind !== "other") return 0;
  return "([{".includes(text) ? 1 : ")]}".includes(text) ? -1 : 0;
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
