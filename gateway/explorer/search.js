/** Words that somebody looks for, without operators, as a filter over the texts of events. Pure. */
import { expressionOf, tokens } from "./cel.js";

/** Members that are looked through at the most: a filter is bounded in length and in work. */
const MOST_FIELDS = 8;
const MOST_WORDS = 6;
/** Texts that people write, which are looked through before others. */
const TOLD = /(^|\.)(title|name|subject|summary|headline|message|text|comment|description|user|author|page)$/;
/** Words that are filters by themselves, or that a filter begins with. */
const EXPRESSIONS = new Set(["true", "false", "null", "event", "topic", "partition", "offset", "timestamp", "key"]);
const WORDS = /^[\p{L}\p{N}\p{M}\s_'’.,#@/:+-]+$/u;
/** A member by its path, an operator of words, or a call: somebody began a filter. */
const BEGUN = /(^|[^\w])(event|has|size|int|uint|double|string|bool|bytes|timestamp|duration|dyn|type)\s*[.([]|::|\s(in|and|or|not|like)\s/i;

/** Whether a text is words to look for, and no filter. @param {string} text */
export function isWords(text) {
  const trimmed = text.trim();
  if (trimmed === "" || EXPRESSIONS.has(trimmed)) return false;
  const quoted = /^"[^"\\\n]*"$/.test(trimmed);
  if (quoted) return trimmed.length > 2;
  if (!WORDS.test(trimmed) || BEGUN.test(trimmed)) return false;
  // `a.b` and `1 + 2` are expressions, `user-page` and `St. John` are words.
  if (/^\w+(\.\w+)+$/.test(trimmed) || /^[\d\s.+/-]+$/.test(trimmed)) return false;
  return !tokens(trimmed).some(({ kind, text: part }) => kind === "operator" && !"-+/:".includes(part));
}

/**
 * The filter that finds events with all of the words in any of their texts, in capitals or not. What a filter cannot
 * evaluate does not match, and `||` lets another text decide: so no member has to be there.
 * @param {string} text @param {import("./schema.js").Field[]} fields
 * @returns {{filter: string, paths: string[]} | null} null where no member holds texts.
 */
export function searchFilter(text, fields) {
  const trimmed = text.trim();
  const phrase = /^"(.*)"$/.exec(trimmed);
  const words = phrase ? [phrase[1]] : trimmed.split(/\s+/).slice(0, MOST_WORDS);
  const texts = textFields(fields);
  if (texts.length === 0) return null;
  const of = (/** @type {string} */ word) => {
    const pattern = JSON.stringify(`(?i)${escaped(word)}`);
    const each = texts.map(({ steps }) => `${expressionOf(steps)}.matches(${pattern})`);
    return each.length === 1 ? each[0] : `(${each.join(" || ")})`;
  };
  return { filter: words.map(of).join(" && "), paths: texts.map(({ path }) => path) };
}

/** What a condition made of a word looks for; null for any other condition. @param {string} condition */
export function wordOf(condition) {
  const found = [...condition.matchAll(/\.matches\("\(\?i\)((?:[^"\\]|\\.)*)"\)/g)];
  const rest = condition.replace(/\bevent(?:\.\w+|\["[^"]*"\])+\.matches\("(?:[^"\\]|\\.)*"\)|[\s()|]/g, "");
  if (found.length === 0 || rest !== "" || found.some(([, word]) => word !== found[0][1])) return null;
  return found[0][1].replaceAll(/\\\\(.)/g, "$1");
}

/**
 * The words that a filter looks for, where it looks for nothing else: as they are typed. Null for any other filter.
 * @param {string[]} conditions Those that the filter is made of.
 */
export function wordsOf(conditions) {
  const words = conditions.map(wordOf);
  if (words.length === 0 || words.includes(null)) return null;
  const [first] = words;
  const text = words.length === 1 && /\s/.test(first ?? "") ? `"${first}"` : words.join(" ");
  return isWords(text) ? text : null;
}

/** The members that hold texts that people write or read, those that say most first. @param {import("./schema.js").Field[]} fields */
export function textFields(fields) {
  const texts = fields.filter(({ types, format, path }) => types.includes("string") && format === "" && !path.startsWith("$"));
  const weight = (/** @type {import("./schema.js").Field} */ { path, steps, values }) =>
    (path.startsWith("meta.") ? 4 : 0) + (TOLD.test(path) ? -3 : 0) + steps.length + (values.length > 0 ? 1 : 0);
  const ordered = texts.map((field, order) => ({ field, order })).sort((one, other) => weight(one.field) - weight(other.field) || one.order - other.order);
  return ordered.slice(0, MOST_FIELDS).map(({ field }) => field);
}

/** A text as a pattern that matches itself alone (RE2). @param {string} text */
function escaped(text) {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}
