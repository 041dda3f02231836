/**
 * What may stand where the caret is, in a filter that is being typed. Pure.
 *
 * @typedef {{insert: string, label: string, kind: string, note: string, back?: number}} Suggestion `back`: how far the
 *   caret goes back after the insertion.
 * @typedef {{from: number, suggestions: Suggestion[]}} Completion `from`: where the text begins that is replaced.
 */
import { isMember, literal } from "./cel.js";
import { suggested } from "./schema.js";
import { brief } from "./text.js";

/** @typedef {Omit<Suggestion, "note"> & {note: string | import("./schema.js").Field}} Draft A field is told of when it is shown. */

const MOST = 12;
const MOST_FIELDS = 8;
/** Values that a field is told of with, and how long each may be. */
const EXAMPLES = 3;
const LONGEST = 20;
/** Characters of a value that is offered as a whole. */
const LONGEST_VALUE = 200;

const VARIABLES = [
  ["event", "object", "the event"],
  ["topic", "string", "the topic that it is in"],
  ["partition", "integer", "the partition of the topic"],
  ["offset", "integer", "its number in the partition"],
  ["timestamp", "integer", "its time, in milliseconds since 1970"],
  ["key", "string or null", "its key"],
];
/** @type {[string, string, string, number][]} */
const FUNCTIONS = [
  ["has()", "function", "whether the event has a field", 1],
  ["size()", "function", "the length of a text or an array", 1],
  ["int()", "function", "as a whole number", 1],
  ["uint()", "function", "as a whole number that is not negative", 1],
  ["double()", "function", "as a number", 1],
  ["string()", "function", "as a text", 1],
  ["bool()", "function", "as true or false", 1],
  ["bytes()", "function", "a text in UTF-8", 1],
  ["timestamp()", "function", "a time, of a text or of seconds since 1970", 1],
  ["duration()", "function", "a length of time, such as 1h30m", 1],
  ["dyn()", "function", "of a type that is not known beforehand", 1],
  ["type()", "function", "the type of a value", 1],
  ["true", "constant", "", 0],
  ["false", "constant", "", 0],
  ["null", "constant", "", 0],
];
/** @type {[string, string][]} */
const METHODS = [
  ['startsWith("")', "begins with a text"],
  ['endsWith("")', "ends with a text"],
  ['contains("")', "has a text in it"],
  ['matches("")', "matches a regular expression (RE2)"],
];
/** @type {[string, string][]} */
const MACROS = [
  ["all(x, )", "whether it is true of each"],
  ["exists(x, )", "whether it is true of any"],
  ["exists_one(x, )", "whether it is true of one alone"],
  ["filter(x, )", "those of which it is true"],
  ["map(x, )", "what is made of each"],
];

/**
 * @param {string} text @param {number} caret
 * @param {import("./schema.js").Field[]} fields
 * @param {(path: string) => unknown[]} seen Values that events had there, the most frequent first.
 * @returns {Completion | null}
 */
export function complete(text, caret, fields, seen) {
  const before = text.slice(0, caret);
  return valueAt(before, fields, seen) ?? memberAt(before, fields, seen) ?? wordAt(before, fields, seen);
}

/** After a comparison: values. @param {string} before @param {import("./schema.js").Field[]} fields @param {(path: string) => unknown[]} seen */
function valueAt(before, fields, seen) {
  const found = /\bevent\.([\w.]+)\s*(?:==|!=|in\s*\[(?:[^\]]*,)?)\s*("?(?:[^"\\\n]|\\.)*|[\w.-]*)$/.exec(before);
  if (!found) return null;
  const [, path, typed] = found;
  const field = fields.find((each) => each.path === path);
  let values = [...(field?.values ?? []), ...seen(path)];
  if (field?.types.includes("boolean")) values = [true, false];
  const wanted = typed.replace(/^"/, "").toLowerCase();
  const fitting = [...new Set(values.filter((value) => value === null || typeof value !== "object"))].filter((value) =>
    String(value).toLowerCase().includes(wanted),
  );
  const written = fitting.map(literal).filter((text) => text.length <= LONGEST_VALUE);
  const suggestions = written.slice(0, MOST).map((text) => ({ insert: text, label: text, kind: "value", note: "" }));
  // A value that is typed out needs no help any more.
  if (suggestions.length === 1 && suggestions[0].insert === typed) return { from: before.length, suggestions: [] };
  return { from: before.length - typed.length, suggestions };
}

/** What a member is for, or some of its values. @param {import("./schema.js").Field} field @param {(path: string) => unknown[]} seen */
function noteOf({ path, values, description, types }, seen) {
  if (types.includes("boolean")) return description;
  const known = (values.length > 0 ? values : seen(path)).filter((value) => value !== null && typeof value !== "object");
  const examples = known.slice(0, EXAMPLES).map((value) => brief(JSON.stringify(value), LONGEST));
  return [examples.join(", "), description].filter((part) => part !== "").join(" · ");
}

/**
 * After a dot: members, and what can be done with a text.
 * @param {string} before @param {import("./schema.js").Field[]} fields @param {(path: string) => unknown[]} seen
 */
function memberAt(before, fields, seen) {
  const found = /(?:^|[^\w.$\])])event((?:\.\w+)*)\.(\w*)$/.exec(before);
  if (!found || insideText(before)) return insideText(before) ? { from: before.length, suggestions: [] } : null;
  const parent = found[1].slice(1);
  const typed = found[2].toLowerCase();
  const members = fields
    .filter(({ steps }) => steps.every(isMember) && steps.slice(0, -1).join(".") === parent)
    .map((field) => {
      const name = field.steps[field.steps.length - 1];
      return { insert: name, label: name, kind: field.types.join(" or "), note: field };
    });
  const field = fields.find(({ path }) => path === parent);
  const methods = field?.types.includes("string")
    ? METHODS.map(([insert, note]) => ({ insert, label: insert.replace('""', ""), kind: "method", note, back: 2 }))
    : [];
  const macros = field?.types.includes("array")
    ? MACROS.map(([insert, note]) => ({ insert, label: insert, kind: "method", note, back: 1 }))
    : [];
  const suggestions = ranked([...members, ...methods, ...macros], typed);
  return { from: before.length - found[2].length, suggestions: told(suggestions, seen) };
}

/** @param {Draft[]} drafts @param {(path: string) => unknown[]} seen @returns {Suggestion[]} */
function told(drafts, seen) {
  return drafts.map((draft) => ({ ...draft, note: typeof draft.note === "string" ? draft.note : noteOf(draft.note, seen) }));
}

/**
 * At the beginning of a word: the fields of the stream, variables and functions.
 * @param {string} before @param {import("./schema.js").Field[]} fields @param {(path: string) => unknown[]} seen
 * @returns {Completion | null}
 */
function wordAt(before, fields, seen) {
  const found = /(?:^|[^\w.$"'])([A-Za-z]\w*)?$/.exec(before);
  if (!found || insideText(before)) return null;
  const typed = found[1] ?? "";
  // Where a whole operand stands, an operator comes next.
  if (typed === "" && before.trim() !== "" && !/(?:[(!,[]|&&|\|\|)\s*$/.test(before)) return null;
  const variables = VARIABLES.map(([name, kind, note]) => ({ insert: name, label: name, kind, note }));
  const functions = FUNCTIONS.map(([name, kind, note, back]) => ({ insert: name, label: name, kind, note, back }));
  const members = membersOf(fields, typed.toLowerCase());
  const others = ranked([...variables, ...functions], typed.toLowerCase());
  return { from: before.length - typed.length, suggestions: told([...members, ...others].slice(0, MOST), seen) };
}

/** Whole fields by a part of their names; before anything is typed, those that say most. @param {import("./schema.js").Field[]} fields @param {string} typed @returns {Draft[]} */
function membersOf(fields, typed) {
  const best = suggested(fields);
  const fitting = fields.filter(({ path, steps }) => steps.every(isMember) && (typed === "" ? best.includes(path) : path.toLowerCase().includes(typed)));
  const place = (/** @type {string} */ path) => {
    const name = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
    return (name.startsWith(typed) ? 0 : 2) + (best.includes(path) ? 0 : 1);
  };
  const ordered = typed === "" ? fitting : [...fitting].sort((one, other) => place(one.path) - place(other.path));
  return ordered.slice(0, MOST_FIELDS).map((field) => {
    const label = `event.${field.path}`;
    return { insert: label, label, kind: field.types.join(" or "), note: field };
  });
}

/** Those that begin with what is typed, then those that have it in them. @template {{insert: string, label: string}} Each @param {Each[]} all @param {string} typed */
function ranked(all, typed) {
  if (all.some(({ insert }) => insert.toLowerCase() === typed)) return [];
  const first = all.filter(({ label }) => label.toLowerCase().startsWith(typed));
  const rest = typed === "" ? [] : all.filter(({ label }) => label.toLowerCase().indexOf(typed) > 0);
  return [...first, ...rest].slice(0, MOST);
}

/** Whether a text that is begun is not ended. @param {string} before */
function insideText(before) {
  const line = before.slice(before.lastIndexOf("\n") + 1).replace(/\\./g, "");
  return (line.replace(/'[^'"]*'/g, "").match(/"/g) ?? []).length % 2 === 1;
}
